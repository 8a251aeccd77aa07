"""`init`: a first spec from what is already deployed."""

import os
import re
import shlex
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer
import yaml

from pullbench.bench.discover import DOCKER_HUB, FoundImage, Mention, documents_of, images_in, read_image
from pullbench.cli.terminal.safe_text import print_line
from pullbench.errors import PullbenchError, UsageError
from pullbench.model.reference import Reference
from pullbench.model.text import count, printable
from pullbench.registry.keychain import Keychain

_MOST_BYTES = 50_000_000
_HUB_NAMES = (DOCKER_HUB, "docker.io", "index.docker.io", "hub.docker.com")
IMAGES_AT_MOST = 8
_SPEC = """\
# A first spec of pullbench, from {source}. Check it:       pullbench preflight {out}
# See what a run would do:  pullbench plan {out}        Measure:  pullbench run {out}
# Every key: specs/spec.schema.json.
name: first-look

registries:
  - name: {name}
    url: {url}
    credentials: {credentials}
    # region: eu-west      # a label for the report
    # ca_file: ca.pem      # where a CA of your own signed its certificate

# Every image is pulled from every registry above.
images:
{images}
matrix:
  engines: [wire]          # registry and network alone; docker, podman, skopeo and containerd unpack or store, too
  concurrency: [1, 2, 4]   # docker pulls an image at most once a trial: give as many images as pulls at once
  # platforms: [linux/amd64, linux/arm64]     # default: this machine's

repetitions: 5             # passes over all settings; 5 or more for a verdict
budget: {{bytes: 20GB, manifest_requests: 500, minutes: 30}}   # the run stops here, with what it measured stored
"""
_CREDENTIALS = {
    "docker": "docker    # from ~/.docker/config.json and its helpers; no secret stands in a spec",
    "anonymous": "anonymous # config.json has none: `docker login {host}`, then write docker; or env:PREFIX",
}

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """The images by registry, with where each was found; the registry with most images comes first."""

    images: Mapping[str, Mapping[FoundImage, str]]
    left_out: Sequence[str] = ()


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
) -> int:
    """Write a first spec: the images found, the registries that they come from."""
    from pullbench.app.project import write_project
    from pullbench.model.spec import read_spec

    if project is not None:
        if source or image or registry is not None:
            raise UsageError("init: --project writes a project; leave out --from, --registry and --image")
        print_line(f"{project}: wrote {', '.join(write_project(project))}")
        print_line(f"next: cd {shlex.quote(str(project))} && pullbench serve")
        return 0

    sources = source or []
    if source and image:
        raise UsageError("init: --from finds the images itself; leave out --image, or --from")
    if out.exists() or out.is_symlink():
        raise UsageError(f"{out}: is there already; name another file with --out")
    host = None if registry is None else _host(registry)
    found = _found(sources, os.environ) if sources else _named(host, image or [])
    chosen = next(iter(found.images)) if host is None else host
    if chosen not in found.images:
        raise UsageError(f"--registry {registry}: no image of it is there; there are: {', '.join(found.images)}")
    url = registry if registry and "://" in registry else next(iter(found.images[chosen])).url
    mentions = {str(image.reference): where for image, where in found.images[chosen].items()}
    others = {other: _again(sources, other, out) for other in found.images if other != chosen}
    text = spec_text(
        out=out,
        source=", ".join("stdin" if source == "-" else source for source in sources) or "the command line",
        host=chosen,
        url=url,
        credentials=_credentials(chosen),
        images=mentions,
        others=others,
    )
    read_spec(yaml.safe_load(text))
    _write(out, text)
    for line in found.left_out:
        print_line(f"left out: {line}")
    print_line(f"{out}: {count(len(mentions), 'image')} of {url}")
    for other, command in others.items():
        print_line(f"not in it: {count(len(found.images[other]), 'image')} of {other}: {command}")
    print_line(f"next: pullbench preflight {shlex.quote(str(out))}")
    return 0


def _write(out: Path, text: str) -> None:
    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise UsageError(f"{out}: cannot be written: {error.strerror}") from error


def _again(sources: Sequence[str], host: str, out: Path) -> str:
    """The command for the images of another registry."""
    other = out.with_name(f"{out.stem}-{name_of_host(host)}{out.suffix}")
    files = [argument for source in sources for argument in ("--from", source)]
    return shlex.join(["pullbench", "init", *files, "--registry", host, "--out", str(other)])


def _credentials(host: str) -> str:
    """`docker` where Docker's configuration has credentials for the host, or says that it does and fails."""
    try:
        found = Keychain(environ=os.environ).credentials("docker", host)
    except UsageError:
        return "docker"
    return "anonymous" if found is None else "docker"


def _named(host: str | None, images: Sequence[str]) -> _Found:
    if not images:
        raise UsageError(
            "init: name --from FILE (compose, Kubernetes; - is stdin) or --from docker, or --registry URL and --image REF"
        )
    try:
        found = [read_image(image) if host is None else _at(host, image) for image in images]
    except ValueError as error:
        raise UsageError(f"--image: {error}") from error
    return _Found(images=_by_host([(image, "") for image in found]))


