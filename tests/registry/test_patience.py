"""Requests before a run wait for a gateway that fails and for a registry that limits requests, and not for ever."""

import contextlib
import threading
import time
from typing import Any

import httpx
import pytest

from pullbench.errors import ErrorCode, RegistryError
from pullbench.model.reference import Reference
from pullbench.registry.answer import Answer
from pullbench.registry.auth import Credentials, basic_header
from pullbench.registry.client import RegistryClient
from pullbench.registry.patience import ATTEMPTS, Patience
from tests.registry.fake_registry import ENVIRON, FakeRegistry, TokenService, config_blob, manifest_of, with_basic

APP = Reference.parse("team/app:1.0")
BASIC = basic_header(Credentials(username=ENVIRON["CI_USERNAME"], password=ENVIRON["CI_PASSWORD"]))


class Gateway:
    """A registry whose gateway fails the first requests."""

    def __init__(self, failures: int, status: int = 502, headers: dict[str, str] | None = None) -> None:
        self.registry = FakeRegistry()
        self.registry.put_manifest("team/app", "1.0", manifest_of(config_blob()))
        self.left = failures
        self.status = status
        self.headers = headers or {}
        self.waits: list[float] = []
        self.now_s = 0.0
        self.serve = self.registry.handler
        self.registry.handler = self

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if self.left:
            self.left -= 1
            return httpx.Response(self.status, headers=self.headers)
        return self.serve(request)

    def client(self, **options: Any) -> RegistryClient:
        clock = {"monotonic": lambda: self.now_s, "sleep": self.sleep}
        return self.registry.client(**{"patience_s": 6.0, **clock, **options})

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now_s += seconds


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


@pytest.mark.parametrize("status", [500, 501, 404])
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


LIMITS = [(429, {}), (429, {"Retry-After": "2"}), (503, {"x-ratelimit-remaining": "0"})]


@pytest.mark.parametrize(("status", "headers"), LIMITS)
def test_a_rate_limit_is_waited_for_as_long_as_it_asks(status: int, headers: dict[str, str]) -> None:
    gateway = Gateway(1, status, headers)
    assert gateway.client().manifest(APP).document
    assert gateway.waits == [float(headers.get("Retry-After", 0.5))]


def test_a_limit_that_stays_uses_up_the_patience_and_is_told() -> None:
    gateway = Gateway(999, 429)
    with pytest.raises(RegistryError) as caught:
        gateway.client().manifest(APP)
    assert caught.value.code is ErrorCode.RATE_LIMITED
    assert sum(gateway.waits) <= 6.0 and len(gateway.registry.requests) == len(gateway.waits) + 1


def test_a_limit_of_minutes_is_told_at_once() -> None:
    gateway = Gateway(1, 429, {"Retry-After": "600"})
    with pytest.raises(RegistryError) as caught:
        gateway.client().manifest(APP)
    assert (caught.value.retry_after_s, gateway.waits) == (600.0, [])


@pytest.mark.parametrize("status", [429, 503])
def test_a_probe_that_meets_a_limit_lets_the_other_requests_wait(status: int) -> None:
    gateway = Gateway(1, status, {"Retry-After": "3", "x-ratelimit-remaining": "0"})
    client = gateway.client()
    with pytest.raises(RegistryError):
        client.ping(authenticate=False, patient=False)
    assert gateway.waits == []
    client.manifest(APP)
    assert gateway.waits == [3.0]


def test_after_a_limit_requests_keep_a_distance_that_doubles_with_each_further_limit() -> None:
    gateway = Gateway(1, 429)
    client = gateway.client()
    for _ in range(3):
        client.head_manifest(APP)
    assert gateway.waits == [0.5, 0.25, 0.25]
    gateway.left = 1
    client.head_manifest(APP)
    client.head_manifest(APP)
    assert gateway.waits[3:] == [0.25, 0.5, 0.5]


@pytest.mark.parametrize("failures", [3, 99])
def test_the_distance_is_within_the_patience(failures: int) -> None:
    gateway = Gateway(failures, 429)
    client = gateway.client()
    for _ in range(60):
        with contextlib.suppress(RegistryError):
            client.head_manifest(APP)
    assert sum(gateway.waits) <= 6.0


def test_after_a_limit_one_request_is_sent_at_a_time() -> None:
    now_s, sending, most = [0.0], [0], [0]
    lock, together = threading.Lock(), threading.Barrier(6)

    def sleep(seconds: float) -> None:
        with lock:
            now_s[0] += seconds

    def send(status: int) -> Answer:
        with lock:
            sending[0] += 1
            most[0] = max(most[0], sending[0])
        time.sleep(0)
        with lock:
            sending[0] -= 1
        return Answer(method="GET", url="http://r.io/v2/", status=status, headers={})

    patience = Patience(6.0, monotonic=lambda: now_s[0], sleep=sleep)
    patience.note(send(429))

    def ask() -> None:
        together.wait()
        for _ in range(20):
            patience.keep(lambda: send(200))

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]


def test_requests_that_wait_together_cost_the_patience_once() -> None:
    now_s = [0.0]

    def sleep(seconds: float) -> None:
        now_s[0] += seconds

    patience = Patience(3.0, monotonic=lambda: now_s[0], sleep=sleep)
    limit = Answer(method="GET", url="http://r.io/v2/", status=429, headers={"retry-after": "2"})
    assert [patience.note(limit) for _ in range(8)] == [True] * 8
    now_s[0] += 2.0
    assert patience.note(limit) is False


@pytest.mark.parametrize("status", [429, 503])
def test_a_password_that_nobody_accepted_yet_is_not_sent_again_after_a_limit(status: int) -> None:
    gateway = Gateway(0)
    sent: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        if "Authorization" in request.headers:
            sent.append(request.headers["Authorization"])
            return httpx.Response(status, headers={"x-ratelimit-remaining": "0"})
        return httpx.Response(401, headers={"WWW-Authenticate": 'Basic realm="r"'})

    gateway.registry.handler = handle
    with pytest.raises(RegistryError) as caught:
        gateway.client(credentials="env:CI").manifest(APP)
    assert (caught.value.code, len(sent)) == (ErrorCode.RATE_LIMITED, 1)


def test_a_password_that_is_known_to_be_right_waits_for_a_limit_too() -> None:
    gateway = Gateway(0)
    limits = [429]
    behind = with_basic(gateway.registry, BASIC)

    def handle(request: httpx.Request) -> httpx.Response:
        if "Authorization" in request.headers and request.method == "HEAD" and limits:
            return httpx.Response(limits.pop())
        return behind(request)

    client = gateway.client(credentials="env:CI")
    gateway.registry.handler = handle
    client.manifest(APP)
    client.head_manifest(APP)
    assert gateway.waits == [0.5]


@pytest.mark.parametrize(("credentials", "asked"), [("env:CI", 1), ("anonymous", 2)])
def test_a_token_service_that_limits_gets_no_password_twice(credentials: str, asked: int) -> None:
    gateway = Gateway(0)
    service, requests = TokenService(gateway.registry), list[httpx.Request]()

    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.host == "auth.example.com":
            requests.append(request)
            if len(requests) == 1:
                return httpx.Response(429)
        return service(request)

    service.registry = FakeRegistry()
    service.registry.documents = gateway.registry.documents
    gateway.registry.handler = handle
    client = gateway.client(credentials=credentials)
    if credentials == "anonymous":
        assert client.manifest(APP).document
    else:
        with pytest.raises(RegistryError):
            client.manifest(APP)
    assert len(requests) == asked
