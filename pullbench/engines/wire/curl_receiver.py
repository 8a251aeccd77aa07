"""What one exchange is and where its answer goes: the request with its bounds, the body, libcurl's callbacks."""

import errno
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import pycurl

from pullbench.errors import ErrorCode
from pullbench.registry.auth import Credentials

MAX_ANSWER_BYTES = 16 * 1024
"""What is kept of an answer that is no content: a registry's error document."""
_MAX_UNWANTED_BYTES = 1024 * 1024  # beyond it a new connection is cheaper than reading on
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


class BodyRefusedError(Exception):
    """A body takes no more: too long, nowhere to put it, or not what was asked for."""

    def __init__(self, code: ErrorCode, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class Body(Protocol):
    """Where content goes; both methods raise BodyRefusedError, and `update` OSError, to end the exchange."""

    def accepts(self, status: int, headers: Mapping[str, Sequence[str]], /) -> bool:
        """Whether an answer is the content that was asked for; header names are in lower case."""
        ...

    def update(self, chunk: bytes, /) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """One exchange to make, and within which bounds."""

    method: str = "GET"
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    proxy_url: str = ""
    """A forward proxy; empty for a direct connection, whatever the environment says."""
    proxy_login: Credentials | None = None
    """For the forward proxy alone, as Basic: with every request for http, with CONNECT for https."""
    ca_file: str
    http_version: str
    resolve: Sequence[str] = ()
    """HOST:PORT:ADDRESS, to be believed before DNS."""
    connect_timeout_s: float
    """DNS, TCP and TLS together."""
    stall_timeout_s: float
    """Without a byte, once the request is on its way."""
    timeout_s: float
    """For the whole exchange; more than zero."""
    stopped: Callable[[], bool]
    """Asked while bytes flow and at least once a second while none do; True ends the exchange as `cancelled`."""


class Receiver:
    """libcurl's callbacks for one exchange. None of them may raise: pycurl would print it and go on."""

    def __init__(self, request: HttpRequest, body: Body, monotonic: Callable[[], float]) -> None:
        self.status: int | None = None
        self.headers: dict[str, list[str]] = {}
        self.answer = bytearray()
        self.failure: tuple[ErrorCode, str] | None = None
        self.is_connected = False
        self.is_content: bool | None = None
        """Whether the body accepts the answer; None before it was asked."""
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
        if text.startswith("HTTP/"):  # a new head: the final one follows any 1xx
            self.headers = {}
            word = text.split(None, 2)[1:2]
            self.status = int(word[0]) if word and word[0].isdecimal() else None
            return
        name, colon, value = text.partition(":")
        if colon:
            self.headers.setdefault(name.strip().lower(), []).append(value.strip())

    def connected(self, *_addresses: object) -> int:
        self.is_connected = True
        self._seen_s = self._monotonic()
        return int(pycurl.PREREQFUNC_OK)

    def judge(self) -> bool:
        """Ask the body, once an answer, whether it is content; a refusal is the exchange's failure."""
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
        """libcurl's progress callback: not 0 ends the exchange."""
        return 0 if self.may_go_on(received) else 1

    def may_go_on(self, received: float) -> bool:
        """Whether nothing stops it; `received` tells by its change that bytes still come."""
        if self._request.stopped():
            self.failure = ErrorCode.CANCELLED, "stopped while under way"
            return False
        if not self.is_connected:
            return True
        now = self._monotonic()
        if received != self._seen_bytes:
            self._seen_bytes, self._seen_s = received, now
        elif now - self._seen_s >= self._request.stall_timeout_s:
            self.failure = ErrorCode.STALLED, f"no byte for {self._request.stall_timeout_s:g} s"
            return False
        return True


def code_of_os_error(error: OSError) -> ErrorCode:
    """The code of a failed write to the local disk."""
    return ErrorCode.DISK_FULL if error.errno in _DISK_FULL else ErrorCode.UNKNOWN
