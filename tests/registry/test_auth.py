import base64
import json
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pullbench.errors import ErrorCode, RegistryError
from pullbench.registry.auth import (
    DEFAULT_EXPIRY_S,
    MAX_EXPIRY_S,
    MAX_TOKEN_BYTES,
    Challenge,
    Credentials,
    Token,
    TokenRequest,
    basic_header,
    parse_challenges,
    read_token,
    redact_url,
    same_origin,
    token_request,
)

BEARER = Challenge(scheme="bearer", realm="https://auth.example.com/token", service="r.example.com")
ANN = Credentials(username="ann", password="s3cr3t")
ROBOT = Credentials(username="<token>", password="", identity_token="refr3sh")
ENDPOINT = "https://r.example.com"


def test_a_bearer_challenge_is_read_with_commas_in_its_quoted_strings() -> None:
    value = 'Bearer realm="https://a.example/token",service="one, two",scope="repository:a/b:pull,push"'
    expected = Challenge(
        scheme="bearer", realm="https://a.example/token", service="one, two", scope="repository:a/b:pull,push"
    )
    assert parse_challenges([value]) == (expected,)


def test_several_challenges_in_one_line_and_in_several_lines_are_all_read_in_order() -> None:
    found = parse_challenges(['Negotiate abc==, basic realm="a \\"b\\"", BEARER realm=https://x/y', "Basic realm=z"])
    assert [(challenge.scheme, challenge.realm) for challenge in found] == [
        ("basic", 'a "b"'),
        ("bearer", "https://x/y"),
        ("basic", "z"),
    ]


@pytest.mark.parametrize("junk", ["", ",,,", "=====", '"quoted" alone', 'Digest realm="x"', "junk=1, more=2", "\x00"])
def test_what_is_no_known_challenge_is_passed_over(junk: str) -> None:
    assert parse_challenges([junk]) == ()


def test_a_challenge_after_junk_is_still_found() -> None:
    assert parse_challenges(['Digest a=b junk "x, y", Basic realm="z"'])[-1].realm == "z"


def test_a_scheme_named_inside_a_quoted_string_is_no_challenge() -> None:
    found = parse_challenges(['Digest realm="x, Bearer realm=https://evil.example/"'])
    assert found == ()


def test_control_characters_do_not_survive_in_a_challenge() -> None:
    assert parse_challenges(['Basic realm="a\x1b[31m\r\nb"'])[0].realm == "a[31mb"


def test_the_error_of_a_bearer_challenge_is_kept() -> None:
    assert parse_challenges(['Bearer realm="https://x",error="insufficient_scope"'])[0].error == "insufficient_scope"


@given(st.lists(st.text(), max_size=3))
def test_no_header_makes_reading_challenges_fail(values: list[str]) -> None:
    for challenge in parse_challenges(values):
        assert challenge.scheme in ("basic", "bearer")


def test_a_token_is_asked_with_basic_service_and_scope() -> None:
    request = token_request(BEARER, endpoint_url=ENDPOINT, repository="team/app", credentials=ANN)
    assert request.method == "GET"
    assert request.body is None
    assert request.url == "https://auth.example.com/token?service=r.example.com&scope=repository:team/app:pull"
    assert request.headers == {"Authorization": basic_header(ANN)}


def test_a_token_is_asked_anonymously_where_there_are_no_credentials() -> None:
    request = token_request(BEARER, endpoint_url=ENDPOINT, repository="a", credentials=None)
    assert dict(request.headers) == {}


def test_the_scopes_of_the_challenge_go_before_our_own_each_as_a_parameter() -> None:
    challenge = Challenge(
        scheme="bearer", realm="https://a.example/t?account=x", scope="repository:m/a:pull registry:c:*"
    )
    request = token_request(challenge, endpoint_url=ENDPOINT, repository="a", credentials=None)
    assert parse_qs(urlsplit(request.url).query) == {
        "account": ["x"],
        "scope": ["repository:m/a:pull", "registry:c:*"],
    }


