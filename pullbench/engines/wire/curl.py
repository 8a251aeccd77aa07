"""One HTTP exchange by libcurl: the body goes through a callback and is never held, the phases are timed in C.

libcurl receives outside the interpreter's lock, and hashing large chunks lets go of it too, so threads scale.
Redirects, tokens and retries are not followed here: each would hide an exchange inside another's time.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any

import pycurl

from pullbench.engines.wire.curl_errors import CurlProgress, code_of_curl
from pullbench.engines.wire.curl_receiver import Body, HttpRequest, Receiver
from pullbench.errors import ErrorCode

BUFFER_BYTES = 512 * 1024
"""What libcurl reads at once: fewer calls of the system. It hands on 16 kB at a time, however much it read; to hash several
of those together gains nothing, for joining them costs what the fewer turns of the interpreter save."""
_VERSIONS = {"1.1": pycurl.CURL_HTTP_VERSION_1_1, "2": pycurl.CURL_HTTP_VERSION_2TLS}
_VERSION_NAMES = {
    pycurl.CURL_HTTP_VERSION_1_0: "1.0",
    pycurl.CURL_HTTP_VERSION_1_1: "1.1",
    pycurl.CURL_HTTP_VERSION_2_0: "2",
    pycurl.CURL_HTTP_VERSION_3: "3",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Phases:
    """Seconds of each phase that was begun; None for what was never reached. A kept connection costs 0.0."""

    dns_s: float | None = None
    connect_s: float | None = None
    tls_s: float | None = None
    wait_s: float | None = None
    transfer_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpResult:
    """What came of one exchange: an answer with its status, or a failure, or both when the body broke off."""

    status: int | None
    headers: Mapping[str, tuple[str, ...]]
    """By lower-case name."""
    is_content: bool
    """The body took it for what was asked for."""
    answer: bytes
    """The start of a body that is no content, such as a registry's error document."""
    phases: Phases
    reused: bool | None
    http_version: str | None
    remote_ip: str | None
    address: str | None
    """IP and port that answered."""
    error_code: ErrorCode | None = None
    error: str = ""

    def header(self, name: str) -> str:
        """All values of a header, comma-separated; empty where it is absent."""
        return ", ".join(self.headers.get(name, ()))


class Handle:
    """One libcurl handle with the connections that it keeps; for one thread at a time."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._curl = pycurl.Curl()
        self._monotonic = monotonic

    def exchange(self, request: HttpRequest, body: Body) -> HttpResult:
        """Make one exchange; what `body` accepts goes to it. Never raises for what a server does."""
        receiver = Receiver(request, body, self._monotonic)
        self._set(request, receiver)
        number, message = self._perform(receiver)
        if number == 0:
            receiver.judge()
        code, text = self._failure(request, receiver, number, message)
        return self._result(receiver, request.url.startswith("https:"), code, text)

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
        curl.reset()  # options only: connections, DNS answers and TLS sessions stay
        options: dict[int, Any] = {
            pycurl.URL: request.url,
            pycurl.CUSTOMREQUEST: request.method,
            pycurl.HTTPHEADER: [f"{name}: {value}" for name, value in request.headers.items()],
            pycurl.NOSIGNAL: 1,
            pycurl.FOLLOWLOCATION: 0,
            pycurl.PROXY: request.proxy_url,
            pycurl.NOPROXY: "",
            pycurl.CAINFO: request.ca_file,
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
        for option, value in options.items():
            curl.setopt(option, value)

    def _failure(
        self, request: HttpRequest, receiver: Receiver, number: int, message: str
    ) -> tuple[ErrorCode | None, str]:
        if receiver.failure is not None:
            return receiver.failure
        if number == 0 or (number == pycurl.E_WRITE_ERROR and not receiver.is_content):
            return None, ""  # an unwanted body was cut short; its status says what happened
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

    def _result(self, receiver: Receiver, secure: bool, code: ErrorCode | None, text: str) -> HttpResult:
        info = self._curl.getinfo
        remote_ip = info(pycurl.PRIMARY_IP) or None
        host = f"[{remote_ip}]" if remote_ip and ":" in remote_ip else remote_ip
        status = info(pycurl.RESPONSE_CODE) or None  # not the receiver's, which sees a proxy's answer to CONNECT too
        reused = info(pycurl.NUM_CONNECTS) == 0 if status or receiver.is_connected else None
        return HttpResult(
            status=status,
            headers={name: tuple(values) for name, values in receiver.headers.items()},
            is_content=bool(receiver.is_content),
            answer=bytes(receiver.answer),
            phases=self._phases(secure, bool(reused)),
            reused=reused,
            http_version=_VERSION_NAMES.get(info(pycurl.INFO_HTTP_VERSION)) if status else None,
            remote_ip=remote_ip,
            address=f"{host}:{info(pycurl.PRIMARY_PORT)}" if remote_ip else None,
            error_code=code,
            error=text,
        )

    def _phases(self, secure: bool, reused: bool) -> Phases:
        """libcurl's marks count from the start; a mark of zero was not reached, and its phase lasted to the end."""
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
        if reused:  # libcurl leaves the marks of a kept connection at zero
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


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))  # zero would mean without end


class Handles:
    """Handles with their kept connections; safe for threads."""

    def __init__(self, make: Callable[[], Handle]) -> None:
        self._make = make
        self._lock = Lock()
        self._idle: list[Handle] = []

    @contextmanager
    def one(self) -> Iterator[Handle]:
        """The handle that was used last, for its connection is the least likely to have been closed meanwhile."""
        with self._lock:
            handle = self._idle.pop() if self._idle else None
        handle = handle or self._make()
        try:
            yield handle
        finally:
            with self._lock:
                self._idle.append(handle)

    def close(self) -> None:
        """Close every connection; no exchange may be under way."""
        with self._lock:
            while self._idle:
                self._idle.pop().close()
