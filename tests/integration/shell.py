"""`pullbench` as a person starts it: a process of its own, with a Prefect home of the tests' own."""

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import yaml

from tests.integration.ports import free_port

QUIET = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
    "PREFECT_WORKER_QUERY_SECONDS": "1",
}
_HEALTHY_WITHIN_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found


class Shell:
    """Runs commands in a folder, with an environment."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.environment = {**os.environ, **QUIET, **environment}

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "pullbench", *arguments]

    def run(self, *arguments: str, timeout_s: float = 300.0, **environment: str) -> Done:
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        return Done(code=done.returncode, out=done.stdout, err=done.stderr)

    def push_images(self, url: str, *workload: str) -> list[str]:
        """Synthetic images on a registry that wants no login: their names, from the spec that the command prints."""
        pushed = self.run("images", "push", url, "--credentials", "anonymous", *workload)
        assert pushed.code == 0, pushed.err
        names: list[str] = yaml.safe_load(pushed.out)["images"]
        return names

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


class PrefectServer:
    """A Prefect server on a free loopback port."""

    def __init__(self, home: Path) -> None:
        self.home = home
        port = free_port()
        self.api = f"http://127.0.0.1:{port}/api"
        self.environment = {
            "PREFECT_HOME": str(home),
            "PREFECT_API_URL": self.api,
            "PREFECT_SERVER_API_HOST": "127.0.0.1",
            "PREFECT_SERVER_API_PORT": str(port),
        }
        self._process = self.start_prefect("server", "start")
        until = time.monotonic() + _HEALTHY_WITHIN_S
        while not self._healthy():
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"the Prefect server did not come up: {(home / 'server.log').read_text()[-1000:]}")
            time.sleep(0.3)

    def start_prefect(self, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.home / f"{arguments[0]}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "prefect", *arguments],
                env={**os.environ, **QUIET, **self.environment},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def prefect(self, *arguments: str, cwd: Path | None = None) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "prefect", *arguments],
            env={**os.environ, **QUIET, **self.environment},
            cwd=cwd,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(60)

    def _healthy(self) -> bool:
        try:
            return httpx.get(f"{self.api}/health", trust_env=False).is_success
        except httpx.TransportError:
            return False


def hiding_places(folders: Sequence[Path], done: Done) -> dict[str, bytes]:
    """Everything that a run wrote or printed, Parquet with its compression undone."""
    places = {"stdout": done.out.encode(), "stderr": done.err.encode()}
    for path in (path for folder in folders for path in folder.rglob("*") if path.is_file()):
        if path.suffix == ".parquet":
            places[str(path)] = str(pq.read_table(path).to_pylist()).encode() + path.read_bytes()
        else:
            places[str(path)] = path.read_bytes()
    return places


def holding(secret: str, places: Mapping[str, bytes]) -> list[str]:
    """Where a secret stands, as it is or in Base64."""
    forms = [secret.encode(), base64.b64encode(secret.encode())]
    return [name for name, content in places.items() if any(form in content for form in forms)]
