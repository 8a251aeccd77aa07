"""`pull`: measures the pulls of one image, without a spec."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from pullbench.cli.options import Json, Only, Reports, Results, Skip
from pullbench.errors import UsageError
from pullbench.model.addresses import DOCKER_HUB_HOSTS
from pullbench.model.capability import CAPABILITIES, EngineKind
from pullbench.model.text import did_you_mean

if TYPE_CHECKING:
    from pullbench.bench.specfile import LoadedSpec

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def pull(
    ref: Annotated[
        str, typer.Argument(metavar="REF", help="The image, as for `docker pull`: nginx, ghcr.io/team/app:1.4.")
    ],
    engine: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="The clients, such as docker,wire. Default: docker and wire if a Docker daemon answers, else wire.",
        ),
    ] = None,
    repetitions: Annotated[
        int, typer.Option("-n", "--repetitions", min=1, max=10_000, metavar="N", help="How often to repeat.")
    ] = 5,
    concurrency: Annotated[int, typer.Option(min=1, max=1024, metavar="N", help="Concurrent pulls.")] = 1,
    platform: Annotated[
        str | None, typer.Option(metavar="OS/ARCH", help="The platform. Default: this machine's.")
    ] = None,
    only: Only = None,
    skip: Skip = None,
    report: Annotated[bool, typer.Option("--report", help="Also write the HTML report.")] = False,
    results: Results = "results",
    reports: Reports = Path("reports"),
    as_json: Json = False,
) -> int:
    """Measure the pulls of one image, without a spec.

    The engine wire measures the registry and the network alone. docker pulls and unpacks as a node does; its daemon is that
    of DOCKER_HOST or of the current Docker context. A warm-up comes first and does not count. The run is stored, see
    `pullbench runs`.

    Logins are those of `docker login`. Registries on this machine are reached over plain HTTP; for others, write
    http://HOST/IMAGE.
    """
    from rich.console import Console

    from pullbench.app.run import RunRequest, preparing
    from pullbench.cli.measuring import Measuring
    from pullbench.cli.terminal.progress import ShellProgress
    from pullbench.cli.terminal.safe_text import print_notice

    engines = None if engine is None else _engines(engine)
    loaded = spec_of_image(ref, engines=engines, repetitions=repetitions, concurrency=concurrency, platform=platform)
    request = RunRequest(
        spec=loaded, results=results, reports=reports, report=report, only=tuple(only or ()), skip=tuple(skip or ())
    )
    measuring = Measuring(ShellProgress(Console(stderr=True)), request, as_json=as_json)
    return measuring.directly(lambda: preparing(request, warn=print_notice))


def spec_of_image(
    ref: str, *, engines: Sequence[str] | None, repetitions: int, concurrency: int, platform: str | None
) -> "LoadedSpec":
    """The spec of one image, as `run` would read it; raises UsageError for what is not an image."""
    from pullbench.bench.first_spec import usual_engines
    from pullbench.bench.specfile import spec_of
    from pullbench.model.platform import Platform

    url, host, image = _image(ref)
    matrix: dict[str, Any] = {"concurrency": [concurrency]}
    if platform is not None:
        try:
            matrix["platforms"] = [str(Platform.parse(platform))]
        except ValueError as error:
            raise UsageError(f"--platform: {error}") from None
    matrix["engines"] = _able(engines, concurrency) if engines else _able(usual_engines(), concurrency, chosen=False)
    repository = re.split(r"[:@]", image)[0]
    data = {
        "name": _run_name(host, repository),
        "labels": {"image": ref},
        "registries": [{"name": _registry_name(host), "url": url}],
        "images": [image],
        "matrix": matrix,
        "repetitions": repetitions,
    }
    try:
        return spec_of(data)
    except UsageError as error:
        raise UsageError(f"{ref}: {str(error).removeprefix('spec: ')}") from None


def _able(engines: Sequence[str], concurrency: int, *, chosen: bool = True) -> list[str]:
    """The engines that can pull one image concurrently: a local store gets an image once. Raises UsageError for chosen ones."""
    stores = [name for name in engines if CAPABILITIES[name].has_store] if concurrency > 1 else []
    if stores and chosen:
        raise UsageError(
            f"--concurrency {concurrency}: {stores[0]} pulls an image once at a time; use `--engine wire`, or measure a spec "
            f"of {concurrency} images: `pullbench init`"
        )
    return [name for name in engines if name not in stores]


def _run_name(host: str, repository: str) -> str:
    """A name that other images do not have: `pull-nginx`, `pull-ghcr.io-team-app`."""
    parts = [
        part
        for part in ("" if host in DOCKER_HUB_HOSTS else host, *repository.removeprefix("library/").split("/"))
        if part
    ]
    return re.sub(r"[^A-Za-z0-9._-]", "-", "-".join(["pull", *parts]))[-63:].lstrip("._-").rstrip("._-")


def _registry_name(host: str) -> str:
    """The host as a name: `localhost-5055`; a run of one image has no other name for it."""
    name = re.sub(r"[^A-Za-z0-9.-]+", "-", host)[-63:].strip(".-")
    return "docker-hub" if host in DOCKER_HUB_HOSTS else name or "registry"


def _image(ref: str) -> tuple[str, str, str]:
    """URL and host of the registry, and the image there."""
    from pullbench.bench.found_image import read_image

    scheme, _, rest = ref.rpartition("://")
    if scheme not in ("", "http", "https"):
        raise UsageError(f"{ref}: give an image as for `docker pull`, such as nginx:1.27 or ghcr.io/team/app:1.4")
    if "@" in rest.partition("/")[0] and "/" in rest:
        raise UsageError("REF has credentials in it; remove them and use `docker login`")
    try:
        found = read_image(rest)
    except ValueError as error:
        own = (
            str(error) if "library/" in rest else str(error).replace("'library/", "'", 1)
        )  # Docker Hub's default owner
        raise UsageError(f"REF: {own}") from None
    url = f"{scheme}://{found.host}" if scheme else found.url
    return url, found.host, str(found.reference)


def _engines(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    kinds = get_args(EngineKind)
    for name in names:
        if name not in kinds:
            raise UsageError(f"--engine: '{name}' is not known; {did_you_mean(name, kinds)}")
    if not names:
        raise UsageError(f"--engine: is empty; there are: {', '.join(kinds)}")
    return list(dict.fromkeys(names))
