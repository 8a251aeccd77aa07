"""A kept connection that ends unannounced: a GET or HEAD is sent again once, everything else fails as `reset`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from pullbench.errors import ErrorCode, RegistryError
from pullbench.model.route import Route
from pullbench.registry.client import RegistryClient
from pullbench.registry.exchange import ExchangeRecord
from pullbench.registry.keychain import Keychain
from tests.engines.scripted_server import Incoming, ScriptedServer

End = Callable[[Incoming], None]
ENDS = pytest.mark.parametrize("end", [Incoming.hang_up, Incoming.reset])


@contextmanager
def ending(good: int, end: End, *, after_answer: bool = False) -> Iterator[tuple[ScriptedServer, RegistryClient]]:
    """A registry whose connections give `good` answers, then end: at the next request, or right behind the last answer."""
    server = ScriptedServer()
    answered: dict[int, int] = {}

    def handle(incoming: Incoming) -> None:
        number = answered[incoming.number] = answered.get(incoming.number, 0) + 1
        if number > good:
            end(incoming)
            return
        incoming.send(200, b"" if incoming.method == "HEAD" else b"{}")
        if after_answer and number == good:
            end(incoming)

    server.on("/v2/", handle)
    try:
        with RegistryClient(Route(registry="eu", url=server.url), Keychain(environ={})) as client:
            yield server, client
    finally:
        server.close()


@ENDS
@pytest.mark.parametrize("good", [1, 7])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_an_idempotent_request_is_sent_again(method: str, good: int, end: End) -> None:
    with ending(good, end) as (server, client):
        for _ in range(2 * good + 1):
            assert client.ask(method, "/v2/", limit_bytes=100).status == 200
        assert server.connections == 3
        assert len(server.seen) == 2 * good + 3


@ENDS
@pytest.mark.parametrize("good", [1, 7])
def test_a_connection_that_ends_behind_its_answer_fails_nothing(good: int, end: End) -> None:
    with ending(good, end, after_answer=True) as (_, client):
        for _ in range(3 * good):
            assert client.ping().status == 200


@ENDS
def test_a_new_connection_that_ends_is_not_asked_again(end: End) -> None:
    with ending(0, end) as (server, client):
        with pytest.raises(RegistryError) as caught:
            client.ping()
        assert caught.value.code is ErrorCode.RESET
        assert len(server.seen) == 1


@ENDS
def test_a_post_is_not_sent_again(end: End) -> None:
    with ending(1, end) as (server, client):
        client.ping()
        with pytest.raises(RegistryError) as caught:
            client.ask("POST", "/v2/")
        assert caught.value.code is ErrorCode.RESET
        assert len(server.seen) == 2


@ENDS
def test_both_requests_are_on_record(end: End) -> None:
    seen: list[ExchangeRecord] = []
    with ending(1, end) as (server, _):
        route = Route(registry="eu", url=server.url)
        with RegistryClient(route, Keychain(environ={}), on_exchange=seen.append) as client:
            client.ping()
            client.ping()
    assert [each.error_code for each in seen] == [None, ErrorCode.RESET, None]
