"""What an answer means: its code, who gave it, and how long to wait. What both planes make of it: tests/engines/test_one_protocol.py."""

import dataclasses
from datetime import UTC, datetime

import pytest

from pullbench.errors import ErrorCode, RegistryError, Responder
from pullbench.model.remedy import remedy
from pullbench.model.route import Route
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


HTML = {"content-type": "text/html"}
NGINX = b"<html>\r\n<head><title>503 Service Temporarily Unavailable</title></head>\r\n<hr><center>%s</center>\r\n"
HAPROXY = (
    b"<html><body><h1>503 Service Unavailable</h1>\nNo server is available to handle this request.\n</body></html>"
)


@pytest.mark.parametrize(
    ("method", "headers", "body", "code"),
    [
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
    ("method", "headers", "body"),
    [
        ("GET", {"server": "nginx"}, NGINX % b"nginx"),
        ("GET", {"server": "nginx", "retry-after": "3600"}, NGINX % b"nginx"),
        ("GET", {}, NGINX % b"openresty/1.25.3.1"),
        ("HEAD", {"server": "nginx/1.22.1", "content-type": "text/html"}, b""),
    ],
)
@pytest.mark.parametrize(("others", "code"), [(True, ErrorCode.RATE_LIMITED), (False, ErrorCode.SERVER_ERROR)])
def test_the_503_page_of_nginx_is_a_limit_only_where_other_requests_reach_the_registry(
    method: str, headers: dict[str, str], body: bytes, others: bool, code: ErrorCode
) -> None:
    given = Answer(
        method=method,
        url="http://r.io/v2/",
        status=503,
        headers={**HTML, **headers},
        body=body,
        others_answered=others,
    )
    assert (given.fault().code, given.answered_by) == (code, Responder.IN_FRONT)


@pytest.mark.parametrize(
    ("status", "headers", "shows"),
    [
        (200, {"docker-distribution-api-version": "registry/2.0"}, True),
        (401, {"content-type": "application/json"}, True),
        (200, {"docker-content-digest": "sha256:1"}, True),
        (200, {"content-type": "text/plain"}, False),
        (503, {"content-type": "application/json"}, False),
    ],
)
def test_a_200_of_the_box_in_front_does_not_show_the_registry(
    status: int, headers: dict[str, str], shows: bool
) -> None:
    given = Answer(method="GET", url="http://r.io/v2/", status=status, headers=headers)
    assert given.shows_the_registry is shows
    assert not dataclasses.replace(given, at_home=False).shows_the_registry


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


NGINX = b"<html><head><title>503 Service Temporarily Unavailable</title></head><center>nginx/1.18.0</center></html>"
HAPROXY = (
    b"<html><body><h1>503 Service Unavailable</h1>\nNo server is available to handle this request.\n</body></html>"
)


@pytest.mark.parametrize(
    ("status", "headers", "body", "by"),
    [
        (502, {**HTML, "server": "nginx/1.18.0"}, b"<html><title>502 Bad Gateway</title>", Responder.IN_FRONT),
        (503, HTML, HAPROXY, Responder.IN_FRONT),
        (503, {**HTML, "server": "nginx"}, NGINX, Responder.IN_FRONT),
        (503, {"content-type": "text/plain", "server": "envoy"}, b"no healthy upstream", Responder.IN_FRONT),
        (504, {"content-length": "0", "server": "awselb/2.0"}, b"", Responder.IN_FRONT),
        (403, {**HTML, "server": "nginx"}, b"<html><center>nginx</center>", Responder.IN_FRONT),
        (403, HTML, b"<html><title>Web Page Blocked!</title>", Responder.BOX_BETWEEN),
        (451, {}, b"<!DOCTYPE html><html>blocked", Responder.BOX_BETWEEN),
        (511, HTML, b"<html><title>Log in to the network</title>", Responder.BOX_BETWEEN),
        (503, {"content-type": "application/json"}, b'{"errors": [{"code": "UNAVAILABLE"}]}', Responder.REGISTRY),
        (502, {"docker-distribution-api-version": "registry/2.0"}, b"", Responder.REGISTRY),
        *(
            (status, {**HTML, "server": "nginx"}, NGINX, Responder.IN_FRONT)
            for status in (401, 404, 405, 413, 429, 500)
        ),
        (429, {**HTML, "server": "nginx"}, b"", Responder.IN_FRONT),
        (401, {**HTML, "server": "nginx"}, NGINX, Responder.IN_FRONT),
        (404, {**HTML, "server": "nginx"}, b"<html><title>Nexus</title>", Responder.REGISTRY),
        (429, {"content-type": "application/json", "server": "nginx"}, b"", Responder.REGISTRY),
        (404, HTML, b"<html>", Responder.REGISTRY),
        (500, HTML, b"<html>", Responder.REGISTRY),
    ],
)
def test_a_page_in_the_registrys_place_is_another_servers(
    status: int, headers: dict[str, str], body: bytes, by: Responder
) -> None:
    assert fault_of(status, headers, body).answered_by is by


def test_a_page_is_quoted_by_its_title_and_its_server() -> None:
    detail = fault_of(502, {**HTML, "server": "nginx/1.18.0"}, b"<html><title>502 Bad Gateway</title></html>").detail
    assert detail == "502 with a page '502 Bad Gateway' (text/html) from nginx"
    assert fault_of(503, {**HTML, "server": "nginx"}).detail == "503 from nginx"


def test_a_401_that_asks_for_a_login_is_a_matter_of_the_login_though_nginx_sends_its_page() -> None:
    given = Answer(
        method="GET",
        url="http://r.io/v2/",
        status=401,
        headers={**HTML, "server": "nginx"},
        body=NGINX,
        challenges=('Basic realm="r"',),
    )
    assert given.answered_by is Responder.REGISTRY


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (403, b'{"errors": [{"code": "TOOMANYREQUESTS", "message": "slow"}]}', ErrorCode.RATE_LIMITED),
        (503, b'{"errors": [{"code": "TOOMANYREQUESTS"}]}', ErrorCode.RATE_LIMITED),
        (412, b'{"errors": [{"code": "PROJECTPOLICYVIOLATION", "message": "5 CVEs"}]}', ErrorCode.FORBIDDEN),
        (402, b"", ErrorCode.FORBIDDEN),
        (423, b"", ErrorCode.FORBIDDEN),
        (451, b"", ErrorCode.FORBIDDEN),
        (418, b"", ErrorCode.SERVER_ERROR),
        (499, b"<html>", ErrorCode.SERVER_ERROR),
    ],
)
def test_a_refusal_of_a_registry_is_never_taken_for_no_registry(status: int, body: bytes, code: ErrorCode) -> None:
    assert fault_of(status, body=body).code is code


