"""Headers: a mirror's own reach every request to it and no other host, and what caches say of themselves is kept."""

import base64
import json
from pathlib import Path

import pytest

from pullbench.engines.wire.client import proxy_url
from pullbench.errors import ErrorCode
from tests.engines.scripted_server import Image, Incoming, ScriptedServer, answer
from tests.engines.test_wire_routes import another_server, certificate, server_context
from tests.engines.wire_bench import Bench, bench, row_of

OWN = {"X-Dragonfly-Registry": "https://eu.example"}
ENVIRON = {"EU_USERNAME": "alice", "EU_PASSWORD": "secret-word"}


def guard(b: Bench, realm: str, token_server: ScriptedServer) -> None:
    """The whole registry wants a token of the realm."""
    token = json.dumps({"token": "opensesame"}).encode()
    token_server.on("/token", answer(200, token))
    serve = b.server._answer

    def guarded(incoming: Incoming) -> None:
        if incoming.path.startswith("/v2/") and not incoming.headers.get("authorization", "").startswith("Bearer"):
            b.server.seen.append(incoming)
            incoming.send(401, headers=[("WWW-Authenticate", f'Bearer realm="{realm}/token"')])
        else:
            serve(incoming)

    b.server._answer = guarded  # type: ignore[method-assign]


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_a_mirrors_headers_reach_every_request_to_it_its_token_service_included(version: str) -> None:
    with bench(route={"proxy": "cache", "headers": OWN}, engine={"http_version": version}) as b:
        guard(b, b.server.url, b.server)
        outcome = b.pull()
        assert outcome.ok, outcome.error
        assert {path.partition("?")[0] for path in b.server.paths()} >= {"/token"}
        assert {incoming.headers.get("x-dragonfly-registry") for incoming in b.server.seen} == {"https://eu.example"}


def test_a_mirrors_headers_reach_neither_a_token_service_elsewhere_nor_a_storage() -> None:
    with another_server() as other, bench(route={"proxy": "cache", "headers": OWN}) as b:
        guard(b, other.url, other)
        content = b.image.layers[1]
        other.on("/layer", answer(200, content))
        b.server.on(b.image.blob_path(content), answer(307, headers=[("Location", f"{other.url}/layer")]))
        outcome = b.pull()
        assert outcome.ok, outcome.error
        assert {incoming.path.partition("?")[0] for incoming in other.seen} == {"/token", "/layer"}
        assert not [incoming for incoming in other.seen if "x-dragonfly-registry" in incoming.headers]


@pytest.mark.parametrize("name", ["Authorization", "authorization"])
def test_a_mirrors_header_does_not_take_the_place_of_the_authorization(name: str) -> None:
    route = {"credentials": "env:EU", "headers": {name: "Basic of-the-spec"}}
    with bench(route=route, environ=ENVIRON) as b:
        guard(b, b.server.url, b.server)
        assert b.pull().ok
        (asked,) = [incoming for incoming in b.server.seen if incoming.path.startswith("/token")]
        assert asked.headers["authorization"] == "Basic " + base64.b64encode(b"alice:secret-word").decode()


def test_neither_headers_nor_secrets_are_told_to_a_forward_proxy_that_is_to_connect() -> None:
    with another_server() as proxy:
        proxy.on("registry.example:443", answer(403))
        route = {"url": "https://registry.example", "proxy": "squid", "forward_url": proxy.url, "headers": OWN}
        with bench(route=route) as b:
            assert b.pull().error_code is ErrorCode.PROXY
            assert not [incoming for incoming in proxy.seen if "x-dragonfly-registry" in incoming.headers]


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("X-Cache", "HIT from squid"),
        ("X-Cache-Status", "MISS"),
        ("X-Proxy-Cache", "HIT"),
        ("CF-Cache-Status", "DYNAMIC"),
        ("Age", "7"),
        ("X-Dragonfly-Task-ID", "5f4dcc3b"),
        ("X-Dragonfly-Task-Download-Finished", "true"),
        ("X-Dragonfly-Server-IP", "10.0.0.7"),
        ("X-Dragonfly-Error-Type", "backend"),
    ],
)
def test_what_a_cache_says_of_itself_is_kept(header: str, value: str) -> None:
    with bench() as b:
        content = b.image.layers[1]
        b.server.on(b.image.blob_path(content), answer(200, content, headers=[(header, value)]))
        shown = f'"{value}"' if " " in value else value
        assert row_of(b.pull(), content).served_by == f"{b.server.host} {header.lower()}={shown}"


