"""Requests before a run wait for a gateway that answers 502, 503 or 504, as a pull does, and not for ever."""

from typing import Any

import httpx
import pytest

from pullbench.errors import ErrorCode, RegistryError
from pullbench.model.reference import Reference
from pullbench.registry.client import ATTEMPTS, RegistryClient
from tests.registry.fake_registry import FakeRegistry, TokenService, config_blob, manifest_of

APP = Reference.parse("team/app:1.0")


class Gateway:
    """A registry whose gateway fails the first requests."""

    def __init__(self, failures: int, status: int = 502, headers: dict[str, str] | None = None) -> None:
        self.registry = FakeRegistry()
        self.registry.put_manifest("team/app", "1.0", manifest_of(config_blob()))
        self.left = failures
        self.status = status
        self.headers = headers or {}
        self.waits: list[float] = []
        self.serve = self.registry.handler
        self.registry.handler = self

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if self.left:
            self.left -= 1
            return httpx.Response(self.status, headers=self.headers)
        return self.serve(request)

    def client(self, **options: Any) -> RegistryClient:
        return self.registry.client(**{"patience_s": 6.0, "sleep": self.waits.append, **options})


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_gateway_that_comes_back_is_waited_for(status: int) -> None:
    gateway = Gateway(2, status)
    assert gateway.client().manifest(APP).document
    assert gateway.waits == [0.5, 1.0]


@pytest.mark.parametrize("authenticate", [True, False])
def test_the_first_request_of_all_is_patient_too(authenticate: bool) -> None:
    gateway = Gateway(1)
    assert gateway.client().ping(authenticate=authenticate).status == 200


def test_a_probe_that_measures_is_sent_once() -> None:
    gateway = Gateway(1)
    with pytest.raises(RegistryError):
        gateway.client().ping(authenticate=False, patient=False)
    assert gateway.waits == []


def test_a_gateway_that_stays_down_is_asked_no_more_than_that() -> None:
    gateway = Gateway(99)
    with pytest.raises(RegistryError) as caught:
        gateway.client().manifest(APP)
    assert caught.value.code is ErrorCode.SERVER_ERROR
    assert len(gateway.registry.requests) == ATTEMPTS


def test_the_patience_is_the_clients_and_not_each_requests() -> None:
    gateway = Gateway(99)
    client = gateway.client(patience_s=4.0)
    for _ in range(10):
        with pytest.raises(RegistryError):
            client.manifest(APP)
    assert sum(gateway.waits) <= 4.0
    assert len(gateway.registry.requests) == 10 + len(gateway.waits)


@pytest.mark.parametrize(("after", "waits"), [("2", [2.0]), ("60", [])])
def test_the_servers_own_time_counts_and_a_long_one_is_not_waited_for(after: str, waits: list[float]) -> None:
    gateway = Gateway(1, 503, {"Retry-After": after})
    client = gateway.client()
    if waits:
        client.manifest(APP)
    else:
        with pytest.raises(RegistryError):
            client.manifest(APP)
    assert gateway.waits == waits


@pytest.mark.parametrize("status", [500, 501, 429, 404])
def test_other_failures_are_not_asked_again(status: int) -> None:
    gateway = Gateway(1, status)
    with pytest.raises(RegistryError):
        gateway.client().manifest(APP)
    assert gateway.waits == []


def test_an_upload_is_not_sent_again() -> None:
    gateway = Gateway(1)
    with pytest.raises(RegistryError):
        gateway.client().ask("POST", "/v2/team/app/blobs/uploads/", repository="team/app")
    assert gateway.waits == []


def test_a_token_service_behind_a_gateway_is_waited_for() -> None:
    gateway = Gateway(0)
    service = TokenService(gateway.registry)
    failures = [502, 504]

    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.host == "auth.example.com" and failures:
            return httpx.Response(failures.pop())
        return service(request)

    service.registry = FakeRegistry()
    service.registry.documents = gateway.registry.documents
    gateway.registry.handler = handle
    assert gateway.client(credentials="env:CI").manifest(APP).document
    assert gateway.waits == [0.5, 1.0]
