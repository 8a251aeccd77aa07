"""One way to a registry: its kept connections, its token, and requests that follow redirects without leaking either.

A session lives for a trial (auth: persisted) or for one pull (per-pull). Threads share it.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import quote, urljoin, urlsplit

from pullbench import __version__
from pullbench.engines.clock import Clock
from pullbench.engines.curl import BodyRefusedError, Handle, HttpRequest, code_of_os_error
from pullbench.engines.wire_body import CheckedBody, TokenBody
from pullbench.engines.wire_record import Attempt, Trail, transfer_row
from pullbench.errors import ErrorCode, RegistryError
from pullbench.model.record import TransferKind
from pullbench.model.route import Route
from pullbench.model.spec import EngineEntry
from pullbench.registry.auth import (
    Challenge,
    Credentials,
    basic_header,
    parse_challenges,
    redact_url,
    same_origin,
    token_request,
)

MAX_REDIRECTS = 10
_RENEW_EARLY = 0.1  # the share of a token's life that is not waited for
_REDIRECTS = (301, 302, 303, 307, 308)
_URL_CHARACTERS = "%/:=&?~#+!$,;'@()*[]"  # what stands in a URL as it is (RFC 3986)
_USER_AGENT = f"pullbench/{__version__}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """PEM files of the roots to trust: for the registry itself, and for the hosts that it sends a client to."""

    endpoint_file: str
    elsewhere_file: str


@dataclass(slots=True)
class _Access:
    """What opens one repository: the Authorization value, how to get the next one, and when."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    header: str | None = None
    challenges: tuple[Challenge, ...] = ()
    renew_at_s: float | None = None


