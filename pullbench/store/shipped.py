"""Finds the files that ship with pullbench: prefect.yaml, flows, tasks, notebooks, ready specs, monitoring files.

They are the top-level directories of a checkout. The wheel has them as `pullbench/project`, the project template. A
directory with these files is a *project*: a checkout, the result of `pullbench init --project`, or the template.
"""

import sys
from importlib.resources import files
from pathlib import Path

PARTS = ("prefect.yaml", "flows", "tasks", "notebooks", "specs", "monitoring", "reports/README.md")
"""The parts of a project; pyproject.toml puts the same into the wheel."""
TEMPLATE = Path(str(files("pullbench"))) / "project"
"""Exists only in an installed wheel, not in a checkout."""
CODE_FOLDER = Path(__file__).parents[2]
"""Where `pullbench` is imported from: a checkout, or site-packages."""


def is_project(folder: Path) -> bool:
    """Whether a directory is a pullbench project; other tools' projects have a prefect.yaml too."""
    return (folder / "prefect.yaml").is_file() and (folder / "flows" / "pull_benchmark.py").is_file()


def shipped(path: str) -> Path:
    """A file or directory of a project, such as `notebooks/trend.ipynb`; the user's own comes before the template's.

    Searches the current directory if it is a project, the checkout of this code, and the template. If none has it, returns the
    path in the template; whoever reads it reports that it is missing.
    """
    found = (folder / path for folder in _projects() if (folder / path).exists())
    return next(found, TEMPLATE / path)


def project_folder() -> Path:
    """The first project that `shipped` searches."""
    return next(iter(_projects()), TEMPLATE)


def source_project() -> Path:
    """The project that new ones are copied from: never the current directory's, which users change."""
    return CODE_FOLDER if is_project(CODE_FOLDER) else TEMPLATE


def make_flows_importable() -> None:
    """Put the project first on `sys.path`: a wheel does not install the top-level names `flows` and `tasks`."""
    folder = str(project_folder())
    if folder not in sys.path:
        sys.path.insert(0, folder)


def _projects() -> list[Path]:
    try:
        current = [Path.cwd()]
    except FileNotFoundError:  # the directory was removed
        current = []
    return [folder for folder in (*current, CODE_FOLDER, TEMPLATE) if is_project(folder)]
