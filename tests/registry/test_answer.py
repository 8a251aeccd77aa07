"""What an answer means: its code, who gave it, and how long to wait. What both planes make of it: tests/engines/test_one_protocol.py."""

from datetime import UTC, datetime

import pytest

from pullbench.errors import ErrorCode, RegistryError, Responder
from pullbench.registry.answer import Answer, AnswerError, backoff_s, may_pass, retry_after_s


def fault_of(status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> AnswerError:
    return Answer(method="GET", url="http://r.io/v2/", status=status, headers=headers or {}, body=body).fault()


def test_a_page_of_squid_is_the_proxys_failure() -> None:
    fault = fault_of(503, {"x-squid-error": "ERR_CONNECT_FAIL 111"})
    assert fault.code is ErrorCode.PROXY


@pytest.mark.parametrize(
    ("status", "problem", "code"),
    [
        (400, "NAME_INVALID", ErrorCode.NOT_FOUND),
        (400, "TOOMANYREQUESTS", ErrorCode.RATE_LIMITED),
        (418, "DENIED", ErrorCode.FORBIDDEN),
        (404, "DENIED", ErrorCode.NOT_FOUND),
        (500, "DENIED", ErrorCode.SERVER_ERROR),
        (405, "UNSUPPORTED", ErrorCode.SERVER_ERROR),
    ],
)
def test_the_registrys_own_code_counts_where_the_status_says_little(status: int, problem: str, code: ErrorCode) -> None:
    body = b'{"errors": [{"code": "%s"}]}' % problem.encode()
    assert fault_of(status, body=body).code is code


NGINX = b"<html>\r\n<head><title>503 Service Temporarily Unavailable</title></head>\r\n<hr><center>%s</center>\r\n"
HAPROXY = (
    b"<html><body><h1>503 Service Unavailable</h1>\nNo server is available to handle this request.\n</body></html>"
)


@pytest.mark.parametrize(
    ("method", "headers", "body", "code"),
    [
        ("GET", {"server": "nginx"}, NGINX % b"nginx", ErrorCode.RATE_LIMITED),
        ("GET", {}, NGINX % b"openresty/1.25.3.1", ErrorCode.RATE_LIMITED),
        ("HEAD", {"server": "nginx/1.22.1", "content-type": "text/html"}, b"", ErrorCode.RATE_LIMITED),
        ("GET", {"x-ratelimit-remaining": "0"}, b"", ErrorCode.RATE_LIMITED),
        ("GET", {"ratelimit-remaining": "0;w=21600"}, b"", ErrorCode.RATE_LIMITED),
        ("GET", {}, b"Too Many Requests", ErrorCode.RATE_LIMITED),
        ("GET", {}, b'{"message": "API rate limit exceeded"}', ErrorCode.RATE_LIMITED),
        ("GET", {}, HAPROXY, ErrorCode.SERVER_ERROR),
        ("HEAD", {"server": "nginx", "content-type": "application/json"}, b"", ErrorCode.SERVER_ERROR),
        ("HEAD", {"server": "Apache", "content-type": "text/html"}, b"", ErrorCode.SERVER_ERROR),
        ("GET", {"x-ratelimit-remaining": "10"}, b"", ErrorCode.SERVER_ERROR),
        ("GET", {"retry-after": "30"}, b"down for maintenance", ErrorCode.SERVER_ERROR),
    ],
)
def test_a_503_that_is_a_rate_limit_is_told_from_an_outage(
    method: str, headers: dict[str, str], body: bytes, code: ErrorCode
) -> None:
    answer = Answer(method=method, url="http://r.io/v2/", status=503, headers=headers, body=body)
    assert answer.fault().code is code


@pytest.mark.parametrize(
    ("name", "code"), [("SlowDown", ErrorCode.RATE_LIMITED), ("InternalError", ErrorCode.SERVER_ERROR)]
)
def test_storage_that_limits_requests_is_a_rate_limit(name: str, code: ErrorCode) -> None:
    body = f"<Error><Code>{name}</Code><Message>Please reduce your request rate.</Message></Error>".encode()
    answer = Answer(method="GET", url="http://s3.io/x", status=503, headers={}, body=body, at_home=False)
    assert answer.fault().code is code


def test_an_expired_token_of_amazon_is_a_matter_of_logging_in() -> None:
    body = b'{"errors":[{"code":"DENIED","message":"Your authorization token has expired. Reauthenticate"}]}'
    assert fault_of(403, body=body).code is ErrorCode.UNAUTHORIZED
    assert fault_of(403, body=b'{"errors":[{"code":"DENIED"}]}').code is ErrorCode.FORBIDDEN


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("120", 120.0),
        ("0", 0.0),
        ("999999999", 86_400.0),
        ("Mon, 23 Nov 2026 16:15:30 GMT", 30.0),
        ("Mon, 23 Nov 2026 16:00:00 GMT", 0.0),
        ("-5", None),
        ("soon", None),
        ("9" * 50, None),
        ("Mon, 99 Foo 2026", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, expected: float | None) -> None:
    assert retry_after_s(value, datetime(2026, 11, 23, 16, 15, tzinfo=UTC)) == expected


@pytest.mark.parametrize(
    ("headers", "more", "by", "host"),
    [
        ({}, {}, Responder.REGISTRY, "r.io:5000"),
        ({}, {"asked": Responder.TOKEN_SERVICE}, Responder.TOKEN_SERVICE, "r.io:5000"),
        ({}, {"at_home": False}, Responder.REDIRECT, "r.io:5000"),
        ({"x-squid-error": "ERR_DNS_FAIL 0"}, {"at_home": False}, Responder.PROXY, None),
    ],
)
def test_a_fault_says_who_answered_and_where(
    headers: dict[str, str], more: dict[str, object], by: Responder, host: str | None
) -> None:
    url = "http://u:p@r.io:5000/v2/"
    fault = Answer(method="GET", url=url, status=503, headers=headers, **more).fault()  # type: ignore[arg-type]
    assert (fault.answered_by, fault.host, fault.status) == (by, host, 503)


def test_what_a_proxy_only_passed_on_is_not_its_own() -> None:
    assert fault_of(503, {"proxy-status": "edge; received-status=503"}).answered_by is Responder.REGISTRY
    assert fault_of(503, {"proxy-status": "cdn, edge; error=connection_refused"}).answered_by is Responder.PROXY


def test_the_wait_before_a_retry_is_what_the_server_asks_else_doubles() -> None:
    assert [backoff_s(attempt) for attempt in (1, 2, 3, 9)] == [0.5, 1.0, 2.0, 8.0]
    assert (backoff_s(1, 30.0), backoff_s(2, 0.0)) == (30.0, 1.0)


@pytest.mark.parametrize(
    ("status", "code", "passes"),
    [
        (503, ErrorCode.SERVER_ERROR, True),
        (501, ErrorCode.SERVER_ERROR, False),
        (429, ErrorCode.RATE_LIMITED, True),
        (404, ErrorCode.NOT_FOUND, False),
        (400, ErrorCode.SERVER_ERROR, False),
        (405, ErrorCode.SERVER_ERROR, False),
        (408, ErrorCode.SERVER_ERROR, True),
    ],
)
def test_what_may_pass_is_tried_again(status: int, code: ErrorCode, passes: bool) -> None:
    assert may_pass(RegistryError(code, "GET x", "", status=status)) is passes
