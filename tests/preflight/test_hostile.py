"""What a hostile or broken registry may do to a whole preflight, and must not: take time, memory, credentials, the screen."""

import json
import socket
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace

import httpx
import pytest

from pullbench.errors import ErrorCode
from pullbench.model.facts import Facts, ImageFacts
from pullbench.model.finding import Finding, Status, findings_document
from pullbench.model.manifest import MAX_MANIFEST_BYTES
from pullbench.preflight.check import Room
from pullbench.preflight.checks import CHECKS, api, image, latency
from pullbench.preflight.context import CheckContext
from pullbench.preflight.runner import MOST_CHARACTERS, run_checks
from pullbench.registry.auth import MAX_TOKEN_BYTES, Credentials, basic_header
from pullbench.registry.keychain import Keychain
from pullbench.registry.redirect import MAX_REDIRECTS
from tests.preflight.contexts import context_over, spec_of
from tests.registry.fake_registry import SECRET, URL, FakeRegistry, Handler, TokenService, config_blob, manifest_of
from tests.registry.sockets import answering, listening

BASIC = basic_header(Credentials(username="ann", password=SECRET))
# What asks the registry itself; dns, tcp, tls and http2 ask sockets, which a fake registry has none of.
ASKING = tuple(
    check
    for check in CHECKS
    if check.room in (Room.NETWORK, Room.ACCESS, Room.CONTENT) and check.id not in ("dns", "tcp", "tls", "http2")
)
CONTROL = "\x1b[2Jred\x07\x00\u202eevil"


class Hostile(FakeRegistry):
    """A good registry for what a test leaves as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.put_manifest("app", "1.0", manifest_of(config_blob()))
        self.put_blob("app", config_blob())
        self.documents["_catalog"] = b'{"repositories": ["app"]}'


@pytest.fixture
def registry() -> Hostile:
    return Hostile()


@pytest.fixture(autouse=True)
def _few_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The two hundred of `latency` meet nothing that the first ones do not."""
    monkeypatch.setattr(latency, "PROBES", 5)


def preflight_of(registry: Hostile, url: str = URL) -> dict[str, Finding]:
    """The findings by check. No secret, no control character and no boundless text is in any of them."""
    with context_over(registry, spec_of(url, credentials="env:CI")) as context:
        found = run_checks(ASKING, context)
    told = json.dumps(findings_document(found), ensure_ascii=False)
    assert SECRET not in told
    assert BASIC.split()[1] not in told
    assert all(character.isprintable() for character in told)
    assert all(len(finding.observed) < 2000 and len(finding.evidence or "") <= 2 * MOST_CHARACTERS for finding in found)
    return {finding.check: finding for finding in found}


def only_for(part: str, registry: Hostile, answer: Handler) -> None:
    """Answer so where the path has this part; else as a good registry that asks for a password."""

    def handle(request: httpx.Request) -> httpx.Response:
        if part in request.url.path:
            return answer(request)
        if request.headers.get("Authorization") != BASIC:
            return httpx.Response(401, headers={"WWW-Authenticate": 'Basic realm="r"'})
        return registry.serve(request)

    registry.handler = handle


def sent_to(registry: Hostile) -> dict[str, set[str | None]]:
    """What each host was given as Authorization."""
    hosts: dict[str, set[str | None]] = {}
    for request in registry.requests:
        hosts.setdefault(request.url.host, set()).add(request.headers.get("Authorization"))
    return hosts


class Endless(httpx.SyncByteStream):
    """A body that never ends, and how much of all such bodies was taken."""

    taken_bytes = 0

    def __iter__(self) -> Iterator[bytes]:
        while True:
            Endless.taken_bytes += 65536
            yield b" " * 65536


def test_redirects_without_end_are_told_once_and_the_rest_is_not_asked(registry: Hostile) -> None:
    registry.handler = lambda request: httpx.Response(307, headers={"Location": f"{request.url}x"})
    found = preflight_of(registry)
    assert found["api"].observed.startswith("[redirect_loop]")
    assert found["image"].status is Status.SKIP
    asked = {request.url.path.rstrip("x") for request in registry.requests}
    assert len(registry.requests) <= len(asked) * (MAX_REDIRECTS + 1)
    assert asked <= {"/v2/", "/v2/app/manifests/1.0"}  # tag-consistency asks each registry, whatever its state
    assert set(registry.authorizations) == {None}


