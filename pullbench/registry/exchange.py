"""One HTTP exchange with a registry: bounded, with its own redirects; every failure is a RegistryError."""

import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self, cast

import httpx

from pullbench.errors import ErrorCode, RegistryError, Responder
from pullbench.model.route import Route
from pullbench.model.text import clean
from pullbench.registry import faults
from pullbench.registry.answer import MAX_ERROR_BYTES, Answer, host_of, kind_of_path
from pullbench.registry.auth import Credentials, basic_header, redact_url, same_origin
from pullbench.registry.redaction import secrets_of
from pullbench.registry.redirect import RedirectRefusedError, Redirects
from pullbench.registry.trust import shared_tls_context

Content = bytes | Callable[[], Iterable[bytes]]
"""A request's body: whole, or as pieces that are produced again for each attempt (with the length in `headers`)."""


_IDEMPOTENT = ("GET", "HEAD")


class _KeptConnectionEndedError(RegistryError):
    """A kept connection ended before the answer to a request that may be sent again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeRecord:
    """One request and its result, for observers: redacted, without headers and bodies."""

    method: str
    url: str
    status: int | None
    error_code: ErrorCode | None
    total_s: float


class Exchanger:
    """Sends requests along a route over httpx. It has no registry credentials of its own: the caller passes them, and they
    stay at the first URL's origin. `forward_login` is sent only to the route's forward proxy.
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
        on_exchange: Callable[[ExchangeRecord], None] | None = None,
    ) -> None:
        self._route = route
        self._exchange_timeout_s = exchange_timeout_s
        self._timeout = httpx.Timeout(read_timeout_s, connect=connect_timeout_s).as_dict()
        self._on_exchange = on_exchange
        self._answered_kinds = set[str]()
        self._forward_secrets = () if forward_login is None else secrets_of(basic_header(forward_login))
        # The bare transport: httpx.Client would log whole URLs with signatures, and keep cookies.
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
        asked: Responder = Responder.REGISTRY,
    ) -> Answer:
        """Send a request and follow its redirects; a body larger than `limit_bytes` is cut off and raises `too_large`.

        A GET or HEAD whose kept connection ends before its answer is sent again once (RFC 9112, section 9.3.1). An empty header
        leaves that header out. `Redirects` decides where `authorization` and the route's extra headers go. `asked` is the server of this URL. Returns
        an answer with any status. Raises RegistryError for everything that is not an HTTP answer.
        """
        redirects, kind = Redirects(method, url, self._route), kind_of_path(url)
        while True:
            given = {"Accept-Encoding": "identity", **(headers or {})}
            given = redirects.headers({name: value for name, value in given.items() if value}, authorization)
            body = content() if callable(content) else content
            by = asked if redirects.at_home else Responder.REDIRECT
            request = _request(method, redirects.url, given, body)
            try:
                answer = self._once(request, limit_bytes, by)
            except _KeptConnectionEndedError:
                answer = self._once(_request(method, redirects.url, given, body), limit_bytes, by)
            answer = replace(
                answer, asked=asked, at_home=redirects.at_home, others_answered=kind in self._answered_kinds
            )
            if answer.shows_the_registry:
                self._answered_kinds.add(kind)
            try:
                if not redirects.follow(answer.status, answer.headers.get("location")):
                    return answer
            except RedirectRefusedError as refused:
                raise answer.error_of(refused.code, str(refused)) from refused

    def _once(self, request: httpx.Request, limit_bytes: int, by: Responder) -> Answer:
        where = f"{request.method} {redact_url(str(request.url))}"
        in_tls = is_new = is_sent = False

        def trace(event: str, _info: dict[str, Any]) -> None:
            nonlocal in_tls, is_new, is_sent
            if "start_tls." in event:
                in_tls = not event.endswith(".complete")
            is_new = is_new or "connect_tcp." in event
            is_sent = is_sent or "send_request_headers." in event

        request.extensions = {"timeout": self._timeout, "trace": trace}
        started = time.monotonic()
        status: int | None = None
        code: ErrorCode | None = None
        try:
            at_home = same_origin(str(request.url), self._route.url)
            response = (self._home if at_home else self._away).handle_request(request)
            status = response.status_code
            try:
                # An upload may take long, so the time limit of its answer starts after the upload.
                return self._read(request, response, limit_bytes, time.monotonic())
            finally:
                response.close()
        except RegistryError as error:
            code = error.code
            raise
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            by_proxy = self._route.forward_url is not None
            host = host_of(str(request.url))
            other = None if by is Responder.REGISTRY else by
            fault = faults.of_exception(where, error, by_proxy=by_proxy, in_tls=in_tls, host=host, by=other)
            code = fault.code
            unanswered = code is ErrorCode.RESET and status is None
            if unanswered and is_sent and not is_new and request.method in _IDEMPOTENT:
                raise _KeptConnectionEndedError(code, where, fault.detail, host=host) from error
            raise fault from error
        finally:
            if self._on_exchange is not None:
                self._on_exchange(
                    ExchangeRecord(
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
        # Raw bytes: the request asks for identity, digests cover the sent bytes, and a decompression bomb stays packed.
        for chunk in cast("httpx.SyncByteStream", response.stream):
            size += len(chunk)
            if size > limit and not failed:
                detail = f"the body is larger than {limit} bytes; the rest was not read"
                raise RegistryError(ErrorCode.TOO_LARGE, where, detail, status=response.status_code)
            chunks.append(chunk)
            if size > limit:
                break
            if time.monotonic() - started > self._exchange_timeout_s:
                detail = f"the body did not end within {self._exchange_timeout_s:g} s"
                raise RegistryError(ErrorCode.STALLED, where, detail, status=response.status_code)
        return Answer(
            method=request.method,
            url=str(request.url),
            status=response.status_code,
            headers={name.lower(): value for name, value in response.headers.items()},
            challenges=tuple(response.headers.get_list("www-authenticate")),
            body=b"".join(chunks)[:limit],
            sent=(
                *secrets_of(request.headers.get("Authorization"), self._form(request)),
                *self._forward_secrets,
                *self._route.headers.values(),
            ),
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
    try:
        found = stream.get_extra_info("server_addr") if stream is not None else None
    except OSError:  # ENOTCONN: the server has cut the connection after its answer
        return None
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
    """The request; RegistryError for an invalid URL, such as an endless one from a redirect or a realm."""
    try:
        return httpx.Request(method, url, headers=headers, content=content)
    except httpx.InvalidURL as error:
        where = f"{method} {clean(redact_url(url), 120)}"
        raise RegistryError(ErrorCode.NOT_A_REGISTRY, where, f"invalid URL: {clean(error)}") from error
