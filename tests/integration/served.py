"""`pullbench serve` as a person has it: from a checkout elsewhere, on a Prefect home of the tests' own."""

import re
import shutil
import signal
import subprocess
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.integration.shell import Shell

ROOT = Path(__file__).parents[2]
PARTS = ("flows", "tasks", "pullbench", "notebooks", "specs", "monitoring", "prefect.yaml")
_UP_WITHIN_S = 300.0
_ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


def copy_checkout(folder: Path) -> Path:
    """What deployments need of the project, somewhere else."""
    folder.mkdir()
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / part)
    return folder


class Served:
    """One `pullbench serve`, which may be ended and started again on the same home and checkout.

    A `shell` of the caller's is that of an installed pullbench: it serves from its folder, without a checkout.
    """

    def __init__(self, folder: Path, shell: Shell | None = None) -> None:
        self._options = ["--port", "0", "--reports-port", "0"]
        if shell is None:
            self.checkout = copy_checkout(folder / "checkout")
            self._options += ["--checkout", str(self.checkout)]
        self.shell = shell or Shell(self.checkout, {"PREFECT_HOME": str(folder / "prefect")})
        for name in ("PREFECT_API_URL", "PULLBENCH_REPORTS_URL"):
            self.shell.environment.pop(name, None)
        self.ui = self.reports = ""
        self.lines: list[str] = []
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> list[str]:
        """Until it says how to stop it; what it said."""
        self.lines = []
        self._process = self.shell.start("serve", *self._options)
        reader = threading.Thread(target=self._read, daemon=True)
        reader.start()
        until = time.monotonic() + _UP_WITHIN_S
        while not any(line.startswith("Ctrl-C ") for line in self.lines):
            if self._process.poll() is not None or time.monotonic() > until:
                self._process.kill()  # else its stderr has no end
                said = self.lines, self._process.stderr.read() if self._process.stderr else ""
                raise AssertionError(f"pullbench serve did not come up: {said}")
            time.sleep(0.1)
        self.ui, self.reports = self.said("UI"), self.said("reports")
        return list(self.lines)

    def said(self, label: str) -> str:
        found = [line for line in self.lines if re.match(rf"{label}\s", line)]
        assert found, (label, self.lines)
        return found[-1].removeprefix(label).strip()

    def family(self) -> list[psutil.Process]:
        """The command and every process below it."""
        assert self._process is not None
        itself = psutil.Process(self._process.pid)
        return [itself, *itself.children(recursive=True)]

    def end(self, number: signal.Signals) -> tuple[int, list[psutil.Process]]:
        """Signal the command itself and wait; its exit code, and the processes of its family that are left."""
        assert self._process is not None
        family = self.family()
        self._process.send_signal(number)
        code = self._process.wait(90)
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()
        return code, [one for one in family if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            assert self.end(signal.SIGTERM) == (0, [])

    def api(self, path: str, body: dict[str, Any] | None = None) -> Any:
        method = "GET" if body is None else "POST"
        until = time.monotonic() + 60
        while True:
            answer = httpx.request(method, f"{self.ui}/api{path}", json=body, trust_env=False, timeout=60)
            if answer.status_code != 503 or time.monotonic() > until:
                break
            time.sleep(0.5)  # its database is busy, and it says so
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def provided(self) -> dict[str, Any]:
        """What a server has been given, with when it was last changed."""
        kinds = ("deployments", "work_pools", "automations", "variables")
        found = {kind: self.api(f"/{kind}/filter", {}) for kind in kinds}
        return {
            kind: sorted((entry["id"], entry["name"], entry["updated"]) for entry in entries)
            for kind, entries in found.items()
        }

    def switch_on(self, deployment: str, schedule: str) -> None:
        """A schedule's switch in the UI."""
        address = f"{self.ui}/api/deployments/{deployment}/schedules/{schedule}"
        until = time.monotonic() + 60
        while True:
            answer = httpx.patch(address, json={"active": True}, trust_env=False, timeout=60)
            if answer.status_code != 503 or time.monotonic() > until:
                break
            time.sleep(0.5)
        answer.raise_for_status()

    def next_dates(self, deployments: list[str]) -> dict[str, list[datetime]]:
        """When each deployment is to run next, once the scheduler, which looks every minute, has planned for each."""
        until = time.monotonic() + 180
        while True:
            planned: dict[str, list[datetime]] = {}
            for run in self.api("/deployments/get_scheduled_flow_runs", {"deployment_ids": deployments}):
                date = datetime.fromisoformat(run["next_scheduled_start_time"] or run["expected_start_time"])
                planned.setdefault(run["deployment_id"], []).append(date)
            if len(planned) == len(deployments) or time.monotonic() > until:
                return planned
            time.sleep(0.3)

    def refusal(self, deployment: str, **parameters: Any) -> str:
        """What the server says of parameters that the form would refuse."""
        with pytest.raises(httpx.HTTPStatusError) as refused:
            self.begin(deployment, **parameters)
        return str(refused.value.response.json()["detail"])

    def begin(self, deployment: str, **parameters: Any) -> str:
        found = self.api(f"/deployments/name/{deployment}")
        merged = {**found["parameters"], **parameters}
        return str(self.api(f"/deployments/{found['id']}/create_flow_run", {"parameters": merged})["id"])

    def wait(self, run: str) -> dict[str, Any]:
        """The final state of a flow run."""
        until = time.monotonic() + 300
        while True:
            state: dict[str, Any] = self.api(f"/flow_runs/{run}")["state"]
            if state["type"] in _ENDED:
                return state
            assert time.monotonic() < until, state
            time.sleep(0.3)

    def _read(self) -> None:
        assert self._process is not None and self._process.stdout is not None
        lines = self.lines
        for line in self._process.stdout:
            lines.append(line.rstrip("\n"))
