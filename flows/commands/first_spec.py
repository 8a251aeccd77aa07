"""`init`: a first spec from what is already deployed."""

import re
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from flows.console import count
from pullbench.bench.discover import DOCKER_HUB, FoundImage, images_in, read_image, with_defaults
from pullbench.bench.specfile import as_yaml
from pullbench.daemon.docker import DockerDaemon
from pullbench.errors import PullbenchError, UsageError
from pullbench.model.reference import Reference
from pullbench.model.spec import read_spec

_HEADER = """\
# A first spec of pullbench. Check it with `pullbench preflight {out}`, see what it will do with `pullbench plan {out}`,
# measure with `pullbench run {out}`. Every key: specs/spec.schema.json. Secrets never stand here: `credentials: docker`
# takes them from ~/.docker/config.json and its helpers. The docker engine pulls an image at most once a trial: with it,
# give as many images as pulls at once.
"""
_IMAGES_AT_MOST = 8


def write_first_spec(*, source: str | None, out: Path, registry: str | None, images: list[str]) -> int:
    """Write a spec for the registry that most of the images come from; never over a file that is there."""
    if source is not None and (registry is not None or images):
        raise UsageError("init: --from finds registry and images itself; leave out --registry and --image, or --from")
    if out.exists():
        raise UsageError(f"{out}: is there already; name another file with --out")
    found = _from_options(registry, images) if source is None else _found(source)
    hosts = Counter(image.host for image in found)
    host = hosts.most_common(1)[0][0]
    chosen = list(dict.fromkeys(image for image in found if image.host == host))
    url = registry if registry and "://" in registry else chosen[0].url
    data = {
        "name": "first-look",
        "registries": [
            {
                "name": _name(host),
                "url": url,
                "credentials": "docker",
            }
        ],
        "images": [str(image.reference) for image in chosen[:_IMAGES_AT_MOST]],
        "matrix": {"engines": ["wire"], "concurrency": [1, 2, 4]},
        "repetitions": 5,
        "budget": {"bytes": "20GB", "manifest_requests": 500, "minutes": 30},
    }
    read_spec(data)
    try:
        out.write_text(_HEADER.format(out=out) + as_yaml(data), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{out}: cannot be written: {error.strerror}") from error
    left = len(chosen) - _IMAGES_AT_MOST
    more = f" ({left} more were left out)" if left > 0 else ""
    print(f"{out}: {count(min(len(chosen), _IMAGES_AT_MOST), 'image')} of {url}{more}")
    for other, others in hosts.most_common()[1:]:
        print(f"not in it: {count(others, 'image')} of {other}; run init again with --registry and --image for them")
    print(f"next: pullbench preflight {out}")
    return 0


def _from_options(registry: str | None, images: list[str]) -> list[FoundImage]:
    if not images:
        raise UsageError(
            "init: name --from FILE (compose, Kubernetes) or --from docker, or --registry URL and --image REF"
        )
    try:
        if registry is None:
            return [read_image(image) for image in images]
        host = _host(registry)
        return [_at(host, image) for image in images]
    except ValueError as error:
        raise UsageError(f"--image: {error}") from error


def _host(registry: str) -> str:
    parts = urlsplit(registry if "://" in registry else f"//{registry}")
    if not parts.netloc or parts.path.strip("/") or parts.query or "@" in parts.netloc:
        raise UsageError(
            f"--registry {parts.hostname or registry}: give scheme, host and port alone: https://HOST[:PORT]"
        )
    return parts.netloc


def _at(host: str, image: str) -> FoundImage:
    """An image of the named registry; its own host may stand before it, as in `docker pull`."""
    for name in (host, "docker.io", "index.docker.io") if host == DOCKER_HUB else (host,):
        image = image.removeprefix(f"{name}/")
    return FoundImage(host=host, reference=Reference.parse(image))


def _found(source: str) -> list[FoundImage]:
    texts = _daemon_images() if source == "docker" else _file_images(Path(source))
    found = []
    for text in texts:
        try:
            found.append(read_image(with_defaults(text)))
        except ValueError as error:
            print(f"left out: {text}: {error}")
    if not found:
        raise UsageError(f"--from {source}: no image is named there; give --registry URL and --image REF instead")
    return found


def _file_images(path: Path) -> list[str]:
    try:
        return list(images_in(yaml.safe_load_all(path.read_text(encoding="utf-8"))))
    except OSError as error:
        raise UsageError(
            f"--from {path}: {error.strerror}; give a compose file, Kubernetes manifests, or 'docker'"
        ) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UsageError(f"--from {path}: is not YAML: {str(error).splitlines()[0]}") from error


def _daemon_images() -> list[str]:
    daemon = DockerDaemon()
    try:
        return sorted(daemon.pulled_tags())
    except PullbenchError as error:
        raise UsageError(f"--from docker: {error}") from error
    finally:
        daemon.close()


def _name(host: str) -> str:
    name = re.sub(r"[^A-Za-z0-9.-].*", "", host).removeprefix("registry-1.").partition(".")[0]
    return name if name and not name.isdigit() else "registry"
