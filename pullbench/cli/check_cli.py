"""The commands before a run, `init`, `preflight` and `plan`: what pullbench/cli/main.py is for the others."""

from pathlib import Path
from typing import Annotated

import typer

from pullbench.cli.options import Json, Sets, SpecFile

app = typer.Typer()


@app.command()
def init(
    source: Annotated[
        list[str] | None,
        typer.Option(
            "--from",
            metavar="FILE|docker|-",
            help="A compose file, Kubernetes manifests, the local daemon, or stdin; may be given again.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="The spec file to write.")] = Path("pullbench.yaml"),
    registry: Annotated[str | None, typer.Option(metavar="URL", help="The registry to measure.")] = None,
    image: Annotated[list[str] | None, typer.Option(metavar="REF", help="An image there; may be given again.")] = None,
    project: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write a project there instead: deployments, flows, notebooks, ready specs."),
    ] = None,
) -> None:
    """Write a first spec: the images found, the registries that they come from."""
    if project is not None:
        from pullbench.cli.init_project import init_project

        raise typer.Exit(init_project(project))
    from pullbench.cli.commands.first_spec import write_first_spec

    raise typer.Exit(write_first_spec(sources=source or [], out=out, registry=registry, images=image or []))


@app.command()
def preflight(
    spec: SpecFile,
    as_json: Json = False,
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write JUnit XML too, for Jenkins, GitLab and the like.")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="Run this check, or this room of checks, alone; may be given again."),
    ] = None,
    skip: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Leave this check or room out; may be given again.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Show each finding in full, also of what passed or was skipped.")
    ] = False,
    sets: Sets = None,
) -> None:
    """Check every registry, proxy, image and client of a spec, without any load."""
    from pullbench.cli.commands.check import run_preflight

    code = run_preflight(
        spec, sets=sets or [], only=only or [], skip=skip or [], junit=junit, everything=everything, as_json=as_json
    )
    raise typer.Exit(code)


@app.command()
def plan(
    spec: SpecFile,
    as_json: Json = False,
    offline: Annotated[bool, typer.Option("--offline", help="Contact nothing; sizes are not known then.")] = False,
    sets: Sets = None,
) -> None:
    """Show the cells and trials, what is planned out and why, bytes and requests."""
    from pullbench.cli.commands.check import show_plan

    raise typer.Exit(show_plan(spec, sets=sets or [], offline=offline, as_json=as_json))
