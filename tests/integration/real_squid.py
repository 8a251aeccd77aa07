"""A real squid on a free port of loopback, with a log, a cache and a configuration of its own."""

import contextlib
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.integration.ports import free_port, listens

_START_S = 60.0
_TRIES = 3
_CONFIG = """
http_port 127.0.0.1:{port}
visible_hostname squid.test
{access}
cache_mem 256 MB
maximum_object_size 1 GB
maximum_object_size_in_memory 256 MB
memory_cache_shared off
logformat asked %ts.%03tu %tr %>a %Ss/%03>Hs %<st %rm %ru %Sh %[un "%{{User-Agent}}>h"
access_log stdio:{folder}/access.log asked
cache_log {folder}/cache.log
pid_filename {folder}/pid
shutdown_lifetime 0 seconds
pinger_enable off
buffered_logs off
"""
_LOGIN = """auth_param basic program /usr/lib/squid/basic_ncsa_auth {passwords}
auth_param basic realm squid.test
acl known proxy_auth REQUIRED
http_access allow known
http_access deny all"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One line of the log; the URL of a tunnel is HOST:PORT."""

    method: str
    url: str
    status: int
    sent_bytes: int
    user: str
    """Who logged in; `-` for nobody."""
    agent: str
    """What the client calls itself; for a tunnel, what asked for the tunnel."""


@dataclass(slots=True, kw_only=True)
class RealSquid:
    """A squid that runs; `asked()` is what its log has."""

    url: str
    folder: Path
    process: subprocess.Popen[bytes]

    def asked(self) -> list[Asked]:
        """Every request so far."""
        log = (self.folder / "access.log").read_text()
        lines = [line.split(maxsplit=9) for line in log.splitlines() if " error:" not in line]
        return [
            Asked(
                method=line[5],
                url=line[6],
                status=int(line[3].rpartition("/")[2]),
                sent_bytes=int(line[4]),
                user=line[8],
                agent=line[9].strip('"'),
            )
            for line in lines
        ]

    def asked_at_last(self, enough: Callable[[list[Asked]], bool]) -> list[Asked]:
        """The same when it is enough, or after 10 s: squid logs a request, and a tunnel above all, only when it has ended."""
        until = time.monotonic() + 10
        while not enough(self.asked()) and time.monotonic() < until:
            time.sleep(0.05)
        return self.asked()

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextlib.contextmanager
def running_squid(program: str, *, htpasswd: str | None = None) -> Iterator[RealSquid]:
    """One while the block lasts, in a folder that another user may enter, which pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="pullbench-squid-") as folder:
        Path(folder).chmod(0o755)
        started = start_squid(program, Path(folder) / "squid", htpasswd=htpasswd)
        try:
            yield started
        finally:
            started.stop()


def start_squid(program: str, folder: Path, *, htpasswd: str | None = None) -> RealSquid:
    """Start one with all its files in `folder`, which whoever squid becomes may write, and wait until it listens.

    With `htpasswd` it lets nobody through who is not in there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o777)  # as root, squid becomes another user
    access = "http_access allow all"
    if htpasswd is not None:
        (folder / "passwords").write_text(htpasswd)
        access = _LOGIN.format(passwords=folder / "passwords")
    for _ in range(_TRIES):  # somebody else may take a free port before squid does
        port, config = free_port(), folder / "squid.conf"
        config.write_text(_CONFIG.format(port=port, folder=folder, access=access))
        with (folder / "out").open("ab") as out:
            process = subprocess.Popen([program, "-N", "-f", str(config)], stdout=out, stderr=out)
        squid = RealSquid(url=f"http://127.0.0.1:{port}", folder=folder, process=process)
        if listens(port, process, _START_S):
            return squid
        squid.stop()
    said = "".join(path.read_text()[-1000:] for path in (folder / "out", folder / "cache.log") if path.exists())
    raise RuntimeError(f"squid does not listen: {said}")
