"""`init`: writes a first spec from what is deployed, or a project."""

import os
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

from pullbench.bench.compose import MOST_BYTES
from pullbench.bench.discover import images_in
from pullbench.bench.first_spec import docker_answers, name_of_host
from pullbench.bench.found_image import FoundImage, Mention, read_image, read_image_at, serving_host
from pullbench.bench.yaml_documents import documents_of
from pullbench.cli.terminal.safe_text import print_line, print_notice
from pullbench.errors import PullbenchError, UsageError
from pullbench.model.addresses import DOCKER_HUB, DOCKER_HUB_HOSTS
from pullbench.model.text import count, did_you_mean, printable
from pullbench.registry.keychain import Keychain

IMAGES_AT_MOST = 8
_SPEC = """\
# yaml-language-server: $schema={schema}
# A first spec, written by `pullbench init` from {source}.
#   pullbench preflight {out}     is the registry ready?
#   pullbench plan {out}          what will a run do, and how long will it take?
#   pullbench run {out}           measure, store, report
name: {name}

registries:
  - name: {name}
    url: {url}
    credentials: {credentials}
    # region: eu-west      # a label for the report
    # ca_file: ca.pem      # the CA of its certificate, if it is your own

# A run pulls every image from every registry above.
images:
{images}
matrix:
  engines: {engines}
  concurrency: {concurrency}   # docker needs at least as many images as concurrent pulls
  # platforms: [linux/amd64, linux/arm64]     # default: that of this machine

repetitions: 5             # 5 or more for a verdict
budget: {{bytes: 20GB, manifest_requests: 500, minutes: 30}}   # the run stops here and keeps its results

# With an SLO, a run that misses it has exit code 1. Remove the # to set one.
# slo:
#   success_rate: 0.999        # the share of pulls that succeed
#   p95_pull_s: 10             # 95% of pulls take at most 10 s
#   consecutive_failures: 3    # fewer than 3 pulls in a row fail
"""
_ENGINES = {
    "both": "[docker, wire]  # docker pulls as a node does; wire measures the registry and the network alone",
    "wire": "[wire]          # the registry and the network alone; docker, podman, skopeo and containerd are known too",
    "stored": "[wire]          # the registry and the network alone; docker has these images already, so they are not cold",
}
SCHEMA_FILE = "pullbench.schema.json"
_SCHEMAS = ("spec.schema.json", "specs/spec.schema.json")
_CREDENTIALS = {
    "docker": "docker    # the login of `docker login`, which stays out of the spec",
    "anonymous": "anonymous # no login found: run `docker login {host}` and write docker; or env:PREFIX",
}
_NEXT = (
    ("pullbench preflight specs/first.yaml", "is the registry ready?"),
    ("pullbench run specs/first.yaml", "how fast is it?"),
    ("pullbench run specs/concurrency.yaml", "which concurrency is best?"),
    ("pullbench run specs/engines.yaml", "is the registry slow, or the node?"),
    ("pullbench serve", "the same from a browser and on a schedule"),
)
"""What a project answers, and the question."""

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
            help="A compose file, Kubernetes manifests, Helm values, the local Docker daemon, or stdin; repeatable.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The spec file to write.")] = Path("pullbench.yaml"),
    registry: Annotated[
        str | None, typer.Option(metavar="URL", help="The registry, if --from has several; or with --image.")
    ] = None,
    image: Annotated[
        list[str] | None, typer.Option(metavar="REF", help="An image of the registry; repeatable.")
    ] = None,
    project: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Write a project into this directory: ready specs, deployments, flows, notebooks."
        ),
    ] = None,
) -> int:
    """Write a first spec from what is deployed, or a project.

    It finds images in compose files, Kubernetes manifests or the local Docker daemon. The spec is for the registry with most
    of them. It also writes the JSON Schema of specs, for editors. --project writes a directory: a ready
    spec for each question, and what `pullbench serve` needs. Every spec has the registry and the images.
    """
    target = out if project is None else project / "specs" / "first.yaml"
    asked = _Asked(sources=source or (), registry=registry, images=image or (), out=target)
    if project is None:
        _write_first_spec(asked)
    else:
        _write_project(project, asked)
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What the command line said of a spec."""

    sources: Sequence[str]
    registry: str | None
    images: Sequence[str]
    out: Path


def _write_project(project: Path, asked: _Asked) -> None:
    """Write the project, its specs filled where the command line names images, and print what answers which question."""
    from pullbench.app.project import ProjectTarget, write_project

    target = None
    if asked.sources or asked.images or asked.registry is not None:
        found, chosen = _chosen(asked)
        images = list(found.images[chosen])
        target = ProjectTarget(
            url=_url(asked, images),
            credentials=_CREDENTIALS[_credentials(chosen)].format(host=_shown_host(chosen)),
            images=[str(image.reference) for image in images[:IMAGES_AT_MOST]],
        )
    print_line(f"{project}: wrote {', '.join(write_project(project, target))}")
    if target is None:
        print_line(
            "write your registry and images into the specs; --registry URL --image REF writes them into every spec"
        )
    else:
        print_line(f"every spec: {count(len(target.images), 'image')} of {target.url}")
        _print_left_out(asked, found, chosen)
        print_line("specs with a mirror or a second registry: change that as well (proxy, proxy-cache, fleet, regions)")
    print_line(f"next: cd {shlex.quote(str(project))}, then")
    for command, question in _NEXT:
        print_line(f"  {command:<40} {question}")


def _write_first_spec(asked: _Asked) -> None:
    """Find the images, write the spec of one registry, and report what is not in it."""
    from pullbench.model.spec import read_spec

    out, (found, chosen) = asked.out, _chosen(asked)
    if out.exists() or out.is_symlink():
        raise UsageError(f"{out}: exists; name another file with --out")
    others = _others(asked, found, chosen)
    text, url = _text_of(asked, found, chosen, others)
    read_spec(yaml.safe_load(text))
    _write(out, text)
    _write_schema(out)
    print_line(f"{out}: {count(len(found.images[chosen]), 'image')} of {url}")
    _print_left_out(asked, found, chosen)
    print_line(f"next: pullbench preflight {shlex.quote(str(out))} && pullbench run {shlex.quote(str(out))}")


def _print_left_out(asked: _Asked, found: _Found, chosen: str) -> None:
    for line in found.left_out:
        print_notice(f"left out: {line}")
    for other, command in _others(asked, found, chosen).items():
        print_line(f"not in it: {count(len(found.images[other]), 'image')} of {other}: {command}")


def _others(asked: _Asked, found: _Found, chosen: str) -> dict[str, str]:
    """The commands for the images of the other registries."""
    return {other: _again(asked, other, list(images)) for other, images in found.images.items() if other != chosen}


def _chosen(asked: _Asked) -> tuple[_Found, str]:
    """The images, and the registry that the spec is for."""
    if asked.sources and asked.images:
        raise UsageError("init: --from finds the images; leave out --image or --from")
    host = None if asked.registry is None else _host(asked.registry)
    found = _found(asked.sources, os.environ) if asked.sources else _named(host, asked.images)
    chosen = next(iter(found.images)) if host is None else host
    if chosen not in found.images:
        raise UsageError(f"--registry {asked.registry}: no image of it was found; {did_you_mean(chosen, found.images)}")
    return found, chosen


def _text_of(asked: _Asked, found: _Found, chosen: str, others: Mapping[str, str]) -> tuple[str, str]:
    """The spec's text, and the URL of its registry."""
    images = found.images[chosen]
    url = _url(asked, list(images))
    text = spec_text(
        out=asked.out,
        source=", ".join("stdin" if source == "-" else source for source in asked.sources) or "the command line",
        host=chosen,
        url=url,
        credentials=_credentials(chosen),
        images={str(image.reference): where for image, where in images.items()},
        others=others,
        engines="stored" if "docker" in asked.sources else "both" if docker_answers() else "wire",
        schema=schema_of(asked.out),
    )
    return text, url


