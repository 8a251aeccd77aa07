"""Finds what ships with pullbench beside its code: prefect.yaml, flows, tasks, notebooks, ready specs, monitoring files.

They are the top-level folders of a checkout. The wheel has them as `pullbench/project`, the project template. A folder that
has them is a *project*: a checkout, what `pullbench init --project` wrote, or the template.
"""

import sys
from importlib.resources import files
from pathlib import Path

PARTS = ("prefect.yaml", "flows", "tasks", "notebooks", "specs", "monitoring", "reports/README.md")
"""What a project consists of; pyproject.toml puts the same into the wheel."""
TEMPLATE = Path(str(files("pullbench"))) / "project"
"""Only in an installed wheel; in a checkout there is no such folder."""
CODE_FOLDER = Path(__file__).parents[2]
"""What `pullbench` is imported from: a checkout, or site-packages."""


def is_project(folder: Path) -> bool:
    """Whether a folder is a project of pullbench; other tools' projects have a prefect.yaml too."""
    return (folder / "prefect.yaml").is_file() and (folder / "flows" / "pull_benchmark.py").is_file()


def shipped(path: str) -> Path:
    """A file or folder of a project, such as `notebooks/trend.ipynb`: an own one goes before the template's.

    Searched are the current folder where it is a project, the checkout that this code runs from, and the template.
    Where none has it, this is the place in the template; whoever reads it reports that it is missing.
    """
    found = (folder / path for folder in _projects() if (folder / path).exists())
    return next(found, TEMPLATE / path)


def project_folder() -> Path:
    """The first project of those that `shipped` searches."""
    return next(iter(_projects()), TEMPLATE)


def source_project() -> Path:
    """The project that new ones are copied from: never the current folder's, which people change."""
    return CODE_FOLDER if is_project(CODE_FOLDER) else TEMPLATE


def make_flows_importable() -> None:
    """Put the project first on `sys.path`: `flows` and `tasks` are top-level names, which a wheel does not install."""
    folder = str(project_folder())
    if folder not in sys.path:
        sys.path.insert(0, folder)


def _projects() -> list[Path]:
    try:
        current = [Path.cwd()]
    except FileNotFoundError:  # it was removed
        current = []
    return [folder for folder in (*current, CODE_FOLDER, TEMPLATE) if is_project(folder)]
