"""One route's registry over libcurl: kept connections, tokens, and requests that follow redirects.

`pullbench/registry/` interprets the answers: whether a token is needed, a redirect is allowed, which error it is. A client
lives for a trial (auth: persisted) or for one pull (per-pull). Threads share it. An engine's clients share `names`.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from urllib.parse import quote, urlsplit

from pullbench.engines.base import Clock
from pullbench.engines.wire.body import CheckedBody, TokenBody
from pullbench.engines.wire.curl import BodyRefusedError, Handle, Handles, HttpRequest, HttpResult, code_of_os_error
from pullbench.engines.wire.curl_multi import Multiplexer
from pullbench.engines.wire.record import RANGE_REFUSED, PullAttempt, Trail, transfer_row
from pullbench.engines.wire.server_names import NAMELESS, ServerNames
from pullbench.errors import ErrorCode, RegistryError, Responder
from pullbench.model.record import TransferKind
from pullbench.model.route import Route
from pullbench.model.spec import EngineEntry
from pullbench.registry.answer import kind_of_path
from pullbench.registry.attempts import Logins
from pullbench.registry.auth import Challenge, Credentials, Token, TokenRequest, basic_header, same_origin
from pullbench.registry.login import Authorizer
from pullbench.registry.redaction import secrets_of
from pullbench.registry.redirect import RedirectRefusedError, Redirects

_AS_IT_IS = {"Accept-Encoding": "identity"}  # as the control plane: digests cover the stored bytes
_URL_CHARACTERS = "%/:=&?~#+!$,;'@()*[]"  # what stands in a URL as it is (RFC 3986)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """PEM files of the trusted roots: for the registry itself, and for hosts that it redirects to."""

    endpoint_file: str
    elsewhere_file: str


class WireClient:
    """Connections and tokens of one route.

    With HTTP/1.1 any pull may use a free connection. With HTTP/2 each running pull has its own connection, which all its
    exchanges share. `drivers` has the threads of multiplexers, if these make the exchanges: one per running pull, or `shared`
    multiplexers for all. Shared ones are for HTTP/1.1 with so many concurrent exchanges that one libcurl thread for each would
    block the others at the interpreter's lock.
    """

    def __init__(
        self,
        route: Route,
        entry: EngineEntry,
        *,
        credentials: Credentials | None,
        logins: Logins,
        forward_login: Credentials | None = None,
        trust: Trust,
        names: ServerNames,
        clock: Clock,
        drivers: Executor | None = None,
        shared: int = 0,
        crowd: int = 1,
    ) -> None:
        self._route = route
        self._forward_url = proxy_url(route.forward_url)
        self._forward_login = forward_login
        self._forward_secrets = () if forward_login is None else secrets_of(basic_header(forward_login))
        self._entry = entry
        self._authorizer = Authorizer(route, lambda: credentials, monotonic=clock.monotonic, logins=logins)
        self._trust = trust
        self._names = names
        self._clock = clock
        self._drivers = drivers
        self._lock = threading.Lock()
        self._handles = Handles(lambda: Handle(clock.monotonic))
        self._idle: list[Multiplexer] = []
        self._shared = shared
        self._crowd = crowd
        self._turns = count()
        self._answered_kinds = set[str]()

    @contextmanager
    def connections(self) -> Iterator[Handles]:
        """The handles for one pull's exchanges."""
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
        """The next of the shared multiplexers, round robin."""
        with self._lock:
            while len(self._idle) < self._shared:
                self._idle.append(Multiplexer(drivers, self._clock.monotonic, self._crowd))
            return self._idle[next(self._turns) % self._shared]

    def get(
        self,
        path: str,
        body: CheckedBody,
        attempt: PullAttempt,
        *,
        kind: TransferKind,
        digest: str,
    ) -> None:
        """GET `/v2/REPOSITORY/path` into the body and verify it; a 401 leads to one token exchange.

        Adds one row per exchange to the attempt's log. Raises RegistryError.
        """
        url, authorizer = f"{self._route.url}/v2/{attempt.repository}/{path}", self._authorizer
        with attempt.handles.one() as handle:
            due = authorizer.due(attempt.repository)
            authorization = authorizer.current(attempt.repository)
            if due:
                authorization = self._renew(handle, attempt, authorization, due)
            trail = self._follow(handle, url, body, attempt, authorization=authorization)
            challenges = authorizer.offered(trail.answer()) if trail.is_refused else ()
            if authorizer.can_answer(attempt.repository, challenges, authorization):
                attempt.log.add(transfer_row(trail, attempt, kind="token", digest=None, received_bytes=0))
                attempt.log.add_auth(trail.total_s)
                authorization = self._renew(handle, attempt, authorization, challenges)
                with authorizer.attempt(attempt.repository, authorization, self._left_s(attempt)) as conclude:
                    trail = self._follow(handle, url, body, attempt, authorization=authorization)
                    if trail.error_code is None:
                        conclude(trail.answer())
        self._conclude(trail, body, attempt, kind, digest, authorization)

    def close(self) -> None:
        """Close all connections; no request may be running."""
        self._handles.close()
        with self._lock:
            while self._idle:
                self._idle.pop().close()

    def _renew(
        self, handle: Handle, attempt: PullAttempt, sent: str | None, challenges: Sequence[Challenge]
    ) -> str | None:
        """A new Authorization value; the time, including waits for other threads' exchanges, is the attempt's auth_s."""
        started_s = self._clock.monotonic()
        try:
            return self._authorizer.renew(
                attempt.repository,
                partial(self._exchange_token, handle, attempt),
                sent=sent,
                challenges=challenges,
                wait_s=self._left_s(attempt),
            )
        finally:
            attempt.log.add_auth(self._clock.monotonic() - started_s)

    def _left_s(self, attempt: PullAttempt) -> float:
        return attempt.deadline_s - self._clock.monotonic()

    def _conclude(
        self,
        trail: Trail,
        body: CheckedBody,
        attempt: PullAttempt,
        kind: TransferKind,
        digest: str | None,
        authorization: str | None = None,
    ) -> None:
        """Verify the content, add its row, and raise its error."""
        failure = trail.failure(
            self._authorizer,
            sent=authorization,
            repository=attempt.repository,
            others_answered=kind_of_path(trail.url) in self._answered_kinds,
        )
        if failure is None:
            if trail.at_home and trail.asked is Responder.REGISTRY:
                self._answered_kinds.add(kind_of_path(trail.url))
            body.settle()
        started_s = self._clock.monotonic()
        failure = failure or self._verified(trail, body)
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
        attempt: PullAttempt,
        *,
        authorization: str | None,
        request: TokenRequest | None = None,
    ) -> Trail:
        """GET, or a token exchange, and follow redirects; `Redirects` decides where headers go."""
        method = "GET" if request is None else request.method
        content = None if request is None else request.body
        given = {**_AS_IT_IS, **body.request_headers, **({} if request is None else request.headers)}
        redirects, hops = Redirects(method, url, self._route), []
        started_at, started_s = self._clock.now(), self._clock.monotonic()
        while True:
            url, at_home = redirects.url, redirects.at_home
            sent = redirects.headers(given, authorization)
            hop = handle.exchange(self._request(method, url, sent, content, attempt), body)
            hops.append(hop)
            code, text = self._failure(url, hop)
            try:
                if code is not None or not redirects.follow(hop.status, _location(hop)):
                    break
            except RedirectRefusedError as refused:
                code, text = refused.code, str(refused)
                break
        return Trail(
            method=method,
            url=url,
            hops=tuple(hops),
            started_at=started_at,
            total_s=self._clock.monotonic() - started_s,
            asked=Responder.REGISTRY if request is None else Responder.TOKEN_SERVICE,
            at_home=at_home,
            sent=self._forward_secrets,
            error_code=code,
            error=text,
        )

    def _failure(self, url: str, hop: HttpResult) -> tuple[ErrorCode | None, str]:
        """The failure of an exchange, also by a certificate that libcurl accepts and Go's clients refuse."""
        server = _server(url)
        self._names.note(server, hop.certificate)
        if hop.error_code is None and self._names.is_nameless(server):
            return ErrorCode.TLS_HOSTNAME, NAMELESS
        return hop.error_code, hop.error

    def _request(
        self, method: str, url: str, headers: Mapping[str, str], content: bytes | None, attempt: PullAttempt
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
            reads_certificate=url.startswith("https:") and self._names.is_due(_server(url)),
            stopped=attempt.stopped,
        )

    def _exchange_token(self, handle: Handle, attempt: PullAttempt, request: TokenRequest) -> Token:
        headers, body = dict(request.headers), TokenBody()
        authorization = headers.pop("Authorization", None)
        request = replace(request, headers=headers)
        trail = self._follow(handle, request.url, body, attempt, authorization=authorization, request=request)
        self._conclude(trail, body, attempt, "token", None)
        return body.token

    def _verified(self, trail: Trail, body: CheckedBody) -> RegistryError | None:
        """The error of wrong content; None if it is correct."""
        try:
            body.finish()
        except BodyRefusedError as refused:
            is_page = trail.last.header("content-type").lower().startswith("text/html")
            return trail.error_of(ErrorCode.NOT_A_REGISTRY if is_page else refused.code, refused.detail)
        except RegistryError as error:
            return trail.error_of(error.code, error.detail)
        except OSError as error:
            return trail.error_of(code_of_os_error(error), str(error))
        return None


def _location(hop: HttpResult) -> str | None:
    """The Location in ASCII, as libcurl requires; None if there is none."""
    found = hop.header("location")
    return quote(found, safe=_URL_CHARACTERS, encoding="latin-1") if "location" in hop.headers else None


def proxy_url(url: str | None) -> str:
    """The URL with its port: libcurl defaults to 1080, other clients to the scheme's port."""
    return "{}://{}:{}".format(urlsplit(url).scheme, *_host_and_port(url)) if url else ""


def pins(resolve: Mapping[str, str], url: str) -> Sequence[str]:
    """libcurl's HOST:PORT:ADDRESS for a URL's host, if the engine pins it."""
    if not resolve:
        return ()
    host, port = _host_and_port(url)
    address = resolve.get(f"{host}:{port}") or resolve.get(host)
    if address is None:
        return ()
    return (f"{host}:{port}:[{address}]" if ":" in address else f"{host}:{port}:{address}",)


def _server(url: str) -> str:
    return "{}:{}".format(*_host_and_port(url))


def _host_and_port(url: str) -> tuple[str, int]:
    """Host and port of a URL; an IPv6 address has brackets."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return f"[{host}]" if ":" in host else host, parts.port or (443 if parts.scheme == "https" else 80)