class Session:
    """Connections and tokens of one route."""

    def __init__(
        self, route: Route, entry: EngineEntry, *, credentials: Credentials | None, trust: Trust, clock: Clock
    ) -> None:
        self._route = route
        self._entry = entry
        self._credentials = credentials
        self._trust = trust
        self._clock = clock
        self._lock = threading.Lock()
        self._idle: list[Handle] = []
        self._accesses: dict[str, _Access] = {}

    def get(
        self,
        path: str,
        body: CheckedBody,
        attempt: Attempt,
        *,
        kind: TransferKind,
        digest: str,
        headers: Mapping[str, str],
    ) -> None:
        """GET `/v2/REPOSITORY/path` into the body and verify it; a 401 leads to one token exchange.

        Adds a row an exchange to the attempt's log. Raises RegistryError.
        """
        url = f"{self._route.url}/v2/{attempt.repository}/{path}"
        with self._handle() as handle:
            authorization = self._current(handle, attempt)
            trail = self._follow(handle, url, body, attempt, headers=headers, own=self._own(authorization))
            if trail.last.status == 401 and trail.error_code is None and same_origin(trail.url, self._route.url):
                challenges = parse_challenges(trail.last.headers.get("www-authenticate", ()))
                if self._can_answer(challenges, authorization):
                    attempt.log.add(
                        transfer_row(trail, attempt, kind="token", digest=None, received_bytes=0, error_code=None)
                    )
                    attempt.log.add_auth(trail.total_s)
                    authorization = self._renew(handle, attempt, stale=authorization, challenges=challenges)
                    trail = self._follow(handle, url, body, attempt, headers=headers, own=self._own(authorization))
        self._conclude(trail, body, attempt, kind, digest)

    def close(self) -> None:
        """Close every connection; no request may be under way."""
        with self._lock:
            while self._idle:
                self._idle.pop().close()

    @contextmanager
    def _handle(self) -> Iterator[Handle]:
        """The handle that was used last, for its connection is the least likely to have been closed meanwhile."""
        with self._lock:
            handle = self._idle.pop() if self._idle else None
        handle = handle or Handle(self._clock.monotonic)
        try:
            yield handle
        finally:
            with self._lock:
                self._idle.append(handle)

    def _own(self, authorization: str | None) -> dict[str, str]:
        """Headers for the endpoint's own origin alone."""
        return {**self._route.headers, **({"Authorization": authorization} if authorization else {})}

    def _conclude(
        self, trail: Trail, body: CheckedBody, attempt: Attempt, kind: TransferKind, digest: str | None
    ) -> None:
        """Verify what came, add its row, and raise what was wrong with it."""
        started_s = self._clock.monotonic()
        failure = trail.failure()
        failure = self._refused(trail, failure, kind) if failure else _verified(trail, body)
        total_s = trail.total_s + self._clock.monotonic() - started_s
        row = transfer_row(
            trail,
            attempt,
            kind=kind,
            digest=digest,
            received_bytes=body.received_bytes,
            error_code=failure.code if failure else None,
            total_s=total_s,
        )
        attempt.log.add(row)
        if failure is not None:
            raise failure

    def _follow(
        self,
        handle: Handle,
        url: str,
        body: CheckedBody,
        attempt: Attempt,
        *,
        headers: Mapping[str, str],
        own: Mapping[str, str],
        method: str = "GET",
        content: bytes | None = None,
    ) -> Trail:
        """Ask, and follow redirects; headers of `own` go to the first URL's origin and to no other."""
        first, hops = url, []
        started_at, started_s = self._clock.now(), self._clock.monotonic()
        code, text = None, ""
        while True:
            sent = {"User-Agent": _USER_AGENT, **headers, **(own if same_origin(url, first) else {})}
            hop = handle.exchange(self._request(method, url, sent, content, attempt), body)
            hops.append(hop)
            code, text = hop.error_code, hop.error
            if code is not None or method != "GET" or hop.status not in _REDIRECTS:
                break
            if len(hops) > MAX_REDIRECTS:
                code, text = ErrorCode.REDIRECT_LOOP, f"more than {MAX_REDIRECTS} redirects"
                break
            target = _target(url, hop.header("location"))
            code, text = _refusal(url, target)
            if code is not None:
                break
            url = target
        total_s = self._clock.monotonic() - started_s
        return Trail(
            method=method,
            url=url,
            hops=tuple(hops),
            started_at=started_at,
            total_s=total_s,
            error_code=code,
            error=text,
        )

    def _request(
        self, method: str, url: str, headers: Mapping[str, str], content: bytes | None, attempt: Attempt
    ) -> HttpRequest:
        entry, trust = self._entry, self._trust
        return HttpRequest(
            method=method,
            url=url,
            headers=headers,
            body=content,
            proxy_url=self._route.forward_url or "",
            ca_file=trust.endpoint_file if same_origin(url, self._route.url) else trust.elsewhere_file,
            http_version=entry.http_version,
            connect_timeout_s=entry.connect_timeout_s,
            stall_timeout_s=entry.stall_timeout_s,
            timeout_s=max(0.001, attempt.deadline_s - self._clock.monotonic()),
            stopped=attempt.stopped,
        )

    # Authentication

    def _access(self, repository: str) -> _Access:
        with self._lock:
            return self._accesses.setdefault(repository, _Access())

    def _can_answer(self, challenges: Sequence[Challenge], sent: str | None) -> bool:
        """Whether a 401 can be answered with something that was not refused just now."""
        if any(challenge.scheme == "bearer" for challenge in challenges):
            return True
        return bool(challenges) and self._credentials is not None and sent is None

    def _current(self, handle: Handle, attempt: Attempt) -> str | None:
        """The Authorization value to start with: a kept one, renewed when it is about to expire."""
        access = self._access(attempt.repository)
        if access.renew_at_s is None or self._clock.monotonic() < access.renew_at_s:
            return access.header
        return self._renew(handle, attempt, stale=access.header, challenges=access.challenges)

    def _renew(
        self, handle: Handle, attempt: Attempt, *, stale: str | None, challenges: Sequence[Challenge]
    ) -> str | None:
        """Another Authorization value than the stale one; threads that come together share one exchange."""
        access, started_s = self._access(attempt.repository), self._clock.monotonic()
        if not access.lock.acquire(timeout=max(0.0, attempt.deadline_s - started_s)):
            raise RegistryError(
                ErrorCode.TIMEOUT, f"GET {redact_url(self._route.url)}", "waited for another pull's token"
            )
        try:
            if access.header == stale:
                access.challenges = tuple(challenges)
                self._authorize(handle, attempt, access)
            return access.header
        finally:
            access.lock.release()
            attempt.log.add_auth(self._clock.monotonic() - started_s)

    def _refused(self, trail: Trail, failure: RegistryError, kind: TransferKind) -> RegistryError:
        """Who is known but lacks the scope is forbidden, whatever the status; a token service may say 400 or 403."""
        code = failure.code
        if kind == "token" and failure.status in (400, 401, 403):
            code = ErrorCode.UNAUTHORIZED
        elif failure.status == 401 and self._credentials is not None:
            challenges = parse_challenges(trail.last.headers.get("www-authenticate", ()))
            if any(challenge.error == "insufficient_scope" for challenge in challenges):
                code = ErrorCode.FORBIDDEN
        if code is failure.code:
            return failure
        return RegistryError(code, failure.where, failure.detail, status=failure.status)

    def _authorize(self, handle: Handle, attempt: Attempt, access: _Access) -> None:
        bearer = next((one for one in access.challenges if one.scheme == "bearer"), None)
        if bearer is None:
            access.header = basic_header(self._credentials) if self._credentials else None
            return
        asked = token_request(
            bearer, endpoint_url=self._route.url, repository=attempt.repository, credentials=self._credentials
        )
        asked_s, body = self._clock.monotonic(), TokenBody()
        trail = self._follow(
            handle, asked.url, body, attempt, headers={}, own=asked.headers, method=asked.method, content=asked.body
        )
        self._conclude(trail, body, attempt, "token", None)
        # The time before the value: who reads between the two must not renew what is new.
        access.renew_at_s = asked_s + body.token.expires_in_s * (1 - _RENEW_EARLY)
        access.header = f"Bearer {body.token.value}"


def _verified(trail: Trail, body: CheckedBody) -> RegistryError | None:
    where = f"{trail.method} {redact_url(trail.url)}"
    try:
        body.finish()
    except BodyRefusedError as refused:
        is_page = trail.last.header("content-type").lower().startswith("text/html")
        code = ErrorCode.NOT_A_REGISTRY if is_page else refused.code
        return RegistryError(code, where, refused.detail, status=200)
    except RegistryError as error:
        return RegistryError(error.code, where, error.detail, status=200)
    except OSError as error:
        return RegistryError(code_of_os_error(error), where, str(error), status=200)
    return None


def _target(url: str, location: str) -> str:
    """Where a Location leads, in ASCII; empty for none."""
    try:
        return urljoin(url, quote(location, safe=_URL_CHARACTERS, encoding="latin-1")) if location else ""
    except ValueError:
        return ""


def _refusal(url: str, target: str) -> tuple[ErrorCode | None, str]:
    """Why a redirect is not followed: it leads nowhere, or from https to plain http."""
    parts = urlsplit(target)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return ErrorCode.NOT_A_REGISTRY, f"redirected to {redact_url(target) or 'nowhere'}"
    if parts.scheme == "http" and urlsplit(url).scheme == "https":
        return ErrorCode.PLAIN_HTTP, f"redirected from https to {redact_url(target)}: refused"
    return None, ""
