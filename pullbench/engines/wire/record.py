"""From exchanges to what is stored of them: the Transfer row, who served it, and the error that a pull ends with."""

import json
import re
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from pullbench.engines.wire.curl import Exchange, Handles
from pullbench.errors import ErrorCode, RegistryError, code_of_status
from pullbench.model.record import Transfer, TransferKind
from pullbench.registry.auth import redact_url

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]+")
_STORAGE_CODE = re.compile(r"<Code>(\w{1,64})</Code>")  # S3 and its kin
_MAX_HEADER_CHARS = 80
_CACHE_HEADERS = (
    *("x-cache", "x-cache-status", "x-proxy-cache", "cf-cache-status", "age"),
    *("x-dragonfly-task-id", "x-dragonfly-task-download-finished", "x-dragonfly-server-ip", "x-dragonfly-error-type"),
)
RANGE_REFUSED = "range refused"
"""The note of a transfer whose layer was to come in parts, and comes whole."""


class PullLog:
    """What a pull's threads did: one row an exchange, and the time that its own thread spent on authentication."""

    def __init__(self, pull: int) -> None:
        self.pull = pull
        self.rows: list[Transfer] = []
        self.auth_s = 0.0
        self._lock = threading.Lock()

    def add(self, row: Transfer) -> None:
        with self._lock:
            self.rows.append(row)

    def add_auth(self, seconds: float) -> None:
        with self._lock:
            self.auth_s += seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try to get one thing, on behalf of a pull."""

    log: PullLog
    number: int
    repository: str
    deadline_s: float
    """On the engine's monotonic clock: when the pull's time is up."""
    stopped: Callable[[], bool]
    handles: Handles
    forgiven: Collection[int] = ()
    """Statuses that are no failure of the pull, for it goes on by another way: a refused range."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trail:
    """One request and the redirects that it led through, to its last answer or its failure."""

    method: str
    url: str
    """The last one asked."""
    hops: tuple[Exchange, ...]
    started_at: datetime
    total_s: float
    error_code: ErrorCode | None = None
    error: str = ""

    @property
    def last(self) -> Exchange:
        return self.hops[-1]

    def failure(self) -> RegistryError | None:
        """Why there is no content, in the server's own words as they came; None for content that came to its end."""
        last, where = self.last, f"{self.method} {redact_url(self.url)}"
        if self.error_code is not None:
            return RegistryError(self.error_code, where, self.error, status=last.status)
        if last.is_content:
            return None
        status = last.status or 0
        code = ErrorCode.PROXY if _is_of_the_forward_proxy(last) else code_of_status(status)
        detail = f"{status} {_said(last.answer, redirected=len(self.hops) > 1)}"
        return RegistryError(code, where, detail, status=status, retry_after_s=last.retry_after_s)


def transfer_row(
    trail: Trail,
    attempt: Attempt,
    *,
    kind: TransferKind,
    digest: str | None,
    received_bytes: int,
    error_code: ErrorCode | None = None,
    total_s: float | None = None,
    note: str | None = None,
) -> Transfer:
    """One row for the whole trail: phases summed over its hops, address and headers of the last one."""
    phases = [hop.phases for hop in trail.hops]
    before, last = phases[:-1], trail.last
    wait_s = _sum([*(phase.wait_s for phase in phases), *(phase.transfer_s for phase in before)])
    return Transfer(
        pull=attempt.log.pull,
        attempt=attempt.number,
        kind=kind,
        digest=digest,
        bytes=received_bytes,
        status=last.status,
        started_at=trail.started_at,
        dns_s=_sum([phase.dns_s for phase in phases]),
        connect_s=_sum([phase.connect_s for phase in phases]),
        tls_s=_sum([phase.tls_s for phase in phases]),
        wait_s=wait_s,
        transfer_s=phases[-1].transfer_s,
        total_s=trail.total_s if total_s is None else total_s,
        reused=None if last.reused is None else all(hop.reused for hop in trail.hops),
        http_version=last.http_version,
        remote_ip=last.remote_ip,
        served_by=served_by(last),
        error_code=error_code,
        note=note,
    )


def served_by(exchange: Exchange) -> str | None:
    """Who answered an exchange; None where nobody did."""
    if exchange.address is None or exchange.status is None:
        return None
    return server_text(exchange.address, {name: exchange.header(name) for name in exchange.headers})


def server_text(address: str, headers: Mapping[str, str]) -> str:
    """The address, and what caches on the way say of themselves; names of headers are lower case.

    Via and Age (RFC 9110, 9111), the X-Cache headers of squid, nginx, Nexus, Harbor and CDNs, and Dragonfly's.
    """
    parts = [address]
    if via := clean(headers.get("via", ""), _MAX_HEADER_CHARS):
        parts.append(f'via "{via}"')
    for name in _CACHE_HEADERS:
        if value := clean(headers.get(name, ""), _MAX_HEADER_CHARS):
            parts.append(f'{name}="{value}"' if " " in value else f"{name}={value}")
    return " ".join(parts)


def clean(text: str, limit: int) -> str:
    """Text from outside for one line: no control, direction or invisible characters, no quotes' end faked, bounded."""
    plain = _CONTROL.sub(" ", text).replace('"', "'").strip()
    return plain if len(plain) <= limit else plain[: limit - 1] + "…"


def _sum(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _is_of_the_forward_proxy(answer: Exchange) -> bool:
    """A gateway error that the proxy says is its own: Proxy-Status (RFC 9209) or squid's header."""
    own = answer.header("proxy-status") or answer.header("x-squid-error")
    return answer.status in (502, 503, 504) and bool(own)


def _said(answer: bytes, *, redirected: bool) -> str:
    """The server's own words: code and message of a registry's error document (distribution spec, error codes).

    Of a host that was redirected to only the code: storage services quote signed URLs in their messages.
    """
    try:
        first = json.loads(answer)["errors"][0]
        code, message = first.get("code", ""), first.get("message", "")
        return f"{code}" if redirected else f"{code}: {message}"
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        pass
    text = answer.decode("utf-8", "replace")
    if redirected:
        found = _STORAGE_CODE.search(text)
        return found[1] if found else ""
    return text
