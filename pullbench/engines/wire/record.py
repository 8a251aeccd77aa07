"""Turns exchanges into stored records: the Transfer row, its server, and the error of a pull."""

import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from pullbench.engines.wire.curl import Handles, HttpResult
from pullbench.errors import ErrorCode, RegistryError, Responder
from pullbench.model.record import Transfer, TransferKind
from pullbench.model.text import clean
from pullbench.registry.answer import Answer, host_of
from pullbench.registry.auth import redact_url
from pullbench.registry.login import Authorizer

_MAX_HEADER_CHARS = 80
_CACHE_HEADERS = (
    *("x-cache", "x-cache-status", "x-proxy-cache", "cf-cache-status", "age"),
    *("x-dragonfly-task-id", "x-dragonfly-task-download-finished", "x-dragonfly-server-ip", "x-dragonfly-error-type"),
)
RANGE_REFUSED = "range refused"
"""The note of a transfer whose layer was requested in parts, but came as a whole."""


SENT_AGAIN = "sent again"
"""The note of a transfer whose request was sent again, because its kept connection had ended before any answer."""


class PullLog:
    """The record of a pull's threads: one row per exchange, and the time that its own thread spent on authentication."""

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
class PullAttempt:
    """One attempt to download one thing for a pull."""

    log: PullLog
    number: int
    repository: str
    deadline_s: float
    """When the pull's time ends, on the engine's monotonic clock."""
    stopped: Callable[[], bool]
    handles: Handles
    forgiven: Collection[int] = ()
    """Statuses that do not fail the pull, because it has an alternative: a refused range."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trail:
    """One request with its redirects, up to the last answer or the failure."""

    method: str
    url: str
    """The last requested URL."""
    hops: tuple[HttpResult, ...]
    started_at: datetime
    total_s: float
    asked: Responder = Responder.REGISTRY
    """The server of the first URL."""
    at_home: bool = True
    """Whether no redirect led away from the first URL's origin."""
    sent: tuple[str, ...] = field(default=(), repr=False)
    """Secrets sent to the forward proxy."""
    error_code: ErrorCode | None = None
    error: str = ""

    @property
    def last(self) -> HttpResult:
        return self.hops[-1]

    @property
    def is_refused(self) -> bool:
        """Whether it ended with a 401."""
        return self.last.status == 401 and self.error_code is None

    def answer(self, *, others_answered: bool = False) -> Answer:
        """The last answer, for interpretation by `pullbench/registry/`."""
        last = self.last
        return Answer(
            method=self.method,
            url=self.url,
            status=last.status or 0,
            headers={name: last.header(name) for name in last.headers},
            challenges=last.headers.get("www-authenticate", ()),
            body=last.answer,
            sent=self.sent,
            address=last.address,
            asked=self.asked,
            at_home=self.at_home,
            others_answered=others_answered,
        )

    def failure(
        self, authorizer: Authorizer, *, sent: str | None, repository: str, others_answered: bool = False
    ) -> RegistryError | None:
        """Why there is no content, in answer to the Authorization value `sent`; None for complete content."""
        if self.error_code is not None:
            return self.error_of(self.error_code, authorizer.cleaned(self.error))
        if self.last.is_content:
            return None
        return authorizer.fault(self.answer(others_answered=others_answered), sent=sent, repository=repository)

    def error_of(self, code: ErrorCode, detail: str) -> RegistryError:
        """An error of this request that no answer shows."""
        if self.last.status is not None and code is not ErrorCode.PROXY:
            return self.answer().error_of(code, detail)
        where = f"{self.method} {redact_url(self.url)}"
        if code is ErrorCode.PROXY:
            return RegistryError(code, where, detail, status=self.last.status, answered_by=Responder.PROXY)
        by = self.asked if self.at_home else Responder.REDIRECT
        other = None if by is Responder.REGISTRY else by
        return RegistryError(code, where, detail, answered_by=other, host=host_of(self.url))


def transfer_row(
    trail: Trail,
    attempt: PullAttempt,
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
        note="; ".join(text for text in (note, _repetition(trail)) if text) or None,
    )


def _repetition(trail: Trail) -> str | None:
    return SENT_AGAIN if any(hop.repeated for hop in trail.hops) else None


def served_by(exchange: HttpResult) -> str | None:
    """The server that answered an exchange; None without an answer."""
    if exchange.address is None or exchange.status is None:
        return None
    return server_text(exchange.address, {name: exchange.header(name) for name in exchange.headers})


def server_text(address: str, headers: Mapping[str, str]) -> str:
    """The address, and the headers of caches on the route; header names are in lower case.

    Via and Age (RFC 9110, 9111), the X-Cache headers of squid, nginx, Nexus, Harbor and CDNs, and Dragonfly's.
    """
    parts = [address]
    if via := _quoted(headers.get("via", "")):
        parts.append(f'via "{via}"')
    for name in _CACHE_HEADERS:
        if value := _quoted(headers.get(name, "")):
            parts.append(f'{name}="{value}"' if " " in value else f"{name}={value}")
    return " ".join(parts)


def _quoted(text: str) -> str:
    """A header's value without characters that could end a quotation."""
    return clean(text.replace('"', "'"), _MAX_HEADER_CHARS)


def _sum(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
