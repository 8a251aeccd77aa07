"""What libcurl's errors mean, case by case."""

import errno

import pycurl
import pytest

from pullbench.engines.wire.curl import CurlProgress, code_of_curl
from pullbench.errors import ErrorCode


def progress(
    reached: str = "nothing",
    *,
    out_of_time: bool = False,
    by_proxy: bool = False,
    connect_status: int = 0,
    os_errno: int = 0,
) -> CurlProgress:
    stages = ("nothing", "resolved", "connected", "secured")
    at = stages.index(reached)
    return CurlProgress(
        resolved=at >= 1,
        connected=at >= 2,
        secured=at >= 3,
        out_of_time=out_of_time,
        by_proxy=by_proxy,
        connect_status=connect_status,
        os_errno=os_errno,
    )


@pytest.mark.parametrize(
    ("number", "message", "at", "code"),
    [
        (28, "Resolving timed out after 1000 milliseconds", progress(), ErrorCode.DNS),
        (28, "Connection timed out", progress("resolved"), ErrorCode.CONNECT_TIMEOUT),
        (28, "SSL connection timeout", progress("connected"), ErrorCode.TLS_TIMEOUT),
        (28, "Operation timed out", progress("secured", out_of_time=True), ErrorCode.TIMEOUT),
        (28, "Operation timed out", progress("nothing", out_of_time=True), ErrorCode.TIMEOUT),
        (28, "Connection timed out", progress("resolved", by_proxy=True), ErrorCode.PROXY),
        (7, "Failed to connect", progress("resolved", os_errno=errno.ECONNREFUSED), ErrorCode.CONNECT_REFUSED),
        (7, "Failed to connect", progress("resolved", os_errno=errno.EHOSTUNREACH), ErrorCode.UNREACHABLE),
        (7, "Failed to connect", progress("resolved", os_errno=errno.ENETUNREACH), ErrorCode.UNREACHABLE),
        (7, "Failed to connect", progress("resolved", by_proxy=True), ErrorCode.PROXY),
        (7, "something new", progress("resolved"), ErrorCode.CONNECT_REFUSED),
        (6, "Could not resolve host: x", progress(), ErrorCode.DNS),
        (5, "Could not resolve proxy: x", progress(by_proxy=True), ErrorCode.PROXY),
        (97, "proxy handshake error", progress("connected", by_proxy=True), ErrorCode.PROXY),
        (
            56,
            "CONNECT tunnel failed, response 503",
            progress("connected", by_proxy=True, connect_status=503),
            ErrorCode.PROXY,
        ),
        (56, "Recv failure: Connection reset by peer", progress("secured", connect_status=200), ErrorCode.RESET),
        (55, "Send failure: Broken pipe", progress("secured"), ErrorCode.RESET),
        (52, "Empty reply from server", progress("secured"), ErrorCode.RESET),
        (92, "HTTP/2 stream 1 was not closed cleanly", progress("secured"), ErrorCode.RESET),
        (18, "transfer closed with 3 bytes remaining to read", progress("secured"), ErrorCode.TRUNCATED),
        (60, "SSL certificate problem: certificate has expired", progress("connected"), ErrorCode.TLS_EXPIRED),
        (60, "SSL certificate problem: self-signed certificate", progress("connected"), ErrorCode.TLS_UNTRUSTED),
        (60, "some new complaint", progress("connected"), ErrorCode.TLS_UNTRUSTED),
        (
            60,
            "SSL: no alternative certificate subject name matches target host name 'a'",
            progress("connected"),
            ErrorCode.TLS_HOSTNAME,
        ),
        (35, "error:0A00010B:SSL routines::wrong version number", progress("connected"), ErrorCode.PLAIN_HTTP),
        (35, "unexpected eof while reading", progress("connected"), ErrorCode.RESET),
        (35, "tlsv1 alert internal error", progress("connected"), ErrorCode.UNKNOWN),
        (77, "error setting certificate file: x.pem", progress("connected"), ErrorCode.TLS_UNTRUSTED),
        (100, "Too large response headers", progress("secured"), ErrorCode.TOO_LARGE),
        (1, "Received HTTP/0.9 when not allowed", progress("secured"), ErrorCode.NOT_A_REGISTRY),
        (27, "out of memory", progress(), ErrorCode.UNKNOWN),
    ],
)
def test_an_error_of_libcurl_has_its_code(number: int, message: str, at: CurlProgress, code: ErrorCode) -> None:
    assert code_of_curl(number, message, at) is code


def test_the_numbers_are_libcurls() -> None:
    names = (pycurl.E_OPERATION_TIMEDOUT, pycurl.E_COULDNT_CONNECT, pycurl.E_PARTIAL_FILE, pycurl.E_SSL_CONNECT_ERROR)
    assert names == (28, 7, 18, 35)
