"""From what a socket, TLS, HTTP or a registry says went wrong to a RegistryError: foreign errors end here."""

import email.utils
import errno
import json
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx

from pullbench.errors import ErrorCode, RegistryError, classify, code_of_status
from pullbench.model.text import clean

MAX_PROBLEMS = 10
MAX_RETRY_AFTER_S = 86_400.0

_HTTPS_PORT = re.compile(r"HTTP request (was sent )?to (an )?HTTPS (port|server)", re.IGNORECASE)

# X509_V_ERR_* of OpenSSL's x509_vfy.h.
_VERIFY_CODES = {
    9: ErrorCode.TLS_EXPIRED,
    10: ErrorCode.TLS_EXPIRED,
    62: ErrorCode.TLS_HOSTNAME,
    64: ErrorCode.TLS_HOSTNAME,
}
_ERRNO_CODES = {
    errno.ECONNREFUSED: ErrorCode.CONNECT_REFUSED,
    errno.EHOSTUNREACH: ErrorCode.UNREACHABLE,
    errno.ENETUNREACH: ErrorCode.UNREACHABLE,
    errno.EHOSTDOWN: ErrorCode.UNREACHABLE,
    errno.ENETDOWN: ErrorCode.UNREACHABLE,
    errno.EADDRNOTAVAIL: ErrorCode.UNREACHABLE,
    errno.ETIMEDOUT: ErrorCode.CONNECT_TIMEOUT,
    errno.ECONNRESET: ErrorCode.RESET,
    errno.ECONNABORTED: ErrorCode.RESET,
    errno.EPIPE: ErrorCode.RESET,
}
# OCI distribution spec 1.1, "Error Codes": what a body's code says where the status alone says little.
_PROBLEM_CODES = {
    "UNAUTHORIZED": ErrorCode.UNAUTHORIZED,
    "DENIED": ErrorCode.FORBIDDEN,
    "TOOMANYREQUESTS": ErrorCode.RATE_LIMITED,
    "MANIFEST_UNKNOWN": ErrorCode.NOT_FOUND,
    "NAME_UNKNOWN": ErrorCode.NOT_FOUND,
    "BLOB_UNKNOWN": ErrorCode.NOT_FOUND,
    "NAME_INVALID": ErrorCode.NOT_FOUND,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One entry of a registry's error body: `{"errors": [{"code", "message", "detail"}]}` (OCI distribution spec)."""

    code: str
    message: str = ""
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.code}: {self.message}" if self.message else self.code


