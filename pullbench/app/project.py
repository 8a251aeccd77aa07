"""Writes the project template into a folder, as a project of a person's own: deployments, flows, notebooks, specs, alerts."""

import shutil
from pathlib import Path

from pullbench.errors import IncompleteError, UsageError
from pullbench.store.shipped import PARTS, source_project

_NOT_COPIED = shutil.ignore_patterns("__pycache__", "*.pyc", ".ipynb_checkpoints")


def write_project(folder: Path) -> list[str]:
    """Write it, and give what was written, such as `flows`; the folder is made if need be, and may hold other files.

    Raises UsageError, before anything is written, where a part of it is there already; IncompleteError where it cannot be
    written as a whole.
    """
    source = source_project()
    tops = list(dict.fromkeys(part.partition("/")[0] for part in PARTS))
    if there := [top for top in tops if (folder / top).exists() or (folder / top).is_symlink()]:
        raise UsageError(
            f"{folder}: {', '.join(there)} is there already, and nothing is overwritten; name another folder"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for part in PARTS:
            if (source / part).is_dir():
                shutil.copytree(source / part, folder / part, ignore=_NOT_COPIED)
            else:
                (folder / part).parent.mkdir(exist_ok=True)
                shutil.copyfile(source / part, folder / part)
    except (OSError, shutil.Error) as error:
        said = getattr(error, "strerror", None) or error
        raise IncompleteError(f"{folder}: the project could not be written there: {said}") from error
    return tops