def _url(asked: _Asked, images: Sequence[FoundImage]) -> str:
    named = asked.registry
    return named if named and "://" in named else images[0].url


def _shown_host(host: str) -> str:
    return DOCKER_HUB if host in DOCKER_HUB_HOSTS else host


def schema_of(out: Path) -> str:
    """The schema for a spec file, relative to it: a project has one, else `init` writes one beside it."""
    return next((name for name in _SCHEMAS if (out.parent / name).is_file()), SCHEMA_FILE)


def _write_schema(out: Path) -> None:
    """Write the schema that the spec names; one of ours is brought up to date, and another file stays."""
    from pullbench.model.spec_schema import TITLE, spec_schema

    file = out.parent / SCHEMA_FILE
    if schema_of(out) != SCHEMA_FILE:
        return
    try:
        if not file.exists() or f'"title": "{TITLE}"' in file.read_text(encoding="utf-8", errors="replace"):
            file.write_text(spec_schema(), encoding="utf-8")
    except OSError as error:
        print_notice(f"{file}: cannot be written: {error.strerror}; editors do not check the spec without it")


def _write(out: Path, text: str) -> None:
    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise UsageError(f"{out}: cannot be written: {error.strerror}") from error


def _again(asked: _Asked, host: str, images: Sequence[FoundImage]) -> str:
    """The command for the images of another registry; images that were named are named again."""
    other = asked.out.with_name(f"{asked.out.stem}-{name_of_host(host)}{asked.out.suffix}")
    files = [argument for source in asked.sources for argument in ("--from", source)]
    again = [argument for found in images for argument in ("--image", str(found.reference))] if asked.images else []
    return shlex.join(["pullbench", "init", *files, *again, "--registry", host, "--out", str(other)])


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
            "init: give --from FILE (compose, Kubernetes; - is stdin), --from docker, or --registry URL and --image REF"
        )
    try:
        found = [read_image(image) if host is None else read_image_at(host, image) for image in images]
    except ValueError as error:
        raise UsageError(f"--image: {error}") from error
    return _Found(images=_by_host([(image, "") for image in found]))


