"""Runs a client's program in its own environment and session, with a deadline, a stop signal, and bounded output.

Linux only. A pidfd reports the end of a process to the microsecond without reaping it, so its group's number cannot be
reused before the rest of the group is killed.
"""

import contextlib
import json
import os
import re
import selectors
import shutil
import signal
import subprocess
import termios
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Self
from urllib.parse import quote, urlsplit, urlunsplit

from pullbench.engines.base import Clock
from pullbench.engines.command.folder import MARK
from pullbench.errors import ErrorCode
from pullbench.model.route import Route
from pullbench.registry.auth import Credentials, redact_url

_ADMINISTRATORS = ("/usr/local/sbin", "/usr/sbin", "/sbin")
_KEPT = ("SSL_CERT_FILE", "SSL_CERT_DIR")  # this machine's trusted roots; the client gets no other variable
_LONGEST_ERROR = 1000


def find_program(name: str) -> str | None:
    """The program's path; also searches administrators' directories that a user's PATH may lack."""
    return shutil.which(name, path=_path())


def _path() -> str:
    return os.pathsep.join((os.environ.get("PATH", os.defpath), *_ADMINISTRATORS))


def environment(
    folder: Path, route: Route | None = None, forward_login: Credentials | None = None, **more: str
) -> dict[str, str]:
    """The client's whole environment: home and temporary files in `folder`, and the route's proxy or none.

    A login for the proxy is in the proxy's URL, where these clients read it; only the process's user can read its environment
    (proc(5)).
    """
    names = dict.fromkeys(("HOME", "TMPDIR", "XDG_RUNTIME_DIR", MARK), str(folder))
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    proxy = None if route is None or route.forward_url is None else _with_login(route.forward_url, forward_login)
    proxies = {} if proxy is None else {"HTTP_PROXY": proxy, "HTTPS_PROXY": proxy}
    return {"PATH": _path(), "LC_ALL": "C.UTF-8", **names, **kept, **proxies, **more}


def _with_login(url: str, login: Credentials | None) -> str:
    """The URL with user information (RFC 3986, section 3.2.1)."""
    if login is None:
        return url
    parts = urlsplit(url)
    pair = f"{quote(login.username, safe='')}:{quote(login.password, safe='')}"
    return urlunsplit(parts._replace(netloc=f"{pair}@{parts.netloc}"))


_FATAL = re.compile(r"^(?:Error: |ctr: |time=.* level=(?:fatal|error) )")
_MESSAGE = re.compile(r'msg=("(?:[^"\\]|\\.)*"|\S+)')
_PREFIX = re.compile(r"^(?:Failed, retrying in .*?Error: |Error: |ctr: )")
_URL = re.compile(r"https?://[^\s\"'<>\\]+")


def last_words(stderr: str) -> str:
    """The line with the reason of a client's failure: bounded, without control characters or signed queries."""
    lines = [line for line in stderr.splitlines() if line.strip()]
    if not lines:
        return ""
    at = next((at for at in reversed(range(len(lines))) if _FATAL.match(lines[at])), len(lines) - 1)
    line = lines[at]
    if line.endswith(":"):  # a registry's list of errors follows, one per line
        line = " ".join(lines[at:])
    if (found := _MESSAGE.search(line)) is not None and line.startswith("time="):
        line = _unquoted(found[1])
    line = _URL.sub(lambda url: redact_url(url[0]), _PREFIX.sub("", line))
    return " ".join("".join(mark if mark.isprintable() else " " for mark in line).split())[:_LONGEST_ERROR]


def _unquoted(text: str) -> str:
    """A Go string literal as logrus writes it; its escapes are almost those of JSON."""
    try:
        return str(json.loads(text))
    except ValueError:
        return text.strip('"').replace('\\"', '"')


GRACE_S = 2.0
"""The time between SIGTERM and SIGKILL for a group."""
_GIVE_UP_S = 10.0  # a process that survives SIGKILL waits in the kernel for a lost disk or file server
_LAST_S = 1.0  # the time for killed processes to disappear
_TAIL_BYTES = 16 * 1024  # enough for the reason of a failure, and for what a pull prints at its end
_CHUNK_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A program with its arguments and its whole environment: nothing is inherited."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    typed: str | None = field(default=None, repr=False)
    """A line for a program that reads its secret from a terminal; it then gets a pseudo-terminal."""
    trying_again: str | None = None
    """The stderr text that announces the program's own retry; it is ended there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The end of a process. `ended` is in monotonic seconds; of each output the last `keep_bytes` are kept."""

    ended: float
    returncode: int | None
    """As in subprocess; None if even SIGKILL did not end it."""
    stopped: ErrorCode | None
    """`timeout` or `cancelled` if it was stopped, else None."""
    was_trying_again: bool
    """Whether it failed and was ended when it announced a retry."""
    stdout: str
    stderr: str
    """Starts with … if its beginning is lost."""
    stdout_is_cut: bool = False
    """Whether the beginning of `stdout` is lost."""


class StopSignal:
    """Stops all its running processes, permanently. Takes no lock, so a signal handler may set it."""

    def __init__(self) -> None:
        self.is_set = False
        self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def set(self) -> None:
        self.is_set = True
        with contextlib.suppress(OSError):
            os.eventfd_write(self._fd, 1)

    def fileno(self) -> int:
        return self._fd

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def run(
    command: Command,
    *,
    clock: Clock,
    deadline: float,
    stop: StopSignal | None = None,
    keep_bytes: int = _TAIL_BYTES,
) -> Ended:
    """Run a program to its end, or stop it and its group at `deadline` (monotonic) or when `stop` is set.

    No process of its group remains when this returns. Raises OSError if the program cannot be started.
    """
    with _RunningCommand(command, clock, keep_bytes) as running:
        stopped = running.wait(deadline, stop)
        if running.has_ended:
            return running.result(running.ended)
        ended = clock.monotonic()
        running.terminate()
        return running.result(ended, stopped=stopped, was_trying_again=stopped is None)


