"""Writes the project template into a directory: deployments, flows, notebooks, specs, alerts."""

import shutil
from pathlib import Path

from pullbench.errors import IncompleteError, UsageError
from pullbench.store.shipped import PARTS, source_project

_NOT_COPIED = shutil.ignore_patterns("__pycache__", "*.pyc", ".ipynb_checkpoints")


def write_project(folder: Path) -> list[str]:
    """Write the project, and return its parts, such as `flows`. The directory may have other files.

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
    except (OSError, shutil.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise IncompleteError(f"{folder}: the project could not be written: {reason}") from error
    return tops
