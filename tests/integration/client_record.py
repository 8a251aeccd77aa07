"""What an integration run saw of the clients on this machine: versions, tests that passed, and facts that tests noted.

With PULLBENCH_CLIENT_RECORD=FILE the run writes it as JSON; `make clients` keeps two of them, and docs/clients.md is made
from those.
"""

import json
import platform
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import pytest

_PROGRAMS = {
    "docker": ("dockerd", "--version"),
    "containerd": ("containerd", "--version"),
    "podman": ("podman", "--version"),
    "skopeo": ("skopeo", "--version"),
    "crane": ("crane", "version"),
    "docker-registry": ("docker-registry", "--version"),
}
_VERSION = re.compile(r"\d+\.\d+(\.\d+)*")
_PREFIX = "client fact: "


def note(record_property: Any, client: str, figure: str, of: str, value: int) -> None:
    """Keep a figure that a test saw of a client, for docs/clients.md: `note(record_property, "podman", "requests", "zstd", 4)`.

    Of several values the largest stays.
    """
    record_property(f"{_PREFIX}{client}", [figure, of, value])


def record_of(reports: Iterable[pytest.TestReport]) -> dict[str, Any]:
    """The record of a run, from the reports of its tests."""
    outcomes: dict[str, Counter[str]] = {}
    facts: dict[str, dict[str, dict[str, int]]] = {}
    for report in reports:
        if report.when == "call" or report.outcome != "passed":
            outcomes.setdefault(Path(report.fspath).stem, Counter())[report.outcome] += 1
        for name, value in report.user_properties if report.when == "call" else ():
            if name.startswith(_PREFIX):
                figure, of, seen = cast("list[Any]", value)
                figures = facts.setdefault(name.removeprefix(_PREFIX), {}).setdefault(figure, {})
                figures[of] = max(seen, figures.get(of, seen))
    return {
        "debian": _release(),
        "python": platform.python_version(),
        "clients": {name: version for name, call in _PROGRAMS.items() if (version := _version(call))},
        "tests": {name: dict(sorted(counts.items())) for name, counts in sorted(outcomes.items())},
        "facts": facts,
    }


def write_record(path: Path, reports: Iterable[pytest.TestReport]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record_of(reports), indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _version(call: tuple[str, ...]) -> str | None:
    program = shutil.which(call[0], path="/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin")
    if program is None:
        return None
    done = subprocess.run([program, *call[1:]], capture_output=True, text=True, timeout=20)
    found = _VERSION.search(done.stdout + done.stderr)
    return found[0] if found else None


def _release() -> str:
    found = dict(
        line.split("=", 1) for line in Path("/etc/os-release").read_text(encoding="utf-8").splitlines() if "=" in line
    )
    name = found.get("VERSION_CODENAME") or found["ID"]
    return "sid" if "sid" in found.get("PRETTY_NAME", "") else name.strip('"')