def test_redirects_to_ever_new_hosts_end_and_take_no_password_along(registry: Hostile) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(
            302, headers={"Location": f"https://h{len(registry.requests)}.evil.example/manifests/1.0"}
        )

    only_for("/manifests/", registry, answer)
    found = preflight_of(registry)
    assert found["image"].observed.startswith("[redirect_loop]")
    assert {host for host, sent in sent_to(registry).items() if sent != {None}} == {"registry.example.com"}


def test_a_realm_on_another_host_is_a_warning_that_names_who_gets_the_password(registry: Hostile) -> None:
    service = TokenService(registry)
    service.realm = "https://collect.evil.example/token"

    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.host == "collect.evil.example":
            return httpx.Response(200, json={"token": "t"})
        if request.headers.get("Authorization") != "Bearer t":
            challenge = f'Bearer realm="{service.realm}",service="r"'
            return httpx.Response(401, headers={"WWW-Authenticate": challenge})
        return registry.serve(request)

    registry.handler = handle
    found = preflight_of(registry)
    assert found["auth"].status is Status.WARN
    assert "collect.evil.example" in found["auth"].observed
    assert sent_to(registry)["registry.example.com"] == {None, "Bearer t"}


@pytest.mark.parametrize(
    ("realm", "code"),
    [
        ("http://registry.example.com/token", "plain_http"),
        ("http://evil.example/token", "plain_http"),
        ("https://ann:pw@evil.example/token", "not_a_registry"),
        ("file:///etc/passwd", "not_a_registry"),
        (f"https://evil.example/{CONTROL}", "not_a_registry"),
    ],
)
def test_a_realm_that_nobody_should_ask_gets_nothing(registry: Hostile, realm: str, code: str) -> None:
    challenge = f'Bearer realm="{realm}",service="r"'.encode()
    registry.handler = lambda request: httpx.Response(401, headers=[(b"WWW-Authenticate", challenge)])
    found = preflight_of(registry)
    assert found["auth"].observed.startswith(f"[{code}]")
    assert sent_to(registry) == {"registry.example.com": {None}}


def test_a_realm_that_redirects_loses_the_password_on_the_way(registry: Hostile) -> None:
    service = TokenService(registry)

    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.host == "auth.example.com":
            return httpx.Response(302, headers={"Location": "https://evil.example/token"})
        return httpx.Response(200, json={"token": "t"}) if request.url.host == "evil.example" else service(request)

    registry.handler = handle
    assert preflight_of(registry)["auth"].status is Status.FAIL
    assert sent_to(registry)["auth.example.com"] == {BASIC}
    assert sent_to(registry)["evil.example"] == {None}


def test_a_token_without_end_is_too_large(registry: Hostile) -> None:
    service = TokenService(registry)
    registry.handler = lambda request: (
        httpx.Response(200, stream=Endless()) if request.url.host == "auth.example.com" else service(request)
    )
    Endless.taken_bytes = 0
    assert preflight_of(registry)["auth"].observed.startswith("[too_large]")
    asked = sum(request.url.host == "auth.example.com" for request in registry.requests)
    assert Endless.taken_bytes <= asked * (MAX_TOKEN_BYTES + 2 * 65536)


def test_a_manifest_of_a_gigabyte_is_too_large_and_takes_little_memory(registry: Hostile) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        headers = {"Content-Length": str(1 << 30)}
        stream = httpx.ByteStream(b"") if request.method == "HEAD" else Endless()
        return httpx.Response(200, headers=headers, stream=stream)

    only_for("/manifests/", registry, answer)
    Endless.taken_bytes = 0
    tracemalloc.start()
    try:
        found = preflight_of(registry)
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found["platform"].observed.startswith("[too_large]")
    gets = sum(request.method == "GET" and "/manifests/" in request.url.path for request in registry.requests)
    assert gets <= 2
    assert Endless.taken_bytes <= gets * (MAX_MANIFEST_BYTES + 65536)
    assert most_bytes < 10 * MAX_MANIFEST_BYTES


@pytest.mark.parametrize(
    "page", ["<html><title>Log in</title></html>", f"<!doctype html><p>{CONTROL}</p>", "[" * 50_000, '{"a": ' * 9999]
)
def test_a_page_with_200_is_no_registry(registry: Hostile, page: str) -> None:
    headers = {"Content-Type": "text/html; charset=utf-8"}
    registry.handler = lambda request: httpx.Response(200, headers=headers, content=page.encode())
    found = preflight_of(registry)
    assert found["api"].observed.startswith("[not_a_registry]")
    assert sent_to(registry) == {"registry.example.com": {None}}


