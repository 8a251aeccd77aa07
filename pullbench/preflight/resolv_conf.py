"""The settings in resolv.conf(5) of the C library's resolver, which all clients use. Pure, except `read`."""

import re
from dataclasses import dataclass
from pathlib import Path

PATH = Path("/etc/resolv.conf")
DEFAULT_TIMEOUT_S = 5
DEFAULT_ATTEMPTS = 2
MAX_SERVERS = 3
"""The C library uses only the first three."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvConf:
    """The settings that determine how long a lookup takes, with the C library's defaults."""

    name_servers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    timeout_s: int = DEFAULT_TIMEOUT_S
    attempts: int = DEFAULT_ATTEMPTS
    ndots: int = 1
    options: tuple[str, ...] = ()
    """As written in the file."""

    @property
    def used_servers(self) -> tuple[str, ...]:
        """The name servers that the C library uses, in order."""
        return self.name_servers[:MAX_SERVERS]


def read(path: Path = PATH) -> ResolvConf | None:
    """This machine's settings; None if the file cannot be read."""
    try:
        return parse(path.read_text("utf-8", "replace"))
    except OSError:
        return None


def parse(text: str) -> ResolvConf:
    """Parse as the C library does: the last `search` line counts; the limits are 30 s, 5 attempts and 15 dots."""
    servers: list[str] = []
    search: list[str] = []
    options: list[str] = []
    for line in text.splitlines():
        words = re.split(r"[#;]", line, maxsplit=1)[0].split()
        if len(words) < 2:
            continue
        if words[0] == "nameserver":
            servers.append(words[1])
        elif words[0] in ("search", "domain"):
            search = words[1:]
        elif words[0] == "options":
            options += words[1:]
    numbers = {
        name: int(value)
        for name, _, value in (each.partition(":") for each in options)
        if re.fullmatch(r"\d{1,9}", value)
    }
    return ResolvConf(
        name_servers=tuple(servers),
        search=tuple(domain for domain in search if domain != "."),
        timeout_s=min(numbers.get("timeout", DEFAULT_TIMEOUT_S), 30),
        attempts=min(numbers.get("attempts", DEFAULT_ATTEMPTS), 5),
        ndots=min(numbers.get("ndots", 1), 15),
        options=tuple(options),
    )