@pytest.mark.parametrize(
    ("status", "name", "code"),
    [
        (403, "AccessDenied", ErrorCode.FORBIDDEN),
        (404, "NoSuchKey", ErrorCode.NOT_FOUND),
        (400, "AuthorizationQueryParametersError", ErrorCode.SERVER_ERROR),
        (500, "InternalError", ErrorCode.SERVER_ERROR),
    ],
)
def test_a_storage_is_quoted_with_code_and_message_but_no_signature(status: int, name: str, code: ErrorCode) -> None:
    body = f"<Error><Code>{name}</Code><Message>No. See https://s3/x?sig=planted or sig=planted</Message></Error>"
    url = "https://s3.example/x?sig=planted"
    fault = Answer(method="GET", url=url, status=status, headers={}, body=body.encode(), at_home=False).fault()
    assert (fault.code, fault.answered_by, fault.host) == (code, Responder.REDIRECT, "s3.example")
    assert f"{status} {name}: No." in fault.detail and "planted" not in str(fault)
    assert "docker login" not in fault.remedy and "s3.example" in fault.remedy


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("client with IP 203.0.113.7 is not allowed to access this", ErrorCode.FORBIDDEN),
        ("requests from your network are blocked", ErrorCode.FORBIDDEN),
        ("incorrect username or password", ErrorCode.UNAUTHORIZED),
        ("access forbidden", ErrorCode.UNAUTHORIZED),
    ],
)
def test_a_token_service_that_refuses_an_address_refuses_no_login(message: str, code: ErrorCode) -> None:
    body = b'{"errors": [{"code": "DENIED", "message": "%s"}]}' % message.encode()
    url = "https://auth.example/token"
    given = Answer(method="GET", url=url, status=403, headers={}, body=body, asked=Responder.TOKEN_SERVICE)
    fault = given.fault()
    assert (fault.code, fault.answered_by) == (code, Responder.TOKEN_SERVICE)
    assert ("docker login" in fault.remedy) is (code is ErrorCode.UNAUTHORIZED)
    assert "docker login auth.example" not in fault.remedy