def test_headers_with_control_characters_reach_no_screen(registry: Hostile) -> None:
    names = (
        "Server",
        "Docker-Distribution-API-Version",
        "Date",
        "Age",
        "RateLimit-Limit",
        "RateLimit-Remaining",
        "Via",
    )
    headers = [(name.encode(), CONTROL.encode()) for name in names]

    def handle(request: httpx.Request) -> httpx.Response:
        answer = registry.serve(request)
        return httpx.Response(answer.status_code, headers=[*answer.headers.raw, *headers], content=answer.content)

    registry.handler = handle
    assert "red" in preflight_of(registry)["api"].observed


def test_a_challenge_as_long_as_http_lets_it_be_is_bounded(registry: Hostile) -> None:
    challenge = f'Bearer realm="https://auth.example.com/{"t" * 9000}",service="{"s" * 9000}",scope="{"x " * 9000}"'
    registry.handler = lambda request: httpx.Response(401, headers=[("WWW-Authenticate", challenge)] * 2)
    assert preflight_of(registry)["auth"].status is Status.FAIL


def test_a_digest_that_is_no_digest_is_not_believed(registry: Hostile) -> None:
    only_for(
        "/manifests/",
        registry,
        lambda request: httpx.Response(200, headers=[(b"Docker-Content-Digest", f"sha256:{CONTROL}".encode())]),
    )
    assert preflight_of(registry)["image"].observed.startswith("[not_a_registry]")


def socket_preflight(serve: Callable[[socket.socket], None], **changes: float) -> Finding:
    """`api` against what a socket really sends."""

    check = replace(api.CHECK, **changes)
    with listening(serve) as port:
        spec = spec_of(f"http://127.0.0.1:{port}")
        with CheckContext(spec, Facts(host_platform="linux/amd64", offline=True), Keychain(environ={})) as context:
            return run_checks([check], context)[0]


@pytest.mark.parametrize(
    "head",
    [
        "HTTP/1.1 200 OK\nX-Evil: \x00\x1b[2J",
        "HTTP/1.1 200 \x1b[2J\x00",
        "SSH-2.0-OpenSSH_9.6",
        "HTTP/1.1 200 OK\nX-Long: " + "x" * 300_000,
        "HTTP/1.1 200 OK\nContent-Length: -1",
        "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\nzzzz",
    ],
)
def test_an_answer_that_is_no_http_is_no_registrys(head: str) -> None:
    found = socket_preflight(answering(head))
    assert (found.status, found.observed[:16]) == (Status.FAIL, "[not_a_registry]")
    assert found.observed.isprintable()


def test_a_head_that_drips_for_ever_ends_with_the_checks_time() -> None:
    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        until = time.monotonic() + 5
        while time.monotonic() < until:
            connection.sendall(b"x")
            time.sleep(0.02)

    found = socket_preflight(drip, timeout_s=0.2)
    assert (found.status, found.observed.endswith("0.2 s")) == (Status.ERROR, True)


@pytest.mark.parametrize(("known", "waits"), [(0, 2), (2, 1)])
def test_a_registry_that_falls_silent_is_waited_for_twice_and_not_for_each_image(
    registry: Hostile, known: int, waits: int
) -> None:
    waited: list[str] = []

    def silent(request: httpx.Request) -> httpx.Response:
        if "/manifests/" not in request.url.path:
            return registry.serve(request)
        waited.append(request.url.path)
        raise httpx.ReadTimeout("no byte", request=request)

    registry.handler = silent
    images = [f"app{number}:1" for number in range(20)]
    code = ErrorCode.STALLED
    stalled = {("eu", name): ImageFacts(registry="eu", image=name, error_code=code) for name in images[:known]}
    facts = Facts(host_platform="linux/amd64", images=stalled)
    with context_over(registry, spec_of(images=images), facts) as context:
        targets = image.CHECK.targets(context)
        found = [finding for each in targets for finding in image.CHECK.judge(image.CHECK.probe(context, each), each)]
    assert [each.observed.partition("]")[0] for each in found] == ["[stalled"] * 20
    assert len(waited) == waits
