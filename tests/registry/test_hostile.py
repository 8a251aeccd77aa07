"""What a hostile or broken registry may do to a client, and must not."""

from collections.abc import Iterator

import httpx
import pytest

from pullbench.errors import ErrorCode, RegistryError
from pullbench.model.manifest import MAX_MANIFEST_BYTES
from pullbench.model.reference import Reference
from pullbench.model.text import MAX_TEXT
from pullbench.registry import client as client_module
from pullbench.registry import pages
from pullbench.registry.answer import MAX_ERROR_BYTES, MAX_PROBLEMS, AnswerError
from pullbench.registry.auth import Credentials, basic_header
from pullbench.registry.client import RegistryClient
from pullbench.registry.redirect import MAX_REDIRECTS
from tests.registry.fake_registry import SECRET, URL, FakeRegistry, TokenService, config_blob, manifest_of, with_basic

APP = Reference.parse("team/app:1.0")
BASIC = basic_header(Credentials(username="ann", password=SECRET))


@pytest.fixture
def registry() -> FakeRegistry:
    fake = FakeRegistry()
    fake.put_manifest("team/app", "1.0", manifest_of(config_blob()))
    return fake


def fault_of(client: RegistryClient, reference: Reference = APP) -> RegistryError:
    with pytest.raises(RegistryError) as caught:
        client.manifest(reference)
    return caught.value


class CountedStream(httpx.SyncByteStream):
    """A body that never ends, and how much of it was taken."""

    def __init__(self) -> None:
        self.taken_bytes = 0
        self.closed = False

    def __iter__(self) -> Iterator[bytes]:
        while True:
            self.taken_bytes += 65536
            yield b"x" * 65536

    def close(self) -> None:
        self.closed = True


def test_a_manifest_without_end_is_cut_at_its_bound_and_the_connection_closed(registry: FakeRegistry) -> None:
    stream = CountedStream()
    headers = {"Content-Length": str(1 << 30)}
    registry.handler = lambda request: httpx.Response(200, headers=headers, stream=stream)
    assert fault_of(registry.client()).code is ErrorCode.TOO_LARGE
    assert stream.taken_bytes <= MAX_MANIFEST_BYTES + 65536
    assert stream.closed


def test_an_error_body_without_end_is_left_at_its_bound_and_the_error_is_the_status(registry: FakeRegistry) -> None:
    stream = CountedStream()
    registry.handler = lambda request: httpx.Response(503, stream=stream)
    assert fault_of(registry.client()).code is ErrorCode.SERVER_ERROR
    assert stream.taken_bytes <= MAX_ERROR_BYTES + 65536
    assert stream.closed


def test_a_body_that_drips_for_ever_is_ended_by_the_time_of_the_whole_exchange(
    registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "EXCHANGE_TIMEOUT_S", 0.0)
    registry.handler = lambda request: httpx.Response(200, stream=CountedStream())
    assert fault_of(registry.client()).code is ErrorCode.STALLED


def test_redirects_that_never_end_are_counted(registry: FakeRegistry) -> None:
    registry.handler = lambda request: httpx.Response(307, headers={"Location": f"{request.url}x"})
    assert fault_of(registry.client()).code is ErrorCode.REDIRECT_LOOP
    assert len(registry.requests) == MAX_REDIRECTS + 1


@pytest.mark.promise(
    "other hosts", "The control plane sends no Authorization and no mirror header to another host after a redirect"
)
def test_at_home_keeps_authorization_and_the_mirrors_headers_from_a_redirect_to_another_host(
    registry: FakeRegistry,
) -> None:
    content = manifest_of(config_blob())

    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.host == "s3.example.com":
            return httpx.Response(200, content=content)
        if "Authorization" not in request.headers:
            return with_basic(registry, BASIC)(request)
        return httpx.Response(307, headers={"Location": "https://s3.example.com/blob?X-Amz-Signature=abc"})

    registry.handler = handle
    client = registry.client("env:CI", route={"headers": {"X-Private": "p"}})
    assert client.manifest(APP).content == content
    assert [request.url.host for request in registry.requests][-1] == "s3.example.com"
    assert registry.authorizations == [None, BASIC, None]
    assert [request.headers.get("X-Private") for request in registry.requests] == ["p", "p", None]