def test_all_of_them_together_stay_bounded_and_clean() -> None:
    names = ("Via", "X-Cache", "X-Cache-Status", "X-Proxy-Cache", "CF-Cache-Status", "Age", "X-Dragonfly-Task-ID")
    with bench() as b:
        content = b.image.layers[1]
        headers = [(name, "\x1b[31m" + "y" * 5000) for name in names]
        b.server.on(b.image.blob_path(content), answer(200, content, headers=headers))
        served_by = row_of(b.pull(), content).served_by or ""
        assert len(served_by) < 1000 and "\x1b" not in served_by


MIXED = (b"a" * 100_000, b"b" * 60_000, b"c" * 61_000)


@pytest.mark.parametrize(
    ("headers", "source"),
    [
        (({"X-Cache": "HIT"}, {"X-Cache": "MISS"}, {"X-Cache": "MISS"}), "x-cache=MISS"),
        (({"X-Cache": "MISS"}, {"X-Cache": "HIT"}, {"X-Cache": "HIT"}), "x-cache=HIT"),
        (({"X-Cache": "MISS"}, {"X-Cache": "HIT", "Age": "9"}, {"X-Cache": "HIT", "Age": "70"}), "x-cache=HIT age=70"),
        (({"X-Cache": "MISS"}, {"X-Cache": "HIT"}, {}), "x-cache=MISS"),
    ],
)
def test_a_pull_is_served_by_what_served_most_of_its_bytes(headers: tuple[dict[str, str], ...], source: str) -> None:
    with bench(image=Image(layers=MIXED)) as b:
        for content, given in zip(MIXED, headers, strict=True):
            b.server.on(b.image.blob_path(content), answer(200, content, headers=list(given.items())))
        assert b.pull().served_by == f"{b.server.host} {source}"


# Pinned names


def test_a_pinned_name_is_reached_at_its_address_and_the_row_shows_it(tmp_path: Path) -> None:
    with bench(engine={"resolve": {"registry.example": "127.0.0.1"}}) as b:
        named = b.server.url.replace("127.0.0.1", "registry.example")
        with bench(
            image=b.image, engine={"resolve": {"registry.example": "127.0.0.1"}}, route={"url": named}
        ) as pinned:
            outcome = pinned.pull()
            assert outcome.ok, outcome.error
            assert {row.remote_ip for row in outcome.transfers} == {"127.0.0.1"}
            assert {incoming.headers["host"] for incoming in b.server.seen} == {named.removeprefix("http://")}


def test_a_pin_for_another_port_does_not_count() -> None:
    engine = {"resolve": {"registry.invalid:1": "127.0.0.1"}}
    with bench(engine=engine, route={"url": "http://registry.invalid:5000"}) as b:
        assert b.pull().error_code is ErrorCode.DNS


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_a_certificate_is_still_held_against_the_name_and_not_the_address(tmp_path: Path, version: str) -> None:
    own = certificate(tmp_path / "own.pem", "127.0.0.1", days=1)
    engine = {"resolve": {"registry.example": "127.0.0.1"}, "http_version": version}
    with bench(context=server_context(own)) as b:
        url = b.server.url.replace("127.0.0.1", "registry.example")
        with bench(image=b.image, engine=engine, route={"url": url, "ca_file": str(own)}) as pinned:
            assert pinned.pull().error_code is ErrorCode.TLS_HOSTNAME


def test_a_host_that_the_registry_redirects_to_can_be_pinned() -> None:
    with another_server() as edge, bench(engine={"resolve": {"cdn.example": "127.0.0.1"}}) as b:
        content = b.image.layers[1]
        edge.on("/layer", answer(200, content))
        location = edge.url.replace("127.0.0.1", "cdn.example") + "/layer"
        b.server.on(b.image.blob_path(content), answer(307, headers=[("Location", location)]))
        outcome = b.pull()
        assert outcome.ok, outcome.error
        assert row_of(outcome, content).served_by == edge.host


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("http://squid", "http://squid:80"),
        ("https://squid", "https://squid:443"),
        ("http://squid:3128", "http://squid:3128"),
        ("http://[::1]:3128", "http://[::1]:3128"),
        (None, ""),
    ],
)
def test_a_forward_proxy_without_a_port_is_at_its_schemes_own(given: str | None, meant: str) -> None:
    assert proxy_url(given) == meant


def test_a_pinned_forward_proxy_is_reached_at_its_address() -> None:
    with another_server() as proxy:
        proxy.on("http://registry.example/v2/", answer(404))
        named = proxy.url.replace("127.0.0.1", "squid.example")
        route = {"url": "http://registry.example", "proxy": "squid", "forward_url": named}
        with bench(route=route, engine={"resolve": {"squid.example": "127.0.0.1"}}) as b:
            assert b.pull().error_code is ErrorCode.NOT_FOUND
            assert proxy.paths()[0].startswith("http://registry.example/v2/")
