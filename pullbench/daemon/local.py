"""The dockerd behind a socket of this machine: whether it answers, its command line, and its daemon.json.

`docker info` does not show the download limits. They can be read if the process is visible. For a daemon on another
machine, in a VM or of another user they are unknown.
"""

import contextlib
import json
import re
import socket
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DEFAULT_FILE = "/etc/docker/daemon.json"
DEFAULT_DOWNLOADS = 3
MAX_FILE_BYTES = 1024 * 1024
_PEER = struct.Struct("3i")  # unix(7), SO_PEERCRED: pid, uid, gid


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Options by their names in daemon.json. `flags` come from the command line; dockerd refuses an option in both."""

    file: str = DEFAULT_FILE
    in_file: Mapping[str, Any] = field(default_factory=dict)
    flags: Mapping[str, str] = field(default_factory=dict)
    unreadable: str = ""
    """Why the file could not be read; empty if there is no file."""

    def value(self, option: str, default: Any) -> Any:
        """The value of an option that occurs once."""
        return self.in_file.get(option, self.flags.get(option, default))


def read_settings(host: str, proc: Path = Path("/proc")) -> Settings | None:
    """The settings of the dockerd that listens at `host`; None if its process is not visible from here."""
    if not host.startswith("unix://"):
        return None
    found = _dockerd(host.removeprefix("unix://"), proc)
    if found is None:
        return None
    pid, arguments = found
    flags = flags_of(arguments)
    path = flags.get("config-file", DEFAULT_FILE)
    # Through the process's own root, because a daemon in a container has its own files; this needs root.
    for seen in (proc / str(pid) / "root" / path.lstrip("/"), Path(path)):
        with contextlib.suppress(PermissionError):
            return Settings(file=path, flags=flags, **_read_file(seen))
    return Settings(file=path, flags=flags, unreadable="permission denied")


def layer_concurrency(settings: Settings | None) -> int | None:
    """The layers that the daemon downloads concurrently, over all pulls; None if its settings cannot be read."""
    if settings is None or settings.unreadable:
        return None
    value = settings.value("max-concurrent-downloads", DEFAULT_DOWNLOADS)
    try:
        return int(value) or DEFAULT_DOWNLOADS
    except (TypeError, ValueError):
        return DEFAULT_DOWNLOADS


def _read_file(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            document = json.loads(file.read(MAX_FILE_BYTES))
    except FileNotFoundError:
        return {}
    except PermissionError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        return {"unreadable": f"{type(error).__name__}: {error}"}
    return {"in_file": document} if isinstance(document, dict) else {"unreadable": "not a JSON object"}


def _dockerd(path: str, proc: Path) -> tuple[int, list[str]] | None:
    """The process that listens at a socket. With systemd's socket activation that is systemd; then the only dockerd."""
    pid = _listener(path)
    arguments = _arguments(proc, pid) if pid else None
    if pid and arguments is not None:
        return pid, arguments
    every = [(int(entry.name), _arguments(proc, int(entry.name))) for entry in proc.glob("[0-9]*")]
    found = [(number, arguments) for number, arguments in every if arguments is not None]
    return found[0] if len(found) == 1 else None


def _listener(path: str) -> int | None:
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as asked:
        asked.connect(path)
        return int(_PEER.unpack(asked.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))[0])
    return None


def _arguments(proc: Path, pid: int) -> list[str] | None:
    """The command line of a dockerd; None for any other process."""
    try:
        parts = (proc / str(pid) / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    except OSError:
        return None
    return parts[1:] if Path(parts[0]).name == "dockerd" else None


def flags_of(arguments: Sequence[str]) -> dict[str, str]:
    """`--name=value` and `--name value` by name; a flag without a value is `true`, and the last of repeated ones counts."""
    found: dict[str, str] = {}
    for position, argument in enumerate(arguments):
        if (flag := re.fullmatch(r"--([a-z0-9-]+)(?:=(.*))?", argument, re.DOTALL)) is not None:
            following = arguments[position + 1] if position + 1 < len(arguments) else "-"
            alone = "true" if following.startswith("-") or not following else following
            found[flag[1]] = alone if flag[2] is None else flag[2]
    return found


DEFAULT_WITHIN_S = 0.5


def answers_quickly(host: str, within_s: float = DEFAULT_WITHIN_S) -> bool:
    """GET /_ping (Engine API) at a unix:// socket; False for any other address, and for any failure."""
    if not host.startswith("unix://"):
        return False
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(within_s)
            connection.connect(host.removeprefix("unix://"))
            connection.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
            return connection.recv(12).startswith(b"HTTP/1.")
    except OSError:
        return False