@pytest.mark.parametrize("actions", ["pull", "pull,push"])
@pytest.mark.parametrize("scope", ["read", "aws", "registry:catalog:* write"])
def test_a_scope_without_a_repository_goes_with_the_scope_that_the_request_needs(scope: str, actions: str) -> None:
    challenge = Challenge(scheme="bearer", realm="https://a.example/t", scope=scope)
    request = token_request(challenge, endpoint_url=ENDPOINT, repository="a/b", credentials=None, actions=actions)
    assert parse_qs(urlsplit(request.url).query) == {"scope": [*scope.split(), f"repository:a/b:{actions}"]}
    itself = token_request(challenge, endpoint_url=ENDPOINT, repository=None, credentials=None, actions=actions)
    assert parse_qs(urlsplit(itself.url).query) == {"scope": scope.split()}


def test_no_scope_is_asked_for_the_endpoint_itself() -> None:
    request = token_request(BEARER, endpoint_url=ENDPOINT, repository=None, credentials=ANN)
    assert "scope" not in request.url


def test_an_identity_token_is_exchanged_by_a_post_and_stands_in_no_url() -> None:
    request = token_request(BEARER, endpoint_url=ENDPOINT, repository="a", credentials=ROBOT)
    assert (request.method, request.url) == ("POST", BEARER.realm)
    assert request.headers == {"Content-Type": "application/x-www-form-urlencoded"}
    assert parse_qs((request.body or b"").decode()) == {
        "grant_type": ["refresh_token"],
        "service": ["r.example.com"],
        "client_id": ["pullbench"],
        "scope": ["repository:a:pull"],
        "refresh_token": ["refr3sh"],
    }


@pytest.mark.parametrize("credentials", [ANN, None])
@pytest.mark.promise("plain http", "A token realm over plain HTTP is refused for an HTTPS registry")
def test_safe_realm_refuses_http_behind_an_https_registry(credentials: Credentials | None) -> None:
    with pytest.raises(RegistryError, match=r"http://auth.*nothing was sent") as caught:
        token_request(
            Challenge(scheme="bearer", realm="http://auth.example.com/token"),
            endpoint_url=ENDPOINT,
            repository="a",
            credentials=credentials,
            may_send=lambda _: (
                True
            ),  # what the spec allows in clear is the way to a plain registry, not from an https one
        )
    assert caught.value.code is ErrorCode.PLAIN_HTTP


def test_an_http_realm_behind_an_http_registry_is_asked() -> None:
    challenge = Challenge(scheme="bearer", realm="http://127.0.0.1:5001/token")
    request = token_request(challenge, endpoint_url="http://127.0.0.1:5000", repository=None, credentials=ANN)
    assert request.url == "http://127.0.0.1:5001/token"


@pytest.mark.parametrize(
    "realm",
    [
        "",
        "/token",
        "auth.example.com/token",
        "ftp://auth.example.com/",
        "file:///etc/passwd",
        "https://",
        "https://u:p@auth.example.com/",
        "https://auth.example.com:0x50/",
        "https://auth.example.com:99999/",
        "https://[::1/",
        "https://a b/",
    ],
)
def test_a_realm_that_is_no_whole_http_url_is_refused(realm: str) -> None:
    with pytest.raises(RegistryError) as caught:
        token_request(Challenge(scheme="bearer", realm=realm), endpoint_url=ENDPOINT, repository="a", credentials=ANN)
    assert caught.value.code is ErrorCode.NOT_A_REGISTRY
    assert "u:p" not in str(caught.value)


@pytest.mark.parametrize("key", ["token", "access_token"])
def test_a_token_is_read_under_both_its_names(key: str) -> None:
    token = read_token(json.dumps({key: "abc.def", "expires_in": 1800}).encode())
    assert (token.value, token.expires_in_s) == ("abc.def", 1800.0)