@pytest.mark.parametrize(
    "elsewhere", ["https://registry.example.com:8443/x", "https://registry.example.com.evil.example/"]
)
def test_another_port_or_a_longer_name_is_another_origin(registry: FakeRegistry, elsewhere: str) -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        if str(request.url) == elsewhere:
            return httpx.Response(404)
        return httpx.Response(302, headers={"Location": elsewhere})

    registry.handler = with_basic(registry, BASIC)
    client = registry.client("env:CI")
    client.manifest(APP)
    registry.handler = handle
    registry.requests.clear()
    fault_of(client)
    assert registry.authorizations == [BASIC, None]


def test_authorization_does_not_come_back_after_a_redirect_left_the_registry(registry: FakeRegistry) -> None:
    registry.handler = with_basic(registry, BASIC)
    client = registry.client("env:CI")
    client.manifest(APP)
    hops = iter(["https://s3.example.com/x", f"{URL}/v2/evil"])
    registry.handler = lambda request: (
        httpx.Response(307, headers={"Location": target}) if (target := next(hops, "")) else httpx.Response(404)
    )
    registry.requests.clear()
    fault_of(client)
    assert registry.authorizations == [BASIC, None, None]


def test_a_redirect_within_the_registry_keeps_authorization(registry: FakeRegistry) -> None:
    moved = f"{URL}/v2/moved/app/manifests/1.0"
    registry.put_manifest("moved/app", "1.0", manifest_of(config_blob()))

    def handle(request: httpx.Request) -> httpx.Response:
        answer = with_basic(registry, BASIC)(request)
        if answer.status_code == 200 and str(request.url) != moved:
            return httpx.Response(308, headers={"Location": "/v2/moved/app/manifests/1.0"})
        return answer

    registry.handler = handle
    registry.client("env:CI").manifest(APP)
    assert registry.authorizations == [None, BASIC, BASIC]


@pytest.mark.promise("other hosts", "The control plane answers no challenge of another host")
def test_same_origin_answers_no_challenge_of_another_host(registry: FakeRegistry) -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.host == "evil.example":
            return httpx.Response(401, headers={"WWW-Authenticate": 'Basic realm="give me your password"'})
        return httpx.Response(307, headers={"Location": "https://evil.example/"})

    registry.handler = handle
    assert fault_of(registry.client("env:CI")).code is ErrorCode.UNAUTHORIZED
    assert registry.authorizations == [None, None]


@pytest.mark.parametrize(
    ("location", "code"),
    [
        ("http://registry.example.com/v2/", ErrorCode.PLAIN_HTTP),
        ("http://s3.example.com/", ErrorCode.PLAIN_HTTP),
        ("file:///etc/passwd", ErrorCode.NOT_A_REGISTRY),
        ("https://ann:pw@s3.example.com/", ErrorCode.NOT_A_REGISTRY),
        ("ftp://s3.example.com/", ErrorCode.NOT_A_REGISTRY),
        ("https://[::1/", ErrorCode.NOT_A_REGISTRY),
        ("https://s3.example.com:99999/", ErrorCode.NOT_A_REGISTRY),
    ],
)
@pytest.mark.promise("plain http", "A redirect from HTTPS to plain HTTP is not followed")
def test_the_destination_of_a_redirect_is_nowhere_that_nobody_should_go(
    registry: FakeRegistry, location: str, code: ErrorCode
) -> None:
    registry.handler = lambda request: httpx.Response(302, headers={"Location": location})
    fault = fault_of(registry.client())
    assert fault.code is code
    assert len(registry.requests) == 1
    assert "pw" not in str(fault)


def test_a_signed_redirect_is_not_shown_in_the_error(registry: FakeRegistry) -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.host == "s3.example.com":
            return httpx.Response(403, content=b"<Error/>", headers={"Content-Type": "application/xml"})
        return httpx.Response(307, headers={"Location": "https://s3.example.com/b?X-Amz-Signature=s1gnature"})

    registry.handler = handle
    text = str(fault_of(registry.client()))
    assert "s3.example.com/b" in text
    assert "s1gnature" not in text


