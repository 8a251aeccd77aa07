"""The text of a first spec: what it says, and beside each line what else could stand there."""

import re
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

import yaml

from pullbench.cli.terminal.safe_text import plain

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
    return str(plain(text))
