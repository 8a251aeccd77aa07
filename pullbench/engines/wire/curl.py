"""One HTTP exchange by libcurl: a callback receives the body in pieces, and C code times the phases.

libcurl receives without the interpreter's lock, and hashing large chunks releases it too, so threads scale. This module
follows no redirects, tokens or retries: each would hide an exchange inside another's time.
"""

import errno
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Protocol

import pycurl

from pullbench.errors import ErrorCode, classify
from pullbench.registry.auth import Credentials

# Constants of libcurl that pycurl does not define.
_HTTP2_STREAM = 92
_PROXY_HANDSHAKE = 97
_HEAD_TOO_LARGE = 100

_PLAIN: dict[int, ErrorCode] = {
    pycurl.E_COULDNT_RESOLVE_HOST: ErrorCode.DNS,
    pycurl.E_COULDNT_RESOLVE_PROXY: ErrorCode.PROXY,
    _PROXY_HANDSHAKE: ErrorCode.PROXY,
    pycurl.E_PARTIAL_FILE: ErrorCode.TRUNCATED,
    pycurl.E_GOT_NOTHING: ErrorCode.RESET,
    pycurl.E_SEND_ERROR: ErrorCode.RESET,
    pycurl.E_RECV_ERROR: ErrorCode.RESET,
    pycurl.E_HTTP2: ErrorCode.RESET,
    _HTTP2_STREAM: ErrorCode.RESET,
    _HEAD_TOO_LARGE: ErrorCode.TOO_LARGE,
    pycurl.E_SSL_CACERT_BADFILE: ErrorCode.TLS_UNTRUSTED,
    pycurl.E_PEER_FAILED_VERIFICATION: ErrorCode.TLS_UNTRUSTED,
    pycurl.E_FTP_WEIRD_SERVER_REPLY: ErrorCode.NOT_A_REGISTRY,  # 8: the answer is not HTTP
    pycurl.E_UNSUPPORTED_PROTOCOL: ErrorCode.NOT_A_REGISTRY,  # 1: also an HTTP/0.9 answer
    pycurl.E_URL_MALFORMAT: ErrorCode.NOT_A_REGISTRY,
}
_SOCKET: dict[int, ErrorCode] = {
    errno.ECONNREFUSED: ErrorCode.CONNECT_REFUSED,
    errno.ENETUNREACH: ErrorCode.UNREACHABLE,
    errno.EHOSTUNREACH: ErrorCode.UNREACHABLE,
    errno.EHOSTDOWN: ErrorCode.UNREACHABLE,
    errno.ETIMEDOUT: ErrorCode.CONNECT_TIMEOUT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CurlProgress:
    """The progress of an exchange when it failed."""

    resolved: bool
    connected: bool
    secured: bool
    """Whether the TLS handshake is complete, or not needed."""
    out_of_time: bool
    """Whether the exchange has used all its time."""
    by_proxy: bool
    connect_status: int = 0
    """The forward proxy's status for CONNECT; 0 without one."""
    os_errno: int = 0


def code_of_curl(number: int, message: str, at: CurlProgress) -> ErrorCode:
    """The code of a failed `perform`, from its number, its message and the progress."""
    if number == pycurl.E_OPERATION_TIMEDOUT:
        return _timed_out(at)
    if at.by_proxy and (number == pycurl.E_COULDNT_CONNECT or at.connect_status >= 300):
        return ErrorCode.PROXY
    if number == pycurl.E_COULDNT_CONNECT:
        found = _SOCKET.get(at.os_errno) or classify(message)
        return ErrorCode.CONNECT_REFUSED if found is ErrorCode.UNKNOWN else found
    if number in (pycurl.E_SSL_CONNECT_ERROR, pycurl.E_PEER_FAILED_VERIFICATION):
        found = classify(message)
        if found is ErrorCode.TRUNCATED:  # a handshake that was cut short has no content to truncate
            return ErrorCode.RESET
        return _PLAIN.get(number, ErrorCode.UNKNOWN) if found is ErrorCode.UNKNOWN else found
    return _PLAIN.get(number) or classify(message)


def _timed_out(at: CurlProgress) -> ErrorCode:
    if at.out_of_time:
        return ErrorCode.TIMEOUT
    if not at.resolved:
        return ErrorCode.PROXY if at.by_proxy else ErrorCode.DNS
    if not at.connected:
        return ErrorCode.PROXY if at.by_proxy else ErrorCode.CONNECT_TIMEOUT
    return ErrorCode.STALLED if at.secured else ErrorCode.TLS_TIMEOUT


MAX_ANSWER_BYTES = 16 * 1024
"""The kept part of an answer that is no content, such as a registry's error document."""
_MAX_UNWANTED_BYTES = 1024 * 1024  # beyond this a new connection is cheaper than reading the rest
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


class BodyRefusedError(Exception):
    """A body accepts no more: too long, no space, or not the requested content."""

    def __init__(self, code: ErrorCode, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class Body(Protocol):
    """Receives content. Both methods may raise BodyRefusedError to end the exchange, and `update` also OSError."""

    def accepts(self, status: int, headers: Mapping[str, Sequence[str]], /) -> bool:
        """Whether an answer is the requested content; header names are in lower case."""
        ...

    def update(self, chunk: bytes, /) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """One exchange and its limits."""

    method: str = "GET"
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    proxy_url: str = ""
    """A forward proxy; empty for none. The environment's proxy variables are ignored."""
    proxy_login: Credentials | None = None
    """The login for the forward proxy, as Basic: with every request for http, with CONNECT for https."""
    ca_file: str
    http_version: str
    resolve: Sequence[str] = ()
    """HOST:PORT:ADDRESS, used instead of DNS."""
    connect_timeout_s: float
    """The limit for DNS, TCP and TLS together."""
    stall_timeout_s: float
    """The limit without any byte after the request was sent."""
    timeout_s: float
    """The limit for the whole exchange; more than zero."""
    reads_certificate: bool = False
    """Whether to return the fields of the server's certificate, if this exchange makes the handshake."""
    stopped: Callable[[], bool]
    """Called while bytes arrive, and at least once a second otherwise; True ends the exchange as `cancelled`."""


class Receiver:
    """libcurl's callbacks for one exchange. They must not raise: pycurl would print the error and continue."""

    def __init__(self, request: HttpRequest, body: Body, monotonic: Callable[[], float]) -> None:
        self.status: int | None = None
        self.headers: dict[str, list[str]] = {}
        self.answer = bytearray()
        self.failure: tuple[ErrorCode, str] | None = None
        self.is_connected = False
        self.is_repeated = False
        """Whether libcurl sent the request again, because the kept connection had ended before any answer."""
        self.is_content: bool | None = None
        """Whether the body accepts the answer; None before the decision."""
        self.received_bytes = 0
        self._request = request
        self._body = body
        self._update = body.update
        self._monotonic = monotonic
        self._unwanted_bytes = 0
        self._seen_bytes = 0.0
        self._seen_s = 0.0

    def header(self, line: bytes) -> None:
        text = line.decode("latin-1").strip()
        if text.startswith("HTTP/"):  # a new header block: the final one follows any 1xx
            self.headers = {}
            word = text.split(None, 2)[1:2]
            self.status = int(word[0]) if word and word[0].isdecimal() else None
            return
        name, colon, value = text.partition(":")
        if colon:
            self.headers.setdefault(name.strip().lower(), []).append(value.strip())

    def connected(self, *_addresses: object) -> int:
        self.is_repeated, self.is_connected = self.is_connected, True
        self._seen_s = self._monotonic()
        return int(pycurl.PREREQFUNC_OK)

    def judge(self) -> bool:
        """Let the body decide, once per answer, whether it is content; a refusal fails the exchange."""
        if self.is_content is None:
            try:
                self.is_content = self._body.accepts(self.status or 0, self.headers)
            except BodyRefusedError as refused:
                self.is_content = False
                self.failure = refused.code, refused.detail
        return self.is_content

    def write(self, chunk: bytes) -> int | None:
        self.received_bytes += len(chunk)
        if self.is_content or self.judge():
            try:
                self._update(chunk)
            except BodyRefusedError as refused:
                self.failure = refused.code, refused.detail
                return 0
            except OSError as error:
                self.failure = code_of_os_error(error), str(error)
                return 0
            return None
        if self.failure is not None:
            return 0
        self.answer += chunk[: MAX_ANSWER_BYTES - len(self.answer)]
        self._unwanted_bytes += len(chunk)
        return None if self._unwanted_bytes <= _MAX_UNWANTED_BYTES else 0

    def progress(self, _total: float, received: float, _up_total: float, _up: float) -> int:
        """libcurl's progress callback: a value other than 0 ends the exchange."""
        return 0 if self.may_go_on(received) else 1

    def may_go_on(self, received: float) -> bool:
        """Whether the exchange may continue; a changed `received` shows that bytes still arrive."""
        if self._request.stopped():
            self.failure = ErrorCode.CANCELLED, "stopped during the transfer"
            return False
        if not self.is_connected:
            return True
        now = self._monotonic()
        if received != self._seen_bytes:
            self._seen_bytes, self._seen_s = received, now
        elif now - self._seen_s >= self._request.stall_timeout_s:
            self.failure = ErrorCode.STALLED, f"no data for {self._request.stall_timeout_s:g} s"
            return False
        return True


def code_of_os_error(error: OSError) -> ErrorCode:
    """The code of a failed write to the local disk."""
    return ErrorCode.DISK_FULL if error.errno in _DISK_FULL else ErrorCode.UNKNOWN


BUFFER_BYTES = 512 * 1024
"""The size of libcurl's reads: larger means fewer system calls. It passes on 16 kB at a time in any case; hashing several
of these together gains nothing, because joining them costs as much as it saves."""
_VERSIONS = {"1.1": pycurl.CURL_HTTP_VERSION_1_1, "2": pycurl.CURL_HTTP_VERSION_2TLS}
_VERSION_NAMES = {
    pycurl.CURL_HTTP_VERSION_1_0: "1.0",
    pycurl.CURL_HTTP_VERSION_1_1: "1.1",
    pycurl.CURL_HTTP_VERSION_2_0: "2",
    pycurl.CURL_HTTP_VERSION_3: "3",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Phases:
    """Seconds of each phase that began; None for phases that were not reached. A kept connection costs 0.0."""

    dns_s: float | None = None
    connect_s: float | None = None
    tls_s: float | None = None
    wait_s: float | None = None
    transfer_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpResult:
    """The result of an exchange: an answer with its status, a failure, or both if the body broke off."""

    status: int | None
    headers: Mapping[str, tuple[str, ...]]
    """By lower-case name."""
    is_content: bool
    """Whether the body accepted it as the requested content."""
    answer: bytes
    """The beginning of a body that is no content, such as a registry's error document."""
    phases: Phases
    reused: bool | None
    http_version: str | None
    remote_ip: str | None
    address: str | None
    """IP and port of the server that answered."""
    error_code: ErrorCode | None = None
    error: str = ""
    certificate: tuple[tuple[str, str], ...] = ()
    """The fields of the server's own certificate; empty if they were not wanted, or the connection was kept."""
    repeated: bool = False
    """Whether the request was sent again on a new connection, because a kept one had ended before any answer."""

    def header(self, name: str) -> str:
        """All values of a header, separated by commas; empty if it is missing."""
        return ", ".join(self.headers.get(name, ()))


class Handle:
    """One libcurl handle with its kept connections; for one thread at a time."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._curl = pycurl.Curl()
        self._monotonic = monotonic

    def exchange(self, request: HttpRequest, body: Body) -> HttpResult:
        """Make one exchange; accepted content goes to `body`. Raises nothing for failures of a server."""
        receiver = Receiver(request, body, self._monotonic)
        self._set(request, receiver)
        number, message = self._perform(receiver)
        if number == 0:
            receiver.judge()
        code, text = self._failure(request, receiver, number, message)
        return self._result(receiver, request, code, text)

    def close(self) -> None:
        self._curl.close()

    def _perform(self, _receiver: Receiver) -> tuple[int, str]:
        """libcurl's error number, 0 for none, and its message."""
        try:
            self._curl.perform()
        except pycurl.error as error:
            number, message = error.args
            return number, message
        return 0, ""

    def _set(self, request: HttpRequest, receiver: Receiver) -> None:
        curl = self._curl
        curl.reset()  # resets only options: connections, DNS answers and TLS sessions stay
        options: dict[int, Any] = {
            pycurl.URL: request.url,
            pycurl.CUSTOMREQUEST: request.method,
            pycurl.HTTPHEADER: [f"{name}: {value}" for name, value in request.headers.items()],
            pycurl.NOSIGNAL: 1,
            pycurl.FOLLOWLOCATION: 0,
            pycurl.PROXY: request.proxy_url,
            pycurl.NOPROXY: "",
            pycurl.CAINFO: request.ca_file,
            pycurl.SSLVERSION: pycurl.SSLVERSION_TLSv1_2,  # the least, as in registry/trust.py
            pycurl.HTTP_VERSION: _VERSIONS[request.http_version],
            pycurl.BUFFERSIZE: BUFFER_BYTES,
            pycurl.CONNECTTIMEOUT_MS: _milliseconds(request.connect_timeout_s),
            pycurl.TIMEOUT_MS: _milliseconds(request.timeout_s),
            pycurl.NOPROGRESS: 0,
            pycurl.HEADERFUNCTION: receiver.header,
            pycurl.PREREQFUNCTION: receiver.connected,
            pycurl.WRITEFUNCTION: receiver.write,
            pycurl.XFERINFOFUNCTION: receiver.progress,
        }
        if request.body is not None:
            options[pycurl.POSTFIELDS] = request.body
        if request.proxy_login is not None:
            options[pycurl.PROXYAUTH] = pycurl.HTTPAUTH_BASIC
            options[pycurl.PROXYUSERNAME] = request.proxy_login.username.encode()
            options[pycurl.PROXYPASSWORD] = request.proxy_login.password.encode()
        if request.resolve:
            options[pycurl.RESOLVE] = list(request.resolve)
        if request.reads_certificate:
            options[pycurl.OPT_CERTINFO] = 1
        for option, value in options.items():
            curl.setopt(option, value)

    def _failure(
        self, request: HttpRequest, receiver: Receiver, number: int, message: str
    ) -> tuple[ErrorCode | None, str]:
        if receiver.failure is not None:
            return receiver.failure
        if number == 0 or (number == pycurl.E_WRITE_ERROR and not receiver.is_content):
            return None, ""  # the body was cut short on purpose; the status has the reason
        info = self._curl.getinfo
        secure = request.url.startswith("https:")
        at = CurlProgress(
            resolved=receiver.is_connected or info(pycurl.NAMELOOKUP_TIME_T) > 0,
            connected=receiver.is_connected or info(pycurl.CONNECT_TIME_T) > 0,
            secured=receiver.is_connected or (not secure and info(pycurl.CONNECT_TIME_T) > 0),
            out_of_time=info(pycurl.TOTAL_TIME_T) / 1e6 >= request.timeout_s - 0.002,
            by_proxy=bool(request.proxy_url),
            connect_status=info(pycurl.HTTP_CONNECTCODE),
            os_errno=info(pycurl.OS_ERRNO),
        )
        return code_of_curl(number, message, at), message

    def _result(self, receiver: Receiver, request: HttpRequest, code: ErrorCode | None, text: str) -> HttpResult:
        info = self._curl.getinfo
        # As bytes: a certificate may have any, and pycurl would fail to decode them.
        chain = self._curl.getinfo_raw(pycurl.INFO_CERTINFO) if request.reads_certificate else ()
        remote_ip = info(pycurl.PRIMARY_IP) or None
        host = f"[{remote_ip}]" if remote_ip and ":" in remote_ip else remote_ip
        status = info(pycurl.RESPONSE_CODE) or None  # the receiver's status may be a proxy's answer to CONNECT
        reused = info(pycurl.NUM_CONNECTS) == 0 if status or receiver.is_connected else None
        return HttpResult(
            status=status,
            headers={name: tuple(values) for name, values in receiver.headers.items()},
            is_content=bool(receiver.is_content),
            answer=bytes(receiver.answer),
            phases=self._phases(request.url.startswith("https:"), bool(reused)),
            reused=reused,
            http_version=_VERSION_NAMES.get(info(pycurl.INFO_HTTP_VERSION)) if status else None,
            remote_ip=remote_ip,
            address=f"{host}:{info(pycurl.PRIMARY_PORT)}" if remote_ip else None,
            error_code=code,
            error=text,
            certificate=tuple((_text(name), _text(value)) for name, value in chain[0]) if chain else (),
            repeated=receiver.is_repeated,
        )

    def _phases(self, secure: bool, reused: bool) -> Phases:
        """libcurl measures from the start. A phase with time zero was not reached, so the phase before it lasted to the end."""
        info = self._curl.getinfo
        resolved, connected, secured, sent, first, end = (
            info(mark) / 1e6
            for mark in (
                pycurl.NAMELOOKUP_TIME_T,
                pycurl.CONNECT_TIME_T,
                pycurl.APPCONNECT_TIME_T,
                pycurl.PRETRANSFER_TIME_T,
                pycurl.STARTTRANSFER_TIME_T,
                pycurl.TOTAL_TIME_T,
            )
        )
        wait_s = max(0.0, (first or end) - max(sent, secured, connected))
        transfer_s = max(0.0, end - first) if first else None
        if reused:  # libcurl leaves the times of a kept connection at zero
            return Phases(dns_s=0.0, connect_s=0.0, tls_s=0.0, wait_s=wait_s, transfer_s=transfer_s)
        if not resolved:
            return Phases(dns_s=end)
        if not connected:
            return Phases(dns_s=resolved, connect_s=end - resolved)
        if secure and not secured:
            return Phases(dns_s=resolved, connect_s=connected - resolved, tls_s=end - connected)
        return Phases(
            dns_s=resolved,
            connect_s=connected - resolved,
            tls_s=secured - connected if secure else 0.0,
            wait_s=wait_s,
            transfer_s=transfer_s,
        )


def _text(value: bytes) -> str:
    return value.decode("latin-1")


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))  # zero would mean no limit


class Handles:
    """Handles with their kept connections; thread-safe."""

    def __init__(self, make: Callable[[], Handle]) -> None:
        self._make = make
        self._lock = Lock()
        self._idle: list[Handle] = []

    @contextmanager
    def one(self) -> Iterator[Handle]:
        """The most recently used handle: its connection is least likely to have been closed."""
        with self._lock:
            handle = self._idle.pop() if self._idle else None
        handle = handle or self._make()
        try:
            yield handle
        finally:
            with self._lock:
                self._idle.append(handle)

    def close(self) -> None:
        """Close all connections; no exchange may be running."""
        with self._lock:
            while self._idle:
                self._idle.pop().close()
