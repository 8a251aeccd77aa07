"""Registries and caches that nobody here wrote: from PyPI, each in an environment of its own, and from Debian sid."""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.debian_images import TEST_CACHE
from tests.integration.boxes import Place, Running, Software
from tests.integration.conftest import missing, need
from tests.integration.real_registry import PASSWORD, USERNAME

_PINNED = Path(__file__).with_name("products")
_REQUEST = re.compile(
    r'"(?P<method>[A-Z]+) (?P<path>\S+) HTTP/1\.[01]" (?P<status>\d+) (?P<bytes>\d+|-) "[^"]*" "(?P<agent>[^"]*)"'
)


def program_of(product: str, program: str | None = None) -> str:
    """The path of a product's program, installed once from `products/NAME.txt` with the versions that are pinned there.

    The program's name is the product's, unless it is given.
    """
    pinned = _PINNED / f"{product}.txt"
    state = hashlib.sha256(pinned.read_bytes() + sys.version.encode()).hexdigest()
    home = TEST_CACHE / "products" / product
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = home / "installed"
        if not done.exists() or done.read_text() != state:
            _install(home / "venv", pinned)
            done.write_text(state)
    return str(home / "venv" / "bin" / (program or product))


def _install(folder: Path, pinned: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pip = [
        str(folder / "bin" / "python"),
        "-m",
        "pip",
        "--disable-pip-version-check",
        "install",
        "--quiet",
        "--no-deps",
    ]
    done = subprocess.run([*pip, "--requirement", str(pinned)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        missing(f"{pinned.stem} cannot be installed from PyPI: {done.stderr.strip()[-500:]}")


def zuul_registry() -> Software:
    """zuul-registry: tokens, errors in HTML, neither Range nor DELETE nor a catalog. Its lines are users of their own.

    The tests' user may write. Without lines, everyone may pull.
    """

    def frame(place: Place, lines: str) -> str:
        return f"""registry:
  address: 127.0.0.1
  port: {place.port}
  public-url: http://127.0.0.1:{place.port}
  secret: of-a-test
  storage: {{driver: filesystem, root: {place.folder}/data}}
  users:
  - {{name: {USERNAME}, pass: {PASSWORD}, access: write}}
{lines}
"""

    return Software(
        program=program_of("zuul-registry"),
        frame=frame,
        command=lambda place: ["-d", "-c", str(place.folder / "conf")],  # -d: with an access log
    )


def drayage() -> Software:
    """drayage: a mirror whose headers do not say whether it had what it serves. It counts its requests at /metrics."""

    def frame(place: Place, lines: str) -> str:
        return f"""listen = "127.0.0.1:{place.port}"
cache_dir = "{place.folder}"
[upstreams.docker_io]
registry = "http://{place.upstream}"
{lines}
"""

    return Software(
        program=program_of("drayage"),
        frame=frame,
        command=lambda place: ["serve", "-c", str(place.folder / "conf")],
    )


def crane_registry() -> Software:
    """`crane registry serve`: an unsorted catalog, and tags that outlive their digest. Only Debian sid has crane."""
    is_lacking = "crane" in os.environ.get("PULLBENCH_LACKING", "").split()
    if shutil.which("crane") is None and (is_lacking or os.environ.get("PULLBENCH_MODERN") != "1"):
        pytest.skip("crane is a package of Debian sid: make test-modern")
    return Software(
        program=need("crane"),
        frame=lambda place, lines: lines,
        command=lambda place: [
            "registry",
            "serve",
            "--address",
            f"127.0.0.1:{place.port}",
            "--disk",
            str(place.folder),
        ],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """A request in an access log; `sent_bytes` are those of the body."""

    method: str
    path: str
    status: int
    sent_bytes: int
    agent: str


def access_log(product: Running) -> list[Logged]:
    """Every request so far, of a product that logs as Apache does."""
    return [
        Logged(
            method=found["method"],
            path=found["path"],
            status=int(found["status"]),
            sent_bytes=0 if found["bytes"] == "-" else int(found["bytes"]),
            agent=found["agent"],
        )
        for found in _REQUEST.finditer(product.said())
    ]