def test_a_lost_blob_is_no_wrong_name() -> None:
    lost = Answer(method="GET", url="https://r.io/v2/app/blobs/sha256:1", status=404, headers={}).fault()
    absent = Answer(method="GET", url="https://r.io/v2/app/manifests/1", status=404, headers={}).fault()
    assert "has the manifest and not this blob" in lost.remedy and "tag" in absent.remedy


@pytest.mark.parametrize(
    ("code", "error", "named"),
    [
        (
            ErrorCode.FORBIDDEN,
            "GET https://s3.example:9000/b?sig=REDACTED: 403 AccessDenied",
            "s3.example:9000 refused",
        ),
        (ErrorCode.SERVER_ERROR, "GET https://auth.example/token?service=r: 503", "token service at auth.example"),
        (ErrorCode.CONNECT_REFUSED, "GET https://s3.example:9000/b: refused", "`nc -vz s3.example 9000`"),
        (ErrorCode.NOT_FOUND, "GET https://r.io/v2/app/blobs/sha256:1: 404", "manifest and not this blob"),
        (ErrorCode.NOT_FOUND, "GET https://r.io/v2/app/manifests/1: 404", "r.io/"),
        (ErrorCode.NOT_FOUND, "GET https://other.io/v2/app/manifests/1: 404", "r.io/"),
        (ErrorCode.RESET, "GET https://s3.example:9000/b: reset", "r.io:443"),
    ],
)
def test_a_stored_error_names_the_server_of_its_url(code: ErrorCode, error: str, named: str) -> None:
    assert named in remedy(code, Route(registry="eu", url="https://r.io"), error=error)


@pytest.mark.parametrize(
    ("path", "code"),
    [("team/app/manifests/1.0", ErrorCode.FORBIDDEN), ("team/app/blobs/sha256:01", ErrorCode.NOT_FOUND)],
)
def test_the_command_of_a_refusal_in_front_names_the_url_that_was_refused(path: str, code: ErrorCode) -> None:
    route = Route(registry="eu", url="https://r.example", credentials="anonymous")
    text = f"GET https://r.example/v2/{path}: 403 with a page"
    told = remedy(code, route, answered_by=Responder.IN_FRONT, error=text)
    assert f"https://r.example/v2/{path}`" in told and "/v2/`" not in told
    assert "/v2/`" in remedy(code, route, answered_by=Responder.IN_FRONT, error="GET https://r.example/v2/: 403")


@pytest.mark.parametrize(("locator", "says"), [("sha256:01", "digest"), ("1.0", "tag")])
def test_what_is_missing_is_named_as_it_was_asked_for(locator: str, says: str) -> None:
    route = Route(registry="eu", url="https://r.example", credentials="anonymous")
    told = remedy(ErrorCode.NOT_FOUND, route, error=f"GET https://r.example/v2/app/manifests/{locator}: 404")
    assert f"check the repository name and the {says}" in told
