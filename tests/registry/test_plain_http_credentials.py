"""The control plane sends no credentials over plain HTTP to another machine, unless the spec allows it."""

import httpx
import pytest

from pullbench.errors import ErrorCode, RegistryError, UsageError
from pullbench.model.route import Route
from pullbench.registry.auth import Challenge, Credentials, token_request
from pullbench.registry.keychain import Keychain
from pullbench.registry.products.api import ProductApi
from tests.registry.fake_registry import ENVIRON, SECRET, FakeRegistry
from tests.registry.products.server import PASSWORD, ProductServer

THERE = "http://10.0.0.7:5000"


def challenging(challenge: str) -> FakeRegistry:
    registry = FakeRegistry()

    def handle(request: httpx.Request) -> httpx.Response:
        if "Authorization" in request.headers:
            return registry.serve(request)
        return httpx.Response(401, headers={"WWW-Authenticate": challenge})

    registry.handler = handle
    return registry


@pytest.mark.parametrize("challenge", ["Basic", 'Bearer realm="https://auth.example.com/token"'])
@pytest.mark.promise("plain http", "The control plane sends no credentials over plain HTTP to another machine")
def test_keychain_login_keeps_the_control_planes_credentials_off_plain_http(challenge: str) -> None:
    registry = challenging(challenge)
    with pytest.raises(UsageError) as refused:
        registry.client("env:CI", url=THERE).ping()
    assert registry.authorizations == [None]
    text = str(refused.value)
    assert "[plain_http]" in text and "`plain_http_credentials:" in text
    assert "\n" not in text and SECRET not in text


def test_what_the_spec_allows_is_sent() -> None:
    registry = challenging("Basic")
    registry.client("env:CI", url=THERE, route={"sends_in_clear": True}).ping()
    assert registry.authorizations[1] is not None


@pytest.mark.promise("plain http", "The login of a forward proxy does not go over plain HTTP to another machine")
def test_keychain_forward_login_keeps_a_proxys_login_off_plain_http() -> None:
    keychain = Keychain(environ=ENVIRON)
    route = Route(registry="eu", url="https://r.io", forward_url="http://squid:3128", forward_credentials="env:CI")
    with pytest.raises(UsageError, match=r"not sent to http://squid:3128.*plain_http_credentials: send"):
        keychain.forward_login(route)


@pytest.mark.promise("plain http", "A token realm on another machine gets no credentials over plain HTTP")
def test_the_realm_guard_sends_no_credentials_to_a_plain_realm_elsewhere() -> None:
    challenge = Challenge(scheme="bearer", realm="http://10.0.0.7:5001/token")
    me = Credentials(username="ann", password=SECRET)
    with pytest.raises(RegistryError, match="plain_http_credentials: send") as refused:
        token_request(challenge, endpoint_url="http://127.0.0.1:5000", repository="a", credentials=me)
    assert refused.value.code is ErrorCode.PLAIN_HTTP
    asked = token_request(challenge, endpoint_url="http://127.0.0.1:5000", repository="a", credentials=None)
    assert asked.headers == {}, "a stranger's token is no secret"


def test_the_control_plane_asks_its_route_before_it_answers_a_plain_realm() -> None:
    registry = challenging('Bearer realm="http://10.0.0.7:5001/token"')
    with pytest.raises(RegistryError) as refused:
        registry.client("env:CI", url="http://127.0.0.1:5000").ping()
    assert refused.value.code is ErrorCode.PLAIN_HTTP
    assert len(registry.requests) == 1


@pytest.mark.promise("plain http", "A product's own API gets no password over plain HTTP")
def test_a_products_api_gets_no_password_over_plain_http() -> None:
    keychain = Keychain(environ={"CI_USERNAME": "ann", "CI_PASSWORD": PASSWORD})
    with ProductServer(lambda *_: (200, {})) as served:
        forward = {"forward_url": served.url}
        for route in (
            Route(registry="eu", url="http://10.0.0.7:8081", credentials="env:CI", **forward),
            Route(registry="eu", url="http://10.0.0.7:8081", credentials="env:CI", sends_in_clear=True, **forward),
        ):
            with ProductApi(route, keychain) as api:
                api.read("/x")
        assert [user for _, user in served.seen] == [None, "ann"]
