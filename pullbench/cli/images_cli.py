"""The sub-commands of `pullbench images`: what pullbench/cli/main.py is for the others."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Synthetic images for registries that take pushes.")


@app.callback()
def _images() -> None:
    """Keeps `push` a sub-command although it is the only one."""


@app.command("push")
def push_images(
    registry: Annotated[str, typer.Argument(metavar="REGISTRY", help="Its URL: scheme, host and port.")],
    repository: Annotated[
        str, typer.Option(metavar="PREFIX", help="What the images' repositories start with.")
    ] = "pullbench",
    tag: Annotated[str | None, typer.Option(metavar="TAG", help="Default: seed-SEED.")] = None,
    preset: Annotated[
        str,
        typer.Option(
            metavar="zb|spegel|realistic",
            help="zb: 1, 10 and 100 MB in one layer; spegel: 10 MB, 100 MB and 1 GB in one or four; "
            "realistic: layers as a large crawl found them.",
        ),
    ] = "realistic",
    count: Annotated[
        int | None, typer.Option(metavar="N", help="Images. Default: zb 10, spegel 6, realistic 8.")
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="At most so much in all, such as 2GB; zb and spegel: as many images as fit."),
    ] = None,
    layers: Annotated[
        int | None, typer.Option(metavar="N", help="Layers of each image; realistic: at most so many.")
    ] = None,
    share: Annotated[
        float | None,
        typer.Option(
            metavar="0..1", help="Part of each image's layers that others have too. Default: realistic 0.2, else 0."
        ),
    ] = None,
    platform: Annotated[
        list[str] | None,
        typer.Option(metavar="OS/ARCH", help="May be given again. Default: this machine's."),
    ] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="The same seed, the same bytes. Default: 1.")] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", "--unique", help="A random seed: images that no cache has ever seen.")
    ] = False,
    credentials: Annotated[
        str, typer.Option(metavar="SOURCE", help="docker, env:PREFIX, block:NAME or anonymous, as in a spec.")
    ] = "docker",
    plain_http_credentials: Annotated[
        bool,
        typer.Option(
            "--plain-http-credentials", help="Send them over plain http to another machine too: readable by all."
        ),
    ] = False,
    ca_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="PEM file of the CA that signed its certificate.")
    ] = None,
    workers: Annotated[int, typer.Option(metavar="N", help="Images pushed at once.")] = 4,
    replace: Annotated[
        bool, typer.Option("--replace", help="Overwrite tags of another synthetic workload; never other images.")
    ] = False,
    spec_out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the spec that pulls them here, not to stdout.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document on stdout; everything else goes to stderr.")
    ] = False,
) -> None:
    """Push seeded synthetic images; what is there already is left alone, and so is every tag that is not ours."""
    from pullbench.cli.commands import images

    options = images.PushOptions(
        registry=registry,
        repository=repository,
        tag=tag,
        preset=preset,
        count=count,
        size=size,
        layers=layers,
        share=share,
        platforms=platform or [],
        seed=seed,
        fresh=fresh,
        credentials=credentials,
        sends_in_clear=plain_http_credentials,
        ca_file=ca_file,
        workers=workers,
        replace=replace,
        spec_out=spec_out,
        as_json=as_json,
    )
    raise typer.Exit(images.push_images(options))
