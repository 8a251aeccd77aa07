"""`images push`: pushes synthetic images to a registry, and writes the spec that pulls them."""

import json
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from pullbench.cli.terminal.safe_text import literal, print_line, print_lines
from pullbench.errors import ErrorCode, IncompleteError, RegistryError, UsageError
from pullbench.model.platform import Platform
from pullbench.model.route import Route
from pullbench.model.text import count, did_you_mean, format_bytes, parse_bytes
from pullbench.model.upload import SyntheticImage
from pullbench.model.workload import PRESETS, Workload, make_workload
from pullbench.registry.keychain import Keychain
from pullbench.registry.patience import PATIENCE_S
from pullbench.serving.secrets import read_block

if TYPE_CHECKING:
    from pullbench.cli.terminal.progress import PushProgress
    from pullbench.registry.push import PushReport

_READ_TIMEOUT_S = 300.0  # a registry on an object store may move a blob for minutes before it answers
MAX_WORKERS = 64
_HEADER = """\
# Pulls the images that `pullbench images push` pushed: {label}.
# Check it: pullbench preflight {out}     Measure it: pullbench run {out}
"""

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Push synthetic images to a registry.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PushOptions:
    """What the command line said, unread."""

    registry: str
    repository: str
    tag: str | None
    preset: str
    count: int | None
    size: str | None
    layers: int | None
    share: float | None
    platforms: Sequence[str]
    seed: int | None
    fresh: bool
    credentials: str
    sends_in_clear: bool
    ca_file: Path | None
    workers: int
    replace: bool
    spec_out: Path | None
    as_json: bool


@app.callback()
def _group() -> None:
    """Keeps `push` a sub-command: it is the only one."""


_Registry = Annotated[str, typer.Argument(metavar="REGISTRY", help="The URL of the registry: scheme, host and port.")]
_Repository = Annotated[str, typer.Option(metavar="PREFIX", help="The prefix of the repositories.")]
_Tag = Annotated[str | None, typer.Option(metavar="TAG", help="Default: seed-SEED.")]
_Preset = Annotated[
    str,
    typer.Option(
        metavar="zb|spegel|realistic",
        help="zb: 1, 10 and 100 MB in one layer; spegel: 10 MB, 100 MB and 1 GB in one or four layers; "
        "realistic: layers as in a large crawl of registries.",
    ),
]
_Count = Annotated[
    int | None, typer.Option(metavar="N", help="The number of images. Default: zb 10, spegel 6, realistic 8.")
]
_Size = Annotated[
    str | None,
    typer.Option(metavar="SIZE", help="The most bytes in total, such as 2GB; zb and spegel: as many images as fit."),
]
_Layers = Annotated[int | None, typer.Option(metavar="N", help="Layers of each image; realistic: the most layers.")]
_Share = Annotated[
    float | None,
    typer.Option(
        metavar="0..1", help="The share of layers that images have in common. Default: realistic 0.2, else 0."
    ),
]
_Platform = Annotated[
    list[str] | None,
    typer.Option(metavar="OS/ARCH", help="The platform of the images; repeatable. Default: this machine's."),
]
_Seed = Annotated[int | None, typer.Option(metavar="N", help="The same seed makes the same bytes. Default: 1.")]
_Fresh = Annotated[bool, typer.Option("--fresh", "--unique", help="A random seed: no cache has these images.")]
_Credentials = Annotated[str, typer.Option(metavar="SOURCE", help="docker, env:PREFIX, block:NAME or anonymous.")]
_PlainHttpCredentials = Annotated[
    bool,
    typer.Option(
        "--plain-http-credentials",
        help="Send credentials over plain http to another machine, readable by all on the route.",
    ),
]
_CaFile = Annotated[Path | None, typer.Option(metavar="FILE", help="A PEM file: the CA of the registry's certificate.")]
_Workers = Annotated[int, typer.Option(metavar="N", help="Images to push concurrently.")]
_Replace = Annotated[
    bool, typer.Option("--replace", help="Overwrite tags of other synthetic images; never other tags.")
]
_SpecOut = Annotated[
    Path | None, typer.Option(metavar="FILE", help="The file for the spec that pulls them. Default: stdout.")
]
_AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout; all else goes to stderr.")]


