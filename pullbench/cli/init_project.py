"""`init --project DIR`: a project to start from, with its deployments, flows, notebooks and specs."""

import shlex
from pathlib import Path

from pullbench.app.project import write_project
from pullbench.cli.terminal.safe_text import tell


def init_project(folder: Path) -> int:
    """Write the project, print what it consists of and the next command; exit code 0."""
    written = write_project(folder)
    tell(f"{folder}: wrote {', '.join(written)}")
    tell(f"next: cd {shlex.quote(str(folder))} && pullbench serve")
    return 0