def _host(registry: str) -> str:
    parts = urlsplit(registry if "://" in registry else f"//{registry}")
    if not parts.netloc or parts.path.strip("/") or parts.query or "@" in parts.netloc:
        raise UsageError(
            f"--registry {parts.hostname or registry}: give only scheme, host and port: https://HOST[:PORT]"
        )
    return serving_host(parts.netloc)


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
            f"--from {', '.join(sources)}: no image found{why}; give --registry URL and --image REF instead"
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
        return [Mention(where=remark, image=tag) for tag, remark in sorted(_daemon_images().items())]
    try:
        file = None if source == "-" else Path(source)
        return list(images_in(documents_of(_read(source)), environ, file))
    except ValueError as error:
        raise UsageError(f"--from {source}: {error}") from error


def _read(source: str) -> str:
    try:
        if source == "-":
            content = sys.stdin.buffer.read(MOST_BYTES + 1)
        else:
            with Path(source).open("rb") as file:
                content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise UsageError(
            f"--from {source}: {error.strerror}; give a compose file, Kubernetes manifests, 'docker', or - for stdin"
        ) from error
    if len(content) > MOST_BYTES:
        raise UsageError(f"--from {source}: is larger than {MOST_BYTES // 1_000_000} MB")
    return content.decode("utf-8-sig", "replace")


def _daemon_images() -> dict[str, str]:
    from pullbench.daemon.docker import DockerDaemon
    from pullbench.daemon.image_store import image_store

    daemon = DockerDaemon()
    try:
        return image_store(daemon).pulled_tags()
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
    engines: str,
    schema: str,
) -> str:
    """A commented spec; `images` are references with where each was found, `others` the commands for other registries."""
    lines = [_entry(image, where) for image, where in images.items()]
    listed = [f"  {line}" for line in lines[:IMAGES_AT_MOST]]
    if len(lines) > IMAGES_AT_MOST:
        listed.append("  # Found too; each makes a run longer:")
        listed += [f"  # {line}" for line in lines[IMAGES_AT_MOST:]]
    if others:
        listed.append("# Images of other registries need a spec of their own:")
        listed += [f"#   {_comment(command)}" for command in islice(others.values(), 20)]
    loads = [load for load in (1, 2, 4) if engines != "both" or load <= len(images)]
    return _SPEC.format(
        concurrency=str(loads),
        source=_comment(source),
        out=_comment(str(out)),
        engines=_ENGINES[engines],
        schema=schema,
        name=_scalar(name_of_host(host)),
        url=_scalar(url),
        credentials=_CREDENTIALS[credentials].format(host=_shown_host(host)),
        images="".join(f"{line}\n" for line in listed),
    )


def _entry(image: str, where: str) -> str:
    return f"- {_scalar(image)}" + (f"  # {_comment(where)}" if where else "")


def _scalar(text: str) -> str:
    """Text as YAML reads it back: `12:34` would be a number."""
    return yaml.safe_dump([text], width=10_000).strip().removeprefix("- ")


def _comment(text: str) -> str:
    return printable(text)
