"""Prometheus and a Pushgateway on free ports of loopback, as tests need them."""

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.integration.ports import free_port

_WITHIN_S = 120.0
_POLL_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class RealPrometheus:
    """A Prometheus that scrapes and evaluates every other second."""

    url: str

    def query(self, expr: str) -> list[dict[str, Any]]:
        """What an expression gives now."""
        answer = httpx.get(f"{self.url}/api/v1/query", params={"query": expr}, timeout=30, trust_env=False)
        assert answer.status_code == 200, f"{expr}: {answer.text}"
        found: list[dict[str, Any]] = answer.json()["data"]["result"]
        return found

    def firing(self) -> set[tuple[str, str]]:
        """Names of the alerts that fire, each with its benchmark."""
        answer = httpx.get(f"{self.url}/api/v1/alerts", timeout=30, trust_env=False).json()
        alerts = [alert["labels"] for alert in answer["data"]["alerts"] if alert["state"] == "firing"]
        return {(labels["alertname"], labels.get("benchmark", "")) for labels in alerts}


@contextlib.contextmanager
def running_prometheus(program: str, folder: Path, *, targets: Sequence[str], rules: Path) -> Iterator[RealPrometheus]:
    """Scrapes `targets` (host:port), evaluates the rules of a file."""
    config = {
        "global": {"scrape_interval": "2s", "evaluation_interval": "2s"},
        "rule_files": [str(rules)],
        "scrape_configs": [{"job_name": "pullbench", "static_configs": [{"targets": list(targets)}]}],
    }
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(config))
    address = f"127.0.0.1:{free_port()}"
    options = [f"--config.file={path}", f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address={address}"]
    with running([program, *options], folder / "prometheus.log", f"http://{address}/-/ready"):
        yield RealPrometheus(url=f"http://{address}")


@contextlib.contextmanager
def running_pushgateway(program: str, folder: Path, *, users: Mapping[str, str] | None = None) -> Iterator[str]:
    """The URL of a Pushgateway that keeps nothing on the disk; `users` are those it lets in, with bcrypt hashes."""
    address = f"127.0.0.1:{free_port()}"
    config = folder / "web.yml"
    config.write_text(yaml.safe_dump({"basic_auth_users": dict(users)} if users else {}))
    command = [program, f"--web.listen-address={address}", f"--web.config.file={config}"]
    with running(command, folder / "pushgateway.log", f"http://{address}/-/ready"):
        yield f"http://{address}"


@contextlib.contextmanager
def running(command: Sequence[str], log: Path, ready_url: str) -> Iterator[None]:
    """A process of ours, from the time it says that it is ready to its end."""
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, cwd=log.parent)

    def ready() -> bool:
        assert process.poll() is None, f"{command[0]} ended: {log.read_text()[-1000:]}"
        try:
            answer = httpx.get(ready_url, timeout=5, trust_env=False)
        except httpx.TransportError:
            return False
        return answer.is_success or answer.status_code == httpx.codes.UNAUTHORIZED

    try:
        until(ready, f"{command[0]} is not ready")
        yield
    finally:
        process.terminate()
        process.wait(30)


def until(holds: Callable[[], bool], otherwise: str) -> None:
    """Wait until something holds; fails with a text where it does not in time."""
    end = time.monotonic() + _WITHIN_S
    while not holds():
        assert time.monotonic() < end, otherwise
        time.sleep(_POLL_S)
