"""One HTTP exchange with a registry: bounded, redirected by hand, every failure a RegistryError."""

import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, cast

import httpx

from pullbench import __version__
from pullbench.errors import ErrorCode, RegistryError
from pullbench.model.route import Route
from pullbench.model.text import clean
from pullbench.registry import faults
from pullbench.registry.auth import Credentials, basic_header, redact_url, same_origin
from pullbench.registry.redaction import redacted, secrets_of
from pullbench.registry.redirect import RedirectRefusedError, destination
from pullbench.registry.trust import shared_tls_context

USER_AGENT = f"pullbench/{__version__}"
MAX_REDIRECTS = 10
MAX_ERROR_BYTES = 64 * 1024
"""As much of an error's body is read; the rest is left."""
_REDIRECTS = frozenset({301, 302, 303, 307, 308})

Content = bytes | Callable[[], Iterable[bytes]]
"""A request's body: whole, or in pieces that are made anew for each attempt (its length then stands in `headers`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back after all redirects. `headers` has lower-case names; `challenges` every WWW-Authenticate line."""

    method: str
    url: str
    status: int
    headers: Mapping[str, str] = field(repr=False)
    challenges: tuple[str, ...] = field(default=(), repr=False)
    body: bytes = field(default=b"", repr=False)
    sent: tuple[str, ...] = field(default=(), repr=False)
    """Secrets that the request carried: no error may repeat them."""
    address: str | None = None
    """IP and port of who answered: the forward proxy's where there is one."""

    @property
    def where(self) -> str:
        """Method and URL for people, redacted."""
        return f"{self.method} {redact_url(self.url)}"

    def fault(self) -> faults.AnswerError:
        """The error that this answer is, without what it echoes of our secrets; only for a status of 300 or more."""
        headers = {name: redacted(value, sent=self.sent) for name, value in self.headers.items()}
        body = redacted(self.body.decode("utf-8", "surrogateescape"), sent=self.sent)
        return faults.of_answer(self.where, self.status, headers, body.encode("utf-8", "surrogateescape"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One request and its end, for a caller who watches: redacted, without headers and bodies."""

    method: str
    url: str
    status: int | None
    error_code: ErrorCode | None
    total_s: float


class Exchanger:
    """Sends requests along a route. It knows no credentials of the registry: what is to be sent is given, and kept to the
    origin. `forward_login` is for the route's forward proxy, and goes to that alone.
    """

    def __init__(
        self,
        route: Route,
        *,
        connect_timeout_s: float,
        read_timeout_s: float,
        exchange_timeout_s: float,
        forward_login: Credentials | None = None,
        transport: httpx.BaseTransport | None = None,
        on_exchange: Callable[[Exchange], None] | None = None,
    ) -> None:
        self._route = route
        self._exchange_timeout_s = exchange_timeout_s
        self._timeout = httpx.Timeout(read_timeout_s, connect=connect_timeout_s).as_dict()
        self._on_exchange = on_exchange
        self._forward_secrets = () if forward_login is None else secrets_of(basic_header(forward_login))
        # The bare transport: httpx.Client would log whole URLs, signatures included, and keep cookies.
        self._home = transport or _transport(route, shared_tls_context(route.ca_file), forward_login)
        self._away = self._home
        if transport is None and route.ca_file is not None:
            self._away = _transport(route, shared_tls_context(route.ca_file, public_too=True), forward_login)

    def send(
        self,
        method: str,
        url: str,
        *,
        limit_bytes: int,
        headers: Mapping[str, str] | None = None,
        authorization: str | None = None,
        content: Content | None = None,
    ) -> Answer:
        """One request and its redirects; a body beyond `limit_bytes` is cut off and is `too_large`.

        `authorization` and the route's extra headers go to the first URL's origin alone, also if a redirect comes back
        to it. Raises RegistryError for all that is no HTTP answer; an answer of any status is returned.
        """
        at_home, current = True, url
        for _ in range(MAX_REDIRECTS + 1):
            given = {"Accept-Encoding": "identity", "User-Agent": USER_AGENT, **(headers or {})}
            if at_home and same_origin(current, self._route.url):
                given |= self._route.headers
            if at_home and authorization is not None:
                given["Authorization"] = authorization
            body = content() if callable(content) else content
            answer = self._once(_request(method, current, given, body), limit_bytes)
            if answer.status not in _REDIRECTS or "location" not in answer.headers:
                return answer
            if method not in ("GET", "HEAD"):
                raise RegistryError(
                    ErrorCode.NOT_A_REGISTRY,
                    answer.where,
                    f"{answer.status} redirects a {method}",
                    status=answer.status,
                )
            current = next_url(answer)
            at_home = at_home and same_origin(current, url)
        raise RegistryError(
            ErrorCode.REDIRECT_LOOP, f"{method} {redact_url(url)}", f"more than {MAX_REDIRECTS} redirects"
        )

    def _once(self, request: httpx.Request, limit_bytes: int) -> Answer:
        where = f"{request.method} {redact_url(str(request.url))}"
        in_tls = False

        def trace(event: str, _info: dict[str, Any]) -> None:
            nonlocal in_tls
            if "start_tls." in event:
                in_tls = not event.endswith(".complete")

        request.extensions = {"timeout": self._timeout, "trace": trace}
        started = time.monotonic()
        status: int | None = None
        code: ErrorCode | None = None
        try:
            at_home = same_origin(str(request.url), self._route.url)
            response = (self._home if at_home else self._away).handle_request(request)
            status = response.status_code
            try:
                # An upload may take as long as it needs, so its answer's time counts from where that begins.
                return self._read(request, response, limit_bytes, time.monotonic())
            finally:
                response.close()
        except RegistryError as error:
            code = error.code
            raise
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            by_proxy = self._route.forward_url is not None
            fault = faults.of_exception(where, error, by_proxy=by_proxy, in_tls=in_tls)
            code = fault.code
            raise fault from error
        finally:
            if self._on_exchange is not None:
                self._on_exchange(
                    Exchange(
                        method=request.method,
                        url=redact_url(str(request.url)),
                        status=status,
                        error_code=code,
                        total_s=time.monotonic() - started,
                    )
                )

    def _read(self, request: httpx.Request, response: httpx.Response, limit_bytes: int, started: float) -> Answer:
        where = f"{request.method} {redact_url(str(request.url))}"
        failed = response.status_code >= 300
        limit = MAX_ERROR_BYTES if failed else limit_bytes
        chunks: list[bytes] = []
        size = 0
        # Raw bytes: identity was asked for, digests are over what is sent, and a bomb is never unpacked.
        for chunk in cast("httpx.SyncByteStream", response.stream):
            size += len(chunk)
            if size > limit and not failed:
                detail = f"more than {limit} bytes came; the rest was not read"
                raise RegistryError(ErrorCode.TOO_LARGE, where, detail, status=response.status_code)
            chunks.append(chunk)
            if size > limit:
                break
            if time.monotonic() - started > self._exchange_timeout_s:
                detail = f"not ended after {self._exchange_timeout_s:g} s"
                raise RegistryError(ErrorCode.STALLED, where, detail, status=response.status_code)
        return Answer(
            method=request.method,
            url=str(request.url),
            status=response.status_code,
            headers={name.lower(): value for name, value in response.headers.items()},
            challenges=tuple(response.headers.get_list("www-authenticate")),
            body=b"".join(chunks)[:limit],
            sent=(*secrets_of(request.headers.get("Authorization"), self._form(request)), *self._forward_secrets),
            address=_address(response),
        )

    @staticmethod
    def _form(request: httpx.Request) -> bytes | None:
        is_form = request.headers.get("Content-Type") == "application/x-www-form-urlencoded"
        return request.read() if is_form else None

    def close(self) -> None:
        self._home.close()
        self._away.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _address(response: httpx.Response) -> str | None:
    stream = response.extensions.get("network_stream")
    found = stream.get_extra_info("server_addr") if stream is not None else None
    if not found:
        return None
    host, port = found[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _transport(route: Route, trusted: ssl.SSLContext, forward_login: Credentials | None) -> httpx.HTTPTransport:
    proxy = None
    if route.forward_url is not None:
        secure = route.forward_url.startswith("https:")
        login = None if forward_login is None else (forward_login.username, forward_login.password)
        proxy = httpx.Proxy(route.forward_url, ssl_context=shared_tls_context(None) if secure else None, auth=login)
    return httpx.HTTPTransport(verify=trusted, proxy=proxy, trust_env=False)


def _request(
    method: str, url: str, headers: Mapping[str, str], content: bytes | Iterable[bytes] | None
) -> httpx.Request:
    """The request; RegistryError for a URL that none can be made for, such as an endless one of a redirect or a realm."""
    try:
        return httpx.Request(method, url, headers=headers, content=content)
    except httpx.InvalidURL as error:
        where = f"{method} {clean(redact_url(url), 120)}"
        raise RegistryError(ErrorCode.NOT_A_REGISTRY, where, f"no URL to ask: {clean(error)}") from error


def next_url(answer: Answer, does: str = "redirects") -> str:
    """Where an answer's Location leads; raises RegistryError for what is no place to go to, where `does` is its verb."""
    try:
        return destination(answer.url, answer.headers["location"])
    except RedirectRefusedError as refused:
        text = f"{answer.status} {does} {refused}"
        raise RegistryError(refused.code, answer.where, text, status=answer.status) from refused