@app.command("push")
def push_images(
    registry: _Registry,
    repository: _Repository = "pullbench",
    tag: _Tag = None,
    preset: _Preset = "realistic",
    count: _Count = None,
    size: _Size = None,
    layers: _Layers = None,
    share: _Share = None,
    platform: _Platform = None,
    seed: _Seed = None,
    fresh: _Fresh = False,
    credentials: _Credentials = "docker",
    plain_http_credentials: _PlainHttpCredentials = False,
    ca_file: _CaFile = None,
    workers: _Workers = 4,
    replace: _Replace = False,
    spec_out: _SpecOut = None,
    as_json: _AsJson = False,
) -> int:
    """Push synthetic images, made from a seed.

    It pushes only what the registry lacks, and overwrites no tag of other images. It prints the spec that pulls them.
    """
    return _execute(
        PushOptions(
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
    )


def _execute(options: PushOptions) -> int:
    """Push, and tell on stderr what was done; stdout holds the spec, where it was written, or one JSON document."""
    from pullbench.cli.terminal.progress import PushProgress

    route, workload = _route(options), _workload(options)
    images = _images(options, workload)
    spec = _spec_text(route, workload, images, options.spec_out)
    console = Console(stderr=True)
    if options.fresh:
        console.print(literal(f"--seed {workload.seed} makes these images again"))
    console.print(
        literal(f"pushing {count(len(images), 'image')}, {format_bytes(workload.size_bytes)}, to {route.host}")
    )
    progress = PushProgress(console, sum(image.size_bytes for image in images))
    report = _push(options, route, images, progress)
    console.print(literal(_summary(report)))
    if options.spec_out is not None:
        _write(options.spec_out, spec)
    if options.as_json:
        print(json.dumps(_document(options, route, workload, report), indent=2))
    elif options.spec_out is not None:
        print_line(
            f"{options.spec_out}: the spec that pulls these images; measure it: pullbench run {options.spec_out}"
        )
    else:
        print_lines(spec)
    return 0


def _push(
    options: PushOptions, route: Route, images: Sequence[SyntheticImage], progress: "PushProgress"
) -> "PushReport":
    from pullbench.registry.client import RegistryClient
    from pullbench.registry.push import push_workload

    keychain = Keychain(environ=os.environ, block=read_block)
    try:
        with RegistryClient(
            route, keychain, read_timeout_s=_READ_TIMEOUT_S, actions="pull,push", patience_s=PATIENCE_S
        ) as client:
            return push_workload(client, images, workers=options.workers, replace=options.replace, watch=progress)
    except RegistryError as error:
        if not progress.pushed and error.code is not ErrorCode.DISK_FULL:
            raise
        raise IncompleteError(f"{error}; {_how_to_go_on(options, len(images), progress)}") from error
    except KeyboardInterrupt:
        raise IncompleteError(f"interrupted; {_how_to_go_on(options, len(images), progress)}") from None
    finally:
        progress.ended()


def _how_to_go_on(options: PushOptions, images: int, progress: "PushProgress") -> str:
    again = "the printed --seed in place of --fresh" if options.fresh else "the same command"
    return f"{progress.pushed} of {images} images were pushed and stay; {again} continues"


def _route(options: PushOptions) -> Route:
    from pullbench.model.spec_fields import CredentialSource, Url

    if options.ca_file is not None and not options.ca_file.is_file():
        raise UsageError(f"--ca-file {options.ca_file}: no such file; give the PEM file of the registry's CA")
    return Route(
        registry="target",
        url=_checked(Url, options.registry, "REGISTRY"),
        credentials=_checked(CredentialSource, options.credentials, "--credentials"),
        sends_in_clear=options.sends_in_clear,
        ca_file=None if options.ca_file is None else str(options.ca_file.resolve()),
    )


def _checked(kind: Any, text: str, option: str) -> str:
    """A text as the spec would take it; UsageError names the option, and never a value that may hold a secret."""
    from pydantic import TypeAdapter, ValidationError

    from pullbench.model.spec_fields import Url

    try:
        return str(TypeAdapter(kind).validate_python(text))
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        value = f"'{text}' " if kind is Url and reason.startswith("is no") else ""
        raise UsageError(f"{option}: {value}{reason}") from None


def _workload(options: PushOptions) -> Workload:
    from pullbench.bench.facts import host_platform

    if options.preset not in PRESETS:
        raise UsageError(f"--preset: '{options.preset}' is not known; {did_you_mean(options.preset, PRESETS)}")
    if options.fresh and options.seed is not None:
        raise UsageError("--fresh: uses a random seed; leave out --seed or --fresh")
    if not 1 <= options.workers <= MAX_WORKERS:
        raise UsageError(f"--workers: {options.workers} is not between 1 and {MAX_WORKERS}")
    seed = secrets.randbits(48) if options.fresh else 1 if options.seed is None else options.seed
    platforms = options.platforms or [host_platform()]
    try:
        platforms = [str(Platform.parse(platform)) for platform in platforms]
    except ValueError as error:
        raise UsageError(f"--platform: {error}") from None
    try:
        total_bytes = None if options.size is None else parse_bytes(options.size)
    except ValueError as error:
        raise UsageError(f"--size: {error}") from None
    preset = next(name for name in PRESETS if name == options.preset)
    try:
        return make_workload(
            preset,
            seed=seed,
            platforms=platforms,
            count=options.count,
            total_bytes=total_bytes,
            layers=options.layers,
            share=options.share,
        )
    except UsageError as error:
        raise UsageError(f"--{error}") from None  # it starts with the parameter's name, which is the option's


def _images(options: PushOptions, workload: Workload) -> tuple[SyntheticImage, ...]:
    from pullbench.lab.images import workload_images

    tag = f"seed-{workload.seed}" if options.tag is None else options.tag
    try:
        return workload_images(workload, repository=options.repository, tag=tag)
    except UsageError as error:
        raise UsageError(f"--repository, --tag: {error}") from None


def _spec_text(route: Route, workload: Workload, images: Sequence[SyntheticImage], out: Path | None) -> str:
    """The spec that pulls these images; made, and its file looked at, before anything is pushed."""
    from pullbench.bench.specfile import as_yaml
    from pullbench.model.spec import read_spec

    data: dict[str, Any] = {
        "name": f"synthetic-{workload.preset}",
        "labels": {"workload": workload.preset, "seed": str(workload.seed)},
        "registries": [
            {
                "name": route.registry,
                "url": route.url,
                "credentials": route.credentials,
                **({"plain_http_credentials": "send"} if route.sends_in_clear else {}),
                **({"ca_file": route.ca_file} if route.ca_file else {}),
            }
        ],
        "images": [str(image.reference) for image in images],
        "matrix": {"engines": ["wire"], "platforms": list(workload.platforms), "concurrency": [1, 2, 4]},
        "repetitions": 5,
    }
    read_spec(data)
    text = _HEADER.format(label=workload.label, out=out or "FILE") + as_yaml(data)
    if out is None:
        return text
    try:
        if out.exists() and out.read_text(encoding="utf-8") != text:
            raise UsageError(f"--spec-out {out}: exists with other content; name another file")
        if not out.parent.is_dir():
            raise UsageError(f"--spec-out {out}: there is no directory {out.parent}")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--spec-out {out}: cannot be used ({type(error).__name__}); name another file") from None
    return text


def _write(out: Path, text: str) -> None:
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--spec-out {out}: cannot be written: {error.strerror}; the images are pushed") from error


def _summary(report: "PushReport") -> str:
    pushed = sum(image.outcome == "pushed" for image in report.images)
    there = len(report.images) - pushed
    if not pushed:
        return f"nothing was pushed: the registry has all {there} images already"
    blobs = f"{report.blobs_sent} blobs sent, {report.blobs_mounted} mounted, {report.blobs_there} present before"
    skipped = f", {there} were present before" if there else ""
    return f"pushed {count(pushed, 'image')}{skipped}: {format_bytes(report.bytes_sent)} ({blobs})"


def _document(options: PushOptions, route: Route, workload: Workload, report: "PushReport") -> dict[str, Any]:
    return {
        "registry": route.url,
        "preset": workload.preset,
        "seed": workload.seed,
        "platforms": list(workload.platforms),
        "size_bytes": workload.size_bytes,
        "images": [
            {"image": str(image.reference), "digest": image.digest, "outcome": image.outcome} for image in report.images
        ],
        "pushed": sum(image.outcome == "pushed" for image in report.images),
        "there": sum(image.outcome == "there" for image in report.images),
        "bytes_sent": report.bytes_sent,
        "blobs_sent": report.blobs_sent,
        "blobs_mounted": report.blobs_mounted,
        "blobs_there": report.blobs_there,
        "spec": None if options.spec_out is None else str(options.spec_out),
    }
