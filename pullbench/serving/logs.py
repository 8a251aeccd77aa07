"""The logs of the processes of `pullbench serve`, and their last line."""

import os
from pathlib import Path


def log_file(name: str) -> Path:
    """A new log under Prefect's home; the former one is kept as NAME.log.1."""
    path = _path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        path.replace(path.with_suffix(".log.1"))
    path.touch(mode=0o600)
    return path


def last_words(name: str) -> str:
    """The last line of a log, and the log's path."""
    path = _path(name)
    lines = path.read_text(errors="replace").split("\n") if path.exists() else []
    said = next((line.strip() for line in reversed(lines) if line.strip()), "its log is empty")
    return f"{said} ({path})"


def _path(name: str) -> Path:
    home = Path(os.environ.get("PREFECT_HOME") or Path.home() / ".prefect").expanduser()
    return home / "pullbench" / f"{name}.log"
