"""A dockerd of a test's own: its images are nobody else's, and it can be ended and started again."""

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pullbench.daemon.docker import DockerDaemon
from pullbench.errors import RegistryError
from tests.integration.conftest import missing, need

_START_S = 60.0


class OwnDockerd:
    """A daemon on a folder and a bridge of its own: with no bridge at all it would take away that of the machine's daemon.

    `settings` are for its daemon.json.
    """

    def __init__(self, folder: Path, bridge: str, *options: str, **settings: object) -> None:
        self.host = f"unix://{folder}/docker.sock"
        self._folder = folder
        paths = {"data-root": "data", "exec-root": "exec", "pidfile": "pid", "config-file": "daemon.json"}
        self._command = [need("dockerd"), *(f"--{name}={folder / path}" for name, path in paths.items())]
        self._command += [f"--host={self.host}", f"--bridge={bridge}", "--iptables=false"]
        self._command += ["--max-concurrent-downloads=7", *options]
        (folder / "daemon.json").write_text(json.dumps({"shutdown-timeout": 60, **settings}))
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=subprocess.STDOUT)
        until = time.monotonic() + _START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                missing(f"dockerd does not start: {(self._folder / 'log').read_text()[-500:]}")
            time.sleep(0.1)

    def end(self) -> None:
        """End it in order; what it holds stays."""
        self._process.terminate()
        self._process.wait(30)

    def _answers(self) -> bool:
        daemon = DockerDaemon(self.host)
        try:
            daemon.version()
        except RegistryError:
            return False
        finally:
            daemon.close()
        return True


def major(host: str) -> int:
    """The major version of a daemon."""
    daemon = DockerDaemon(host)
    try:
        return int(daemon.version().partition(".")[0])
    finally:
        daemon.close()


@contextmanager
def own_dockerd(*options: str, **settings: object) -> Iterator[OwnDockerd]:
    """A running one, ended and tidied away with the block; `settings` are for its daemon.json."""
    if os.geteuid() != 0:
        missing("only root can start a dockerd")
    ip, folder, bridge = need("ip"), Path(tempfile.mkdtemp(prefix="pullbench-dockerd-")), f"pb{os.urandom(4).hex()}"
    subprocess.run([ip, "link", "add", bridge, "type", "bridge"], check=True)
    try:
        daemon = OwnDockerd(folder, bridge, *options, **settings)
        try:
            yield daemon
        finally:
            daemon.end()
    finally:
        subprocess.run([ip, "link", "del", bridge], check=True)
        shutil.rmtree(folder, ignore_errors=True)
