"""Writes the project template into a directory: deployments, flows, notebooks, specs, alerts."""

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from pullbench.errors import IncompleteError, UsageError
from pullbench.store.shipped import PARTS, source_project

_NOT_COPIED = shutil.ignore_patterns("__pycache__", "*.pyc", ".ipynb_checkpoints")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectTarget:
    """The registry and the images that the specs of a new project measure. `credentials` may end with a YAML comment."""

    url: str
    credentials: str
    images: Sequence[str]


def fill(spec: str, target: ProjectTarget) -> str:
    """A ready spec's text with the target in its first registry and its images; all else stays, comments too.

    The registry's region is not known, so it has none.
    """
    images = "".join(f"  - {_scalar(image)}\n" for image in target.images)
    for place, text in (
        (r"^# Change the URL and the images first.*\n", ""),
        (r"(?<=^    url: ).*$", _scalar(target.url)),
        (r"^    region: .*$", "    # region: eu-west             # a label for the report"),
        (r"(?<=^    credentials: ).*$", target.credentials),
        (r"^images:.*\n(?:  - .*\n)+", f"images:\n{images}"),
    ):
        spec = re.sub(place, lambda _, text=text: text, spec, count=1, flags=re.MULTILINE)  # type: ignore[misc]
    return spec


def _scalar(text: str) -> str:
    return yaml.safe_dump([text], width=10_000).strip().removeprefix("- ")


def write_project(folder: Path, target: ProjectTarget | None = None) -> list[str]:
    """Write the project, and return its parts, such as `flows`. The directory may have other files.

    With a target, every spec of the project measures it.

    Raises UsageError, before it writes anything, where a part exists; IncompleteError where it cannot write all parts.
    """
    source = source_project()
    tops = list(dict.fromkeys(part.partition("/")[0] for part in PARTS))
    if there := [top for top in tops if (folder / top).exists() or (folder / top).is_symlink()]:
        raise UsageError(f"{folder}: {', '.join(there)} exists, and nothing is overwritten; name another directory")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for part in PARTS:
            if (source / part).is_dir():
                shutil.copytree(source / part, folder / part, ignore=_NOT_COPIED)
            else:
                (folder / part).parent.mkdir(exist_ok=True)
                shutil.copyfile(source / part, folder / part)
        if target is not None:
            for spec in sorted((folder / "specs").glob("*.yaml")):
                spec.write_text(fill(spec.read_text(encoding="utf-8"), target), encoding="utf-8")
    except (OSError, shutil.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise IncompleteError(f"{folder}: the project could not be written: {reason}") from error
    return tops
