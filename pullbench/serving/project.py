"""A checkout of pullbench: its prefect.yaml, and whether it is the one that a server was set up from."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pullbench.errors import UsageError

_INSTALLED = Path(__file__).parents[2]
_SOURCES = ("flows", "tasks", "pullbench")
"""What forms, descriptions and entry points come from, beside prefect.yaml."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkout:
    """A folder with prefect.yaml, and what that says."""

    folder: Path
    deployments: Sequence[Mapping[str, Any]]

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
    def automations(self) -> Path:
        return self.folder / "monitoring" / "prefect"

    def fingerprint(self) -> str:
        """Changes with anything that a deployment is made of: prefect.yaml, the code of flows and forms, the folder."""
        found = hashlib.sha256(str(self.folder).encode())
        sources = (path for top in _SOURCES for path in (self.folder / top).rglob("*.py"))
        for path in sorted([self.folder / "prefect.yaml", *sources]):
            found.update(f"\n{path.relative_to(self.folder)}\n".encode())
            found.update(path.read_bytes())
        return found.hexdigest()[:16]


def find_checkout(folder: Path | None) -> Checkout:
    """The checkout asked for; else the current folder, where it is one; else the one that this code stands in.

    Raises UsageError where there is none, or where its prefect.yaml cannot be used.
    """
    tried = [Path.cwd(), _INSTALLED] if folder is None else [folder]
    for candidate in tried:
        if (candidate / "prefect.yaml").is_file():
            return Checkout(folder=candidate.resolve(), deployments=_deployments(candidate / "prefect.yaml"))
    where = " nor in ".join(str(candidate) for candidate in tried)
    raise UsageError(f"no prefect.yaml in {where}: start it in a checkout of pullbench, or name one with --checkout")


def _deployments(path: Path) -> list[dict[str, Any]]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
        entries = [dict(entry) for entry in data["deployments"]]
        for entry in entries:
            _ = entry["name"], entry["entrypoint"], entry["work_pool"]["name"]
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        said = " ".join(str(error).split())
        raise UsageError(
            f"{path}: every deployment needs name, entrypoint and work_pool.name: {type(error).__name__}: {said}"
        ) from error
    return entries