class AnswerError(RegistryError):
    """A registry's own refusal, with what its error body said."""

    def __init__(
        self,
        code: ErrorCode,
        where: str,
        detail: str,
        *,
        status: int,
        problems: tuple[Problem, ...] = (),
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(code, where, detail, status=status, retry_after_s=retry_after_s)
        self.problems = problems


def read_problems(body: bytes) -> tuple[Problem, ...]:
    """The entries of an error body, at most MAX_PROBLEMS; none where it is no such body."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return ()
    entries = document.get("errors") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        return ()
    return tuple(
        Problem(
            code=clean(entry.get("code") or "UNKNOWN", 60).upper(),
            message=clean(entry.get("message") or ""),
            detail=clean(entry.get("detail") or ""),
        )
        for entry in entries[:MAX_PROBLEMS]
        if isinstance(entry, dict)
    )


def of_answer(where: str, status: int, headers: Mapping[str, str], body: bytes) -> AnswerError:
    """The error of an answer of 300 or more; its code comes from the status, else from the registry's own code."""
    problems = read_problems(body)
    code = code_of_status(status)
    if code is ErrorCode.NOT_A_REGISTRY:
        code = next((_PROBLEM_CODES[one.code] for one in problems if one.code in _PROBLEM_CODES), code)
    if "x-squid-error" in headers:
        code = ErrorCode.PROXY
    said = "; ".join(str(problem) for problem in problems[:3]) or _plain_text(headers, body)
    if status == 403 and "token has expired" in said:  # Amazon ECR says so; it is a matter of logging in again
        code = ErrorCode.UNAUTHORIZED
    if status == 400 and _HTTPS_PORT.search(body[:2000].decode("utf-8", "replace")):
        said = "this port speaks https: write https:// in the URL"
    wait_s = retry_after_s(headers.get("retry-after"))
    waiting = f" (Retry-After {wait_s:.0f} s)" if wait_s is not None else ""
    return AnswerError(
        code, where, f"{status} {said}".strip() + waiting, status=status, problems=problems, retry_after_s=wait_s
    )


def _plain_text(headers: Mapping[str, str], body: bytes) -> str:
    content_type = headers.get("content-type", "")
    if content_type.startswith("text/plain"):
        return clean(body[:2000].decode("utf-8", "replace"), 120)
    return f"with a body of {clean(content_type, 60)}" if body and content_type else ""


def retry_after_s(value: str | None, now: datetime | None = None) -> float | None:
    """How long Retry-After asks to wait, in seconds up to a day: a number or a date (RFC 9110, section 10.2.3)."""
    if value is None:
        return None
    text = value.strip()
    if re.fullmatch(r"[0-9]{1,9}", text):
        return min(float(text), MAX_RETRY_AFTER_S)
    try:
        at = email.utils.parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return min(max(0.0, (at - (now or datetime.now(UTC))).total_seconds()), MAX_RETRY_AFTER_S)


def of_exception(where: str, error: BaseException, *, by_proxy: bool = False, in_tls: bool = False) -> RegistryError:
    """The RegistryError of an exception of httpx, socket or ssl; its causes are walked for what really happened.

    `by_proxy`: the connection was made to a forward proxy, so failing to connect is the proxy's failure.
    `in_tls`: the TLS handshake had begun when it failed, which a time-out alone does not show.
    """
    code, text = _read(error, in_tls=in_tls)
    to_proxy = by_proxy and not in_tls and isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
    if to_proxy or isinstance(error, httpx.ProxyError):
        return RegistryError(ErrorCode.PROXY, where, f"the forward proxy: {clean(text)}")
    return RegistryError(code, where, clean(text))


def _read(error: BaseException, *, in_tls: bool) -> tuple[ErrorCode, str]:
    chain = list(_chain(error))
    for cause in chain:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _VERIFY_CODES.get(cause.verify_code, ErrorCode.TLS_UNTRUSTED), cause.verify_message
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, TimeoutError):
            return _of_tls(cause)
        if isinstance(cause, socket.gaierror):
            return ErrorCode.DNS, cause.strerror or str(cause)
        if isinstance(cause, OSError) and cause.errno in _ERRNO_CODES:
            return _ERRNO_CODES[cause.errno], cause.strerror or str(cause)
    if isinstance(error, httpx.ConnectTimeout | TimeoutError):
        late = "the TLS handshake got no answer" if in_tls else "no answer to the connection attempt"
        return ErrorCode.TLS_TIMEOUT if in_tls else ErrorCode.CONNECT_TIMEOUT, late
    return _of_http(error)


def _of_tls(error: ssl.SSLError) -> tuple[ErrorCode, str]:
    text = str(error)
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return ErrorCode.RESET, "the connection was closed in the TLS handshake"
    # What OpenSSL says, by its version, of an HTTP answer where a TLS record should stand.
    if re.search(r"WRONG_VERSION_NUMBER|RECORD_LAYER_FAILURE|PACKET_LENGTH_TOO_LONG|HTTP_REQUEST", text, re.IGNORECASE):
        return ErrorCode.PLAIN_HTTP, "the answer is no TLS"
    return classify(text), text


def _of_http(error: BaseException) -> tuple[ErrorCode, str]:
    text = str(error) or type(error).__name__
    if isinstance(error, httpx.ReadTimeout | httpx.WriteTimeout):
        return ErrorCode.STALLED, "no byte came within the read time-out"
    if isinstance(error, httpx.RemoteProtocolError):
        if "without sending a response" in text:
            return ErrorCode.RESET, text
        found = classify(text)
        return (found, text) if found is ErrorCode.TRUNCATED else (ErrorCode.NOT_A_REGISTRY, text)
    if isinstance(error, httpx.NetworkError) and classify(text) is ErrorCode.UNKNOWN:
        return ErrorCode.RESET, text
    if isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol | httpx.DecodingError):
        return ErrorCode.NOT_A_REGISTRY, text
    return classify(text), text


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__