class _RunningCommand:
    """A started process: its pidfd, and the last part of its output."""

    def __init__(self, command: Command, clock: Clock, keep_bytes: int) -> None:
        self._clock, self._keep_bytes = clock, keep_bytes
        self._trying_again = None if command.trying_again is None else command.trying_again.encode()
        self._is_trying_again = False
        self._terminal: tuple[int, ...] = ()
        stdin: int = subprocess.DEVNULL
        if command.typed is not None:
            self._terminal = _typed_terminal(command.typed)
            stdin = self._terminal[1]
        try:
            self._process = subprocess.Popen(
                command.arguments,
                env=command.environment,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except BaseException:
            self._close_terminal()
            raise
        self._exit = os.pidfd_open(self._process.pid)
        self._tails: dict[IO[bytes], bytearray] = {}
        self._cut: set[IO[bytes]] = set()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._exit, selectors.EVENT_READ)
        for stream in (self._process.stdout, self._process.stderr):
            assert stream is not None
            os.set_blocking(stream.fileno(), False)
            self._tails[stream] = bytearray()
            self._selector.register(stream, selectors.EVENT_READ)
        self.ended = 0.0
        self.has_ended = False

    def wait(self, deadline: float, stop: StopSignal | None) -> ErrorCode | None:
        """Read its output until it ends or retries: None; or until it must be stopped: the reason."""
        if stop is not None:
            self._selector.register(stop, selectors.EVENT_READ)
        try:
            while not self.has_ended and not self._is_trying_again:
                left = deadline - self._clock.monotonic()
                if stop is not None and stop.is_set:
                    return ErrorCode.CANCELLED
                if left <= 0:
                    return ErrorCode.TIMEOUT
                for key, _ in self._selector.select(left):
                    if key.fd == self._exit:
                        self.ended, self.has_ended = self._clock.monotonic(), True
                    elif key.fileobj in self._tails:
                        self._read(key.fileobj)
        finally:
            if stop is not None:
                self._selector.unregister(stop)
        return None

    def terminate(self) -> None:
        """Send SIGTERM to the group, and SIGKILL to its remaining processes after the grace time."""
        self._trying_again, self._is_trying_again = None, False
        self._signal(signal.SIGTERM)
        if self.wait(self._clock.monotonic() + GRACE_S, None) is not None:
            self._signal(signal.SIGKILL)
            self.wait(self._clock.monotonic() + _GIVE_UP_S, None)

    def result(self, ended: float, *, stopped: ErrorCode | None = None, was_trying_again: bool = False) -> Ended:
        self._end()
        stdout, stderr = (tail.decode(errors="replace") for tail in self._tails.values())
        stdout_is_cut, stderr_is_cut = (stream in self._cut for stream in self._tails)
        return Ended(
            ended=ended,
            returncode=self._process.returncode,
            stopped=stopped,
            was_trying_again=was_trying_again,
            stdout=stdout,
            stderr=f"…{stderr}" if stderr_is_cut else stderr,
            stdout_is_cut=stdout_is_cut,
        )

    def _end(self) -> None:
        """Kill the rest of the group, read the remaining output, reap, and check that the group is gone."""
        self._signal(signal.SIGKILL)
        for stream in self._tails:
            while self._read(stream):
                pass
        if self.has_ended:
            self._process.wait()
        until = time.monotonic() + _LAST_S
        while _group_lives(self._process.pid) and time.monotonic() < until:
            time.sleep(0.001)

    def _signal(self, number: int) -> None:
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def _read(self, stream: IO[bytes]) -> bool:
        """Read the available output; False if there is no more now."""
        try:
            chunk = os.read(stream.fileno(), _CHUNK_BYTES)
        except BlockingIOError:
            return False
        if not chunk:
            if stream.fileno() in self._selector.get_map():
                self._selector.unregister(stream)
            return False
        tail = self._tails[stream]
        tail += chunk
        if len(tail) > self._keep_bytes:
            del tail[: -self._keep_bytes]
            self._cut.add(stream)
        if self._trying_again is not None and stream is self._process.stderr:
            self._is_trying_again = b"\n" in tail.partition(self._trying_again)[2]
        return True

    def _close_terminal(self) -> None:
        for fd in self._terminal:
            os.close(fd)
        self._terminal = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.returncode is None:  # after an exception, such as Ctrl-C
            self._signal(signal.SIGKILL)
            self.wait(self._clock.monotonic() + _GIVE_UP_S, None)
            self._end()
        self._selector.close()
        os.close(self._exit)
        for stream in self._tails:
            stream.close()
        self._close_terminal()


def _group_lives(group: int) -> bool:
    """Whether a process of the group still runs; ended processes that wait to be reaped do not count."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                state, _, its_group = (entry / "stat").read_text().rpartition(") ")[2].split()[:3]  # proc(5)
                if int(its_group) == group and state not in "ZX":
                    return True
    return False


def _typed_terminal(line: str) -> tuple[int, int]:
    """Both ends of a pseudo-terminal without echo, with the line already typed."""
    ours, theirs = os.openpty()
    attributes = termios.tcgetattr(theirs)
    attributes[3] &= ~(termios.ECHO | termios.ISIG)
    attributes[6] = [b"\0"] * len(attributes[6])  # treat every byte of the secret as plain input
    termios.tcsetattr(theirs, termios.TCSANOW, attributes)
    os.write(ours, f"{line}\n".encode())
    return ours, theirs