def test_credentials_are_not_sent_to_a_token_realm_that_downgrades(registry: FakeRegistry) -> None:
    service = TokenService(registry)
    service.realm = "http://auth.example.com/token"
    registry.handler = service
    assert fault_of(registry.client("env:CI")).code is ErrorCode.PLAIN_HTTP
    assert len(registry.requests) == 1


def test_credentials_do_not_follow_a_redirect_of_the_token_service(registry: FakeRegistry) -> None:
    service = TokenService(registry)

    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.host == "auth.example.com":
            return httpx.Response(302, headers={"Location": "https://evil.example/token"})
        return httpx.Response(200, json={"token": "t"}) if request.url.host == "evil.example" else service(request)

    registry.handler = handle
    fault_of(registry.client("env:CI"))
    sent = {request.url.host: request.headers.get("Authorization") for request in registry.requests[:3]}
    assert sent["auth.example.com"] == BASIC
    assert sent["evil.example"] is None


def test_a_refresh_token_does_not_follow_a_redirect(registry: FakeRegistry) -> None:
    from pullbench.registry.keychain import Keychain

    service = TokenService(registry)
    registry.handler = lambda request: (
        httpx.Response(307, headers={"Location": "https://evil.example/"})
        if request.url.host == "auth.example.com"
        else service(request)
    )
    client = registry.client("env:ID", keychain=Keychain(environ={"ID_TOKEN": "refr3sh"}))
    assert fault_of(client).code is ErrorCode.NOT_A_REGISTRY
    assert "evil.example" not in [request.url.host for request in registry.requests]


def test_a_token_that_would_open_a_second_header_line_is_refused(registry: FakeRegistry) -> None:
    service = TokenService(registry)
    registry.handler = lambda request: (
        httpx.Response(200, json={"token": "a\r\nX-Evil: 1"})
        if request.url.host == "auth.example.com"
        else service(request)
    )
    assert fault_of(registry.client("env:CI")).code is ErrorCode.NOT_A_REGISTRY


def test_a_page_of_html_is_no_manifest(registry: FakeRegistry) -> None:
    registry.handler = lambda request: httpx.Response(200, html="<html><title>Log in</title></html>")
    assert fault_of(registry.client()).code is ErrorCode.NOT_A_REGISTRY


def test_a_compressed_body_is_not_unpacked(registry: FakeRegistry) -> None:
    import gzip

    bomb = gzip.compress(b"0" * 5_000_000)
    registry.handler = lambda request: httpx.Response(
        200, headers={"Content-Encoding": "gzip", "Content-Length": str(len(bomb))}, stream=httpx.ByteStream(bomb)
    )
    assert fault_of(registry.client()).code is ErrorCode.NOT_A_REGISTRY


def test_an_error_body_is_bounded_and_loses_its_control_characters(registry: FakeRegistry) -> None:
    evil = "\x1b[2J\x07a\r\nb\u202e\x00" + "y" * 100_000
    body = {"errors": [{"code": "DENIED\x1b", "message": evil, "detail": [evil]}] * 2}
    content = httpx.Response(403, json=body).content
    registry.handler = lambda request: httpx.Response(403, content=content[:MAX_ERROR_BYTES])
    assert "\x1b" not in str(fault_of(registry.client()))
    small = {"errors": [{"code": "DENIED\x1b", "message": evil[:500], "detail": [evil[:500]]}] * 50}
    registry.handler = lambda request: httpx.Response(403, json=small)
    fault = fault_of(registry.client())
    assert isinstance(fault, AnswerError)
    assert len(fault.problems) == MAX_PROBLEMS
    assert all(len(one.message) <= MAX_TEXT and len(one.detail) <= MAX_TEXT for one in fault.problems)
    shown = str(fault) + repr(fault.problems)
    assert not any(character in shown for character in ("\x1b", "\x07", "\r", "\n", "\x00", "\u202e"))


@pytest.mark.parametrize("body", [b"[" * 60_000, b'{"errors": 5}', b'{"errors": [1, null]}', b"\xff\xfe", b""])
def test_an_error_body_of_any_form_is_still_the_status_error(registry: FakeRegistry, body: bytes) -> None:
    registry.handler = lambda request: httpx.Response(500, content=body)
    assert fault_of(registry.client()).code is ErrorCode.SERVER_ERROR