def _host(registry: str) -> str:
    parts = urlsplit(registry if "://" in registry else f"//{registry}")
    if not parts.netloc or parts.path.strip("/") or parts.query or "@" in parts.netloc:
        raise UsageError(
            f"--registry {parts.hostname or registry}: give scheme, host and port alone: https://HOST[:PORT]"
        )
    return DOCKER_HUB if parts.netloc in _HUB_NAMES else parts.netloc


def _at(host: str, image: str) -> FoundImage:
    """An image of the named registry; its own host may stand before it, as in `docker pull`."""
    for name in _HUB_NAMES if host == DOCKER_HUB else (host,):
        image = image.removeprefix(f"{name}/")
    if host == DOCKER_HUB:
        return read_image(f"{host}/{image}")
    return FoundImage(host=host, reference=Reference.parse(image))


def _found(sources: Sequence[str], environ: Mapping[str, str]) -> _Found:
    found: list[tuple[FoundImage, str]] = []
    left_out: list[str] = []
    for source in sources:
        for mention in _mentions(source, environ):
            try:
                if mention.why_not:
                    raise ValueError(mention.why_not)
                found.append((read_image(mention.image), mention.where))
            except ValueError as error:
                left_out.append(": ".join(part for part in (mention.where, mention.image, str(error)) if part))
    if not found:
        why = f" (left out: {left_out[0]})" if left_out else ""
        raise UsageError(
            f"--from {', '.join(sources)}: no image is named there{why}; give --registry URL and --image REF instead"
        )
    return _Found(images=_by_host(found), left_out=left_out)


def _by_host(found: Sequence[tuple[FoundImage, str]]) -> dict[str, dict[FoundImage, str]]:
    images: dict[str, dict[FoundImage, str]] = {}
    for image, where in found:
        images.setdefault(image.host, {}).setdefault(image, where)
    sizes = Counter({host: len(each) for host, each in images.items()})
    return {host: images[host] for host, _ in sizes.most_common()}


def _mentions(source: str, environ: Mapping[str, str]) -> list[Mention]:
    if source == "docker":
        return [Mention(where="", image=tag) for tag in _daemon_images()]
    try:
        return list(images_in(documents_of(_read(source)), environ))
    except ValueError as error:
        raise UsageError(f"--from {source}: {error}") from error


def _read(source: str) -> str:
    try:
        if source == "-":
            content = sys.stdin.buffer.read(_MOST_BYTES + 1)
        else:
            with Path(source).open("rb") as file:
                content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise UsageError(
            f"--from {source}: {error.strerror}; give a compose file, Kubernetes manifests, 'docker', or - for stdin"
        ) from error
    if len(content) > _MOST_BYTES:
        raise UsageError(f"--from {source}: is larger than {_MOST_BYTES // 1_000_000} MB")
    return content.decode("utf-8-sig", "replace")


def _daemon_images() -> list[str]:
    from pullbench.daemon.docker import DockerDaemon

    daemon = DockerDaemon()
    try:
        return sorted(daemon.pulled_tags())
    except PullbenchError as error:
        raise UsageError(f"--from docker: {error}") from error
    finally:
        daemon.close()


def spec_text(
    *,
    out: Path,
    source: str,
    host: str,
    url: str,
    credentials: str,
    images: Mapping[str, str],
    others: Mapping[str, str],
) -> str:
    """A commented spec; `images` are references with where each was found, `others` the commands for other registries."""
    lines = [_entry(image, where) for image, where in images.items()]
    listed = [f"  {line}" for line in lines[:IMAGES_AT_MOST]]
    if len(lines) > IMAGES_AT_MOST:
        listed.append("  # Found, too; a run takes longer with each:")
        listed += [f"  # {line}" for line in lines[IMAGES_AT_MOST:]]
    if others:
        listed.append("# Images of other registries want a spec of their own:")
        listed += [f"#   {_comment(command)}" for command in islice(others.values(), 20)]
    return _SPEC.format(
        source=_comment(source),
        out=_comment(str(out)),
        name=_scalar(name_of_host(host)),
        url=_scalar(url),
        credentials=_CREDENTIALS[credentials].format(host=host),
        images="".join(f"{line}\n" for line in listed),
    )


def name_of_host(host: str) -> str:
    """A registry's name in a spec: the first label of its host that says something."""
    if host == "registry-1.docker.io":
        return "docker-hub"
    name = re.sub(r"[^A-Za-z0-9.-].*", "", host).partition(".")[0]
    return name if name and not name.isdigit() else "registry"


def _entry(image: str, where: str) -> str:
    return f"- {_scalar(image)}" + (f"  # {_comment(where)}" if where else "")


def _scalar(text: str) -> str:
    """Text as YAML reads it back: `12:34` would be a number."""
    return yaml.safe_dump([text], width=10_000).strip().removeprefix("- ")


def _comment(text: str) -> str:
    return printable(text)
