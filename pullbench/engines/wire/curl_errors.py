"""What libcurl's error numbers mean, as error codes; pure, so that every case is tested without a network."""

import errno
from dataclasses import dataclass

import pycurl

from pullbench.errors import ErrorCode, classify

# Numbers of libcurl that pycurl has no name for.
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
    pycurl.E_FTP_WEIRD_SERVER_REPLY: ErrorCode.NOT_A_REGISTRY,  # 8: an answer that is no HTTP
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
    """How far an exchange had come when it failed."""

    resolved: bool
    connected: bool
    secured: bool
    """The TLS handshake is done, or there is none."""
    out_of_time: bool
    """The whole time that was left for it is used up."""
    by_proxy: bool
    connect_status: int = 0
    """What a forward proxy answered to CONNECT; 0 where it was not asked."""
    os_errno: int = 0


def code_of_curl(number: int, message: str, at: CurlProgress) -> ErrorCode:
    """The code of a failed `perform`, by its number, its message and how far it had come."""
    if number == pycurl.E_OPERATION_TIMEDOUT:
        return _timed_out(at)
    if at.by_proxy and (number == pycurl.E_COULDNT_CONNECT or at.connect_status >= 300):
        return ErrorCode.PROXY
    if number == pycurl.E_COULDNT_CONNECT:
        found = _SOCKET.get(at.os_errno) or classify(message)
        return ErrorCode.CONNECT_REFUSED if found is ErrorCode.UNKNOWN else found
    if number in (pycurl.E_SSL_CONNECT_ERROR, pycurl.E_PEER_FAILED_VERIFICATION):
        found = classify(message)
        if found is ErrorCode.TRUNCATED:  # a handshake cut short has no content that could be
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
