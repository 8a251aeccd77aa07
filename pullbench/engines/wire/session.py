"""One way to a registry: its kept connections, its token, and requests that follow redirects without leaking either.

A session lives for a trial (auth: persisted) or for one pull (per-pull). Threads share it.
"""

import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count

from pullbench import __version__
from pullbench.engines.base import Clock
from pullbench.engines.wire.body import CheckedBody, TokenBody
from pullbench.engines.wire.curl import Handle, Handles
from pullbench.engines.wire.curl_multi import Multiplexer
from pullbench.engines.wire.curl_receiver import BodyRefusedError, HttpRequest, code_of_os_error
from pullbench.engines.wire.login import Login
from pullbench.engines.wire.record import RANGE_REFUSED, Attempt, Trail, transfer_row
from pullbench.engines.wire.urls import led_to, pins, proxy_url
from pullbench.errors import ErrorCode, RegistryError
from pullbench.model.record import TransferKind
from pullbench.model.route import Route
from pullbench.model.spec import EngineEntry
from pullbench.registry.auth import (
    Challenge,
    Credentials,
    Token,
    TokenRequest,
    parse_challenges,
    redact_url,
    same_origin,
)
from pullbench.registry.redirect import RedirectRefusedError

MAX_REDIRECTS = 10
_REDIRECTS = (301, 302, 303, 307, 308)
_USER_AGENT = f"pullbench/{__version__}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """PEM files of the roots to trust: for the registry itself, and for the hosts that it sends a client to."""

    endpoint_file: str
    elsewhere_file: str


class Session:
    """Connections and tokens of one route.

    With HTTP/1.1 a connection serves whoever comes next. With HTTP/2 each pull under way has one for itself, and all its
    exchanges share it. `drivers` has the threads of multiplexers, where exchanges are made by those: one for each pull
    under way, or `shared` of them for all. Shared ones are for HTTP/1.1, and for so many exchanges at once that a thread
    in libcurl for each would keep the others from the interpreter's lock.
    """

    def __init__(
        self,
        route: Route,
        entry: EngineEntry,
        *,
        credentials: Credentials | None,
        forward_login: Credentials | None = None,
        trust: Trust,
        clock: Clock,
        drivers: Executor | None = None,
        shared: int = 0,
        crowd: int = 1,
    ) -> None:
        self._route = route
        self._forward_url = proxy_url(route.forward_url)
        self._forward_login = forward_login
        self._entry = entry
        self._login = Login(route, credentials, clock)
        self._trust = trust
        self._clock = clock
        self._drivers = drivers
        self._lock = threading.Lock()
        self._handles = Handles(lambda: Handle(clock.monotonic))
        self._idle: list[Multiplexer] = []
        self._shared = shared
        self._crowd = crowd
        self._turns = count()

    @contextmanager
    def connections(self) -> Iterator[Handles]:
        """What one pull makes its exchanges by."""
        if self._drivers is None:
            yield self._handles
            return
        if self._shared:
            yield self._of_all(self._drivers).handles
            return
        with self._lock:
            multiplexer = self._idle.pop() if self._idle else None
        multiplexer = multiplexer or Multiplexer(self._drivers, self._clock.monotonic, self._crowd)
        try:
            yield multiplexer.handles
        finally:
            with self._lock:
                self._idle.append(multiplexer)

    def _of_all(self, drivers: Executor) -> Multiplexer:
        """One of those that all pulls share, in turn."""
        with self._lock:
            while len(self._idle) < self._shared:
                self._idle.append(Multiplexer(drivers, self._clock.monotonic, self._crowd))
            return self._idle[next(self._turns) % self._shared]

    def get(
        self,
        path: str,
        body: CheckedBody,
        attempt: Attempt,
        *,
        kind: TransferKind,
        digest: str,
    ) -> None:
        """GET `/v2/REPOSITORY/path` into the body and verify it; a 401 leads to one token exchange.

        Adds a row an exchange to the attempt's log. Raises RegistryError.
        """
        url = f"{self._route.url}/v2/{attempt.repository}/{path}"
        with attempt.handles.one() as handle:
            ask = partial(self._ask_token, handle, attempt)
            authorization = self._login.current(attempt, ask)
            trail = self._follow(handle, url, body, attempt, own=self._own(authorization))
            challenges = self._challenges(trail)
            if self._login.can_answer(challenges, authorization):
                attempt.log.add(transfer_row(trail, attempt, kind="token", digest=None, received_bytes=0))
                attempt.log.add_auth(trail.total_s)
                authorization = self._login.renew(attempt, ask, stale=authorization, challenges=challenges)
                trail = self._follow(handle, url, body, attempt, own=self._own(authorization))
        self._conclude(trail, body, attempt, kind, digest)

    def close(self) -> None:
        """Close every connection; no request may be under way."""
        self._handles.close()
        with self._lock:
            while self._idle:
                self._idle.pop().close()

    def _challenges(self, trail: Trail) -> tuple[Challenge, ...]:
        """What a 401 of the endpoint offers; another host, such as a storage service, may not ask for a token."""
        if trail.last.status != 401 or trail.error_code is not None or not same_origin(trail.url, self._route.url):
            return ()
        return parse_challenges(trail.last.headers.get("www-authenticate", ()))

    def _own(self, authorization: str | None) -> dict[str, str]:
        """Headers for the endpoint's own origin alone."""
        return self._with_extra({"Authorization": authorization} if authorization else {})

    def _with_extra(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Together with the route's extra ones, which take no other's place, however they are written."""
        ours = {name.lower() for name in headers}
        extra = {name: value for name, value in self._route.headers.items() if name.lower() not in ours}
        return {**extra, **headers}

    def _conclude(
        self, trail: Trail, body: CheckedBody, attempt: Attempt, kind: TransferKind, digest: str | None
    ) -> None:
        """Verify what came, add its row, and raise what was wrong with it."""
        failure = trail.failure()
        if failure is None:
            body.settle()
        started_s = self._clock.monotonic()
        failure = self._login.explain(failure, trail, kind) if failure else _verified(trail, body)
        total_s = trail.total_s + self._clock.monotonic() - started_s
        forgiven = failure is not None and failure.status in attempt.forgiven
        row = transfer_row(
            trail,
            attempt,
            kind=kind,
            digest=digest,
            received_bytes=body.received_bytes,
            error_code=None if failure is None or forgiven else failure.code,
            total_s=total_s,
            note=RANGE_REFUSED if forgiven else body.note,
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
        own: Mapping[str, str],
        method: str = "GET",
        content: bytes | None = None,
    ) -> Trail:
        """Ask, and follow redirects; headers of `own` go to the first URL's origin and to no other."""
        first, hops = url, []
        started_at, started_s = self._clock.now(), self._clock.monotonic()
        code, text = None, ""
        while True:
            sent = {"User-Agent": _USER_AGENT, **body.request_headers, **(own if same_origin(url, first) else {})}
            hop = handle.exchange(self._request(method, url, sent, content, attempt), body)
            hops.append(hop)
            code, text = hop.error_code, hop.error
            if code is not None or method != "GET" or hop.status not in _REDIRECTS:
                break
            if len(hops) > MAX_REDIRECTS:
                code, text = ErrorCode.REDIRECT_LOOP, f"more than {MAX_REDIRECTS} redirects"
                break
            try:
                url = led_to(url, hop.header("location"))
            except RedirectRefusedError as refused:
                code, text = refused.code, f"redirected {refused}"
                break
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
            proxy_url=self._forward_url,
            proxy_login=self._forward_login,
            ca_file=trust.endpoint_file if same_origin(url, self._route.url) else trust.elsewhere_file,
            http_version=entry.http_version,
            resolve=pins(entry.resolve, self._forward_url or url),
            connect_timeout_s=entry.connect_timeout_s,
            stall_timeout_s=entry.stall_timeout_s,
            timeout_s=max(0.001, attempt.deadline_s - self._clock.monotonic()),
            stopped=attempt.stopped,
        )

    def _ask_token(self, handle: Handle, attempt: Attempt, asked: TokenRequest, body: TokenBody) -> Token:
        own = self._with_extra(asked.headers) if same_origin(asked.url, self._route.url) else asked.headers
        trail = self._follow(handle, asked.url, body, attempt, own=own, method=asked.method, content=asked.body)
        self._conclude(trail, body, attempt, "token", None)
        return body.token


def _verified(trail: Trail, body: CheckedBody) -> RegistryError | None:
    where, status = f"{trail.method} {redact_url(trail.url)}", trail.last.status
    try:
        body.finish()
    except BodyRefusedError as refused:
        is_page = trail.last.header("content-type").lower().startswith("text/html")
        code = ErrorCode.NOT_A_REGISTRY if is_page else refused.code
        return RegistryError(code, where, refused.detail, status=status)
    except RegistryError as error:
        return RegistryError(error.code, where, error.detail, status=status)
    except OSError as error:
        return RegistryError(code_of_os_error(error), where, str(error), status=status)
    return None