def test_pages_that_lead_back_are_seen(registry: FakeRegistry) -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        last = "a" if request.url.params.get("last") == "b" else "b"
        link = f'<{request.url.path}?n=1&last={last}>; rel="next"'
        return httpx.Response(200, json={"tags": [last]}, headers={"Link": link})

    registry.handler = handle
    with pytest.raises(RegistryError, match="leads back") as caught:
        list(registry.client().tags("a"))
    assert caught.value.code is ErrorCode.NOT_A_REGISTRY
    assert len(registry.requests) == 3


def test_pages_without_end_are_bounded(registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "MAX_PAGES", 20)

    def handle(request: httpx.Request) -> httpx.Response:
        link = f'<{request.url.path}?last={len(registry.requests)}>; rel="next"'
        return httpx.Response(200, json={"repositories": ["a"]}, headers={"Link": link})

    registry.handler = handle
    with pytest.raises(RegistryError) as caught:
        list(registry.client().catalog())
    assert caught.value.code is ErrorCode.TOO_LARGE
    assert len(registry.requests) == 20


def test_a_next_page_on_another_host_is_asked_at_the_registry_itself(registry: FakeRegistry) -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.params.get("last") == "a":
            return httpx.Response(200, json={"tags": ["b"]})
        link = '<http://evil.example/v2/a/tags/list?last=a>; rel="next"'
        return httpx.Response(200, json={"tags": ["a"]}, headers={"Link": link})

    registry.handler = handle
    assert list(registry.client().tags("a")) == ["a", "b"]
    assert {request.url.host for request in registry.requests} == {"registry.example.com"}


@pytest.mark.parametrize(
    "page", [[], "x", {"tags": "a"}, {"tags": [1]}, {"tags": [""]}, {"tags": ["a\x1b[2J"]}, {"tags": ["a\nb"]}]
)
def test_a_page_that_is_no_list_of_names_is_not_a_registrys(registry: FakeRegistry, page: object) -> None:
    registry.handler = lambda request: httpx.Response(200, json=page)
    with pytest.raises(RegistryError) as caught:
        list(registry.client().tags("a"))
    assert caught.value.code is ErrorCode.NOT_A_REGISTRY


@pytest.mark.parametrize(
    "challenge",
    [
        "Bearer a=" + "b" * 4000 + '"',
        'Bearer a="' + '\\"' * 50_000,
        'Bearer a="' + "\\" * 99_999,
        "Bearer " + 'a="' * 30_000,
        "Bearer " + "a=" * 50_000,
        "Bearer a=" + "b/:" * 30_000 + '"',
        "," * 100_000,
        " " * 100_000,
    ],
    ids=lambda text: text[:12],
)
def test_a_challenge_made_to_be_slow_to_read_is_read(registry: FakeRegistry, challenge: str) -> None:
    """Each took seconds to for ever when a text could be matched in more than one way."""
    registry.handler = lambda request: httpx.Response(401, headers={"WWW-Authenticate": challenge})
    assert fault_of(registry.client("env:CI")).code in (ErrorCode.UNAUTHORIZED, ErrorCode.NOT_A_REGISTRY)


@pytest.mark.parametrize("where", ["redirect", "realm"])
def test_an_address_without_end_is_not_asked(registry: FakeRegistry, where: str) -> None:
    endless = f"https://evil.example/{'x' * 70_000}"
    headers = {"Location": endless} if where == "redirect" else {"WWW-Authenticate": f'Bearer realm="{endless}"'}
    registry.handler = lambda request: httpx.Response(307 if where == "redirect" else 401, headers=headers)
    fault = fault_of(registry.client("env:CI"))
    assert fault.code is ErrorCode.NOT_A_REGISTRY
    assert len(str(fault)) < 1000
    assert len(registry.requests) == 1


def test_a_realm_is_shown_without_characters_that_turn_text_round(registry: FakeRegistry) -> None:
    challenge = 'Bearer realm="https://evil.example/\u202egpj.\u200b\x1b[2J"'.encode()
    registry.handler = lambda request: httpx.Response(401, headers=[(b"WWW-Authenticate", challenge)])
    assert str(fault_of(registry.client("env:CI"))).isprintable()
