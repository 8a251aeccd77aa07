"""Turns errors of sockets, TLS and httpx into RegistryErrors; foreign errors go no further."""

import errno
import re
import socket
import ssl
from collections.abc import Iterator

import httpx

from pullbench.errors import ErrorCode, RegistryError, Responder, classify
from pullbench.model.text import clean

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
    errno.ENOTCONN: ErrorCode.RESET,
    errno.ESHUTDOWN: ErrorCode.RESET,
}


def of_exception(
    where: str,
    error: BaseException,
    *,
    by_proxy: bool = False,
    in_tls: bool = False,
    host: str | None = None,
    by: Responder | None = None,
) -> RegistryError:
    """The RegistryError of an exception of httpx, socket or ssl; walks its causes to the real one.

    `by_proxy`: the connection was to a forward proxy, so a failed connection is the proxy's failure.
    `by`: the server that did not answer, if it is not the registry. `in_tls`: the TLS handshake had begun, which a timeout alone does not show.
    """
    code, text = _read(error, in_tls=in_tls)
    to_proxy = by_proxy and not in_tls and isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
    if to_proxy or isinstance(error, httpx.ProxyError):
        detail = f"forward proxy: {clean(text)}"
        return RegistryError(ErrorCode.PROXY, where, detail, answered_by=Responder.PROXY, host=host)
    return RegistryError(code, where, clean(text), answered_by=by, host=host)


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
    # OpenSSL's messages, by version, for an HTTP answer instead of a TLS record.
    if re.search(r"WRONG_VERSION_NUMBER|RECORD_LAYER_FAILURE|PACKET_LENGTH_TOO_LONG|HTTP_REQUEST", text, re.IGNORECASE):
        return ErrorCode.PLAIN_HTTP, "the answer is not TLS"
    return classify(text), text


def _of_http(error: BaseException) -> tuple[ErrorCode, str]:
    text = str(error) or type(error).__name__
    if isinstance(error, httpx.ReadTimeout | httpx.WriteTimeout):
        return ErrorCode.STALLED, "no data arrived within the read timeout"
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
