"""A project: its prefect.yaml, where its runs work, and whether a server was set up from it as it is now."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pullbench.errors import UsageError
from pullbench.store.shipped import CODE_FOLDER, TEMPLATE, project_folder

_SOURCES = ("flows", "tasks")
"""Forms, descriptions and entry points come from these, from prefect.yaml and from the package."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A directory with prefect.yaml, and its content."""

    folder: Path
    """Where prefect.yaml, flows and tasks are."""
    working_folder: Path
    """Where runs read specs and write results and reports: the same, unless the project is the installed template."""
    document: Mapping[str, Any]
    """prefect.yaml."""

    @property
    def deployments(self) -> Sequence[Mapping[str, Any]]:
        found: Sequence[Mapping[str, Any]] = self.document["deployments"]
        return found

    @property
    def pools(self) -> list[str]:
        """The work pools that deployments name, each once."""
        named = [entry["work_pool"]["name"] for entry in self.deployments]
        return list(dict.fromkeys(str(name) for name in named))

    @property
    def queues(self) -> list[tuple[str, str]]:
        """Pool and queue where deployments name a queue, each once."""
        pools = [entry["work_pool"] for entry in self.deployments]
        named = [(str(pool["name"]), str(pool["work_queue_name"])) for pool in pools if pool.get("work_queue_name")]
        return list(dict.fromkeys(named))

    @property
    def results(self) -> str:
        """Where pull-benchmark stores its results: the page of all reports lists them."""
        found = self._parameter("results")
        return found if "://" in found else str(self.working_folder / found)

    @property
    def reports(self) -> Path:
        """Where pull-benchmark writes its reports: they are served."""
        return self.working_folder / self._parameter("reports")

    def _parameter(self, name: str) -> str:
        """A parameter of pull-benchmark that names a place; where there is none, the flow's default, which is the name itself."""
        given = (entry.get("parameters") or {} for entry in self.deployments if entry["name"] == "pull-benchmark")
        return str(next(given, {}).get(name, name))

    @property
    def automations(self) -> Path:
        return self.folder / "monitoring" / "prefect"

    def to_deploy(self) -> dict[str, Any]:
        """prefect.yaml with entry points that are found from the working folder."""
        if self.folder == self.working_folder:
            return dict(self.document)
        entries = [{**entry, "entrypoint": f"{self.folder}/{entry['entrypoint']}"} for entry in self.deployments]
        return {**self.document, "deployments": entries}

    def fingerprint(self) -> str:
        """Changes with all that a deployment is made of: prefect.yaml, code of flows and forms, names of specs, directories."""
        specs = sorted(path.name for path in (self.working_folder / "specs").glob("*.yaml"))
        found = hashlib.sha256(f"{self.folder}\n{self.working_folder}\n{specs}".encode())
        package = self.folder if (self.folder / "pullbench").is_dir() else CODE_FOLDER
        folders = [*(self.folder / top for top in _SOURCES), package / "pullbench"]
        sources = (path for folder in folders for path in folder.rglob("*.py"))
        for path in sorted([self.folder / "prefect.yaml", *sources]):
            found.update(f"\n{path}\n".encode())
            found.update(path.read_bytes())
        return found.hexdigest()[:16]


def find_project(folder: Path | None) -> Project:
    """The project in a directory; by default that of the current directory, else the checkout that this code runs from.

    Without any of these it is the template in the installed package, and runs work in the current directory. Raises
    UsageError where the directory is no project, or where its prefect.yaml cannot be used.
    """
    found = (project_folder() if folder is None else folder).resolve()
    if not (found / "prefect.yaml").is_file():
        raise UsageError(f"no prefect.yaml in {found}: `pullbench init --project {found}` writes a project there")
    working_folder = Path.cwd() if found == TEMPLATE.resolve() else found
    return Project(folder=found, working_folder=working_folder, document=_document(found / "prefect.yaml"))


def _document(path: Path) -> dict[str, Any]:
    try:
        data = dict(yaml.safe_load(path.read_text(encoding="utf-8")))
        data["deployments"] = [dict(entry) for entry in data["deployments"]]
        for entry in data["deployments"]:
            _ = entry["name"], entry["entrypoint"], entry["work_pool"]["name"]
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        said = " ".join(str(error).split())
        raise UsageError(
            f"{path}: every deployment needs name, entrypoint and work_pool.name: {type(error).__name__}: {said}"
        ) from error
    return data
