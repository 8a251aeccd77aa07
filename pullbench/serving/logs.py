"""Where the processes of `pullbench serve` write, and what they said last."""

import os
from pathlib import Path


def log_file(name: str) -> Path:
    """A fresh log under Prefect's home; the former one stays as NAME.log.1."""
    path = _path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        path.replace(path.with_suffix(".log.1"))
    path.touch(mode=0o600)
    return path


def last_words(name: str) -> str:
    """The last line of a log, and where the whole is."""
    path = _path(name)
    lines = path.read_text(errors="replace").split("\n") if path.exists() else []
    said = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
    return f"{said} ({path})"


def _path(name: str) -> Path:
    home = Path(os.environ.get("PREFECT_HOME") or Path.home() / ".prefect").expanduser()
    return home / "pullbench" / f"{name}.log"
