"""`init`: a first spec from what is already deployed."""

import re
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from pullbench.bench.discover import FoundImage, images_in, read_image
from pullbench.bench.specfile import as_yaml
from pullbench.daemon.docker import DockerDaemon
from pullbench.errors import PullbenchError, UsageError
from pullbench.model.reference import Reference
from pullbench.model.spec import read_spec

_HEADER = """\
# A first spec of pullbench. Check it with `pullbench preflight {out}`, see what it will do with `pullbench plan {out}`,
# measure with `pullbench run {out}`. Every key: specs/spec.schema.json. Secrets never stand here: `credentials: docker`
# takes them from ~/.docker/config.json and its helpers.
# yaml-language-server: $schema=specs/spec.schema.json
"""
_IMAGES_AT_MOST = 8


def write_first_spec(*, source: str | None, out: Path, registry: str | None, images: list[str]) -> int:
    """Write a spec for the registry that most of the images come from; never over a file that is there."""
    if out.exists():
        raise UsageError(f"{out}: is there already; name another file with --out")
    found = _from_options(registry, images) if source is None else _found(source)
    hosts = Counter(image.host for image in found)
    host = hosts.most_common(1)[0][0]
    chosen = list(dict.fromkeys(image for image in found if image.host == host))
    data = {
        "name": "first-look",
        "registries": [
            {
                "name": _name(host),
                "url": registry if registry and "://" in registry else chosen[0].url,
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
    print(
        f"{out}: {min(len(chosen), _IMAGES_AT_MOST)} images of {host}"
        + (f" ({left} more were left out)" if left > 0 else "")
    )
    for other, count in hosts.most_common()[1:]:
        print(f"not in it: {count} images of {other}; run init again with --registry and --image for them")
    print(f"next: pullbench preflight {out}")
    return 0


def _from_options(registry: str | None, images: list[str]) -> list[FoundImage]:
    if registry is None or not images:
        raise UsageError(
            "init: name --from FILE (compose, Kubernetes) or --from docker, or --registry URL and --image REF"
        )
    host = urlsplit(registry if "://" in registry else f"//{registry}").netloc
    if not host:
        raise UsageError(f"--registry {registry}: is no address: https://HOST[:PORT]")
    try:
        return [FoundImage(host=host, reference=Reference.parse(image)) for image in images]
    except ValueError as error:
        raise UsageError(f"--image: {error}") from error


def _found(source: str) -> list[FoundImage]:
    texts = _daemon_images() if source == "docker" else _file_images(Path(source))
    found = []
    for text in texts:
        try:
            found.append(read_image(text))
        except ValueError:
            print(f"left out: {text!r} is no plain reference")
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
        return sorted(daemon.tags())
    except PullbenchError as error:
        raise UsageError(f"--from docker: {error}") from error
    finally:
        daemon.close()


def _name(host: str) -> str:
    name = re.sub(r"[^A-Za-z0-9.-].*", "", host).removeprefix("registry-1.").partition(".")[0]
    return name if name and not name.isdigit() else "registry"
