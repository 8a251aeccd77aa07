"""What resolv.conf(5) sets for the C library's resolver, which all clients here ask; pure, but for `read`."""

import re
from dataclasses import dataclass
from pathlib import Path

PATH = Path("/etc/resolv.conf")
DEFAULT_TIMEOUT_S = 5
DEFAULT_ATTEMPTS = 2
MAX_SERVERS = 3
"""The C library asks no more of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvConf:
    """The settings that decide how long a lookup can take, with the C library's defaults."""

    name_servers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    timeout_s: int = DEFAULT_TIMEOUT_S
    attempts: int = DEFAULT_ATTEMPTS
    ndots: int = 1
    options: tuple[str, ...] = ()
    """As they stand there."""

    @property
    def used_servers(self) -> tuple[str, ...]:
        """Those that are asked, in turn."""
        return self.name_servers[:MAX_SERVERS]


def read(path: Path = PATH) -> ResolvConf | None:
    """The machine's own; None where there is none to read."""
    try:
        return parse(path.read_text("utf-8", "replace"))
    except OSError:
        return None


def parse(text: str) -> ResolvConf:
    """As the C library reads it: of `search` the last line counts, bounds are 30 s, 5 attempts and 15 dots."""
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