@pytest.mark.parametrize("expiry", [None, 0, -5, "300", True, float("nan"), [1]])
def test_a_token_without_a_usable_expiry_holds_for_a_minute(expiry: object) -> None:
    assert read_token(json.dumps({"token": "a", "expires_in": expiry}).encode()).expires_in_s == DEFAULT_EXPIRY_S


@pytest.mark.parametrize("expiry", ["1e400", "1" + "0" * 400])
def test_a_token_that_would_hold_for_ever_is_renewed_every_day(expiry: str) -> None:
    assert read_token(b'{"token": "a", "expires_in": %s}' % expiry.encode()).expires_in_s == MAX_EXPIRY_S


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"null",
        b"{}",
        b'{"token": 5}',
        b'{"token": ""}',
        b'{"token": "a\\r\\nX-Evil: 1"}',
        b'{"token": "a b"}',
        b'{"token": "\\u00e9"}',
        b"[" * 100_000,
    ],
)
def test_a_body_without_a_usable_token_is_no_registrys(body: bytes) -> None:
    with pytest.raises(RegistryError) as caught:
        read_token(body, where="GET https://auth.example.com/token")
    assert caught.value.code is ErrorCode.NOT_A_REGISTRY
    assert caught.value.where == "GET https://auth.example.com/token"


def test_a_tokens_answer_beyond_its_bound_is_too_large() -> None:
    with pytest.raises(RegistryError) as caught:
        read_token(b'{"token": "' + b"a" * MAX_TOKEN_BYTES + b'"}')
    assert caught.value.code is ErrorCode.TOO_LARGE


@pytest.mark.promise("secrets", "What Python prints of an object contains no secret")
def test_reprs_hold_no_secret() -> None:
    request = token_request(BEARER, endpoint_url=ENDPOINT, repository="a", credentials=ANN)
    posted = token_request(BEARER, endpoint_url=ENDPOINT, repository="a", credentials=ROBOT)
    shown = repr((ANN, ROBOT, Token(value="t0ken"), request, posted, TokenRequest(method="GET", url="https://x")))
    encoded = base64.b64encode(b"ann:s3cr3t").decode()
    assert not any(secret in shown for secret in ("s3cr3t", "refr3sh", "t0ken", encoded))


def test_basic_takes_utf8_and_an_identity_token_where_there_is_no_password() -> None:
    header = basic_header(Credentials(username="jö", password="pä:ss"))
    assert base64.b64decode(header.removeprefix("Basic ")).decode() == "jö:pä:ss"
    assert base64.b64decode(basic_header(ROBOT).removeprefix("Basic ")) == b"<token>:refr3sh"


@pytest.mark.promise("secrets", "A URL is shown without user, fragment and unknown parameters, such as signatures")
def test_redact_url_shows_no_user_no_fragment_and_no_unknown_parameter() -> None:
    url = "https://u:p@s3.example.com:8443/blob?X-Amz-Signature=sig&scope=repository:a:pull&n=5&n=&token#frag"
    assert redact_url(url) == (
        "https://s3.example.com:8443/blob?X-Amz-Signature=REDACTED&scope=repository:a:pull&n=5&n=&token=REDACTED"
    )


def test_a_url_that_cannot_be_read_is_not_shown() -> None:
    assert redact_url("https://[secret/") == "(unreadable URL)"
    assert "\n" not in redact_url("https://a/b\r\n\x1b[2J")


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("https://r.io/a", "https://R.io:443/b", True),
        ("http://r.io", "http://r.io:80/x?y", True),
        ("https://r.io", "http://r.io", False),
        ("https://r.io", "https://r.io:5000", False),
        ("https://r.io", "https://r.io.evil.example", False),
        ("https://r.io", "https://sub.r.io", False),
        ("https://r.io", "https://[bad", False),
        ("ftp://r.io", "ftp://r.io", False),
        ("", "", False),
    ],
)
def test_an_origin_is_scheme_host_and_port(a: str, b: str, same: bool) -> None:
    assert same_origin(a, b) is same
