"""This machine's clock against the registries', by an answer's Date."""

import email.utils
from datetime import UTC, datetime, timedelta

import pytest

from pullbench.bench import environment as clocks
from pullbench.errors import ErrorCode, RegistryError
from pullbench.registry.keychain import Keychain
from tests.bench.samples import make_spec

KEYCHAIN = Keychain(environ={})


class SteppingClock:
    """Time passes by sleeping, and a little while an answer is on its way."""

    def __init__(self) -> None:
        self.now_s = 1_000_000.33

    def monotonic(self) -> float:
        return self.now_s

    def now(self) -> datetime:
        self.now_s += 0.005
        return datetime.fromtimestamp(self.now_s, UTC)

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


class Answer:
    def __init__(self, headers: dict[str, str]) -> None:
        self.headers = headers


class FakeClient:
    """A registry whose clock is 4.2 s behind."""

    clock = SteppingClock()
    asked = 0
    more: dict[str, str] = {}  # noqa: RUF012
    fails_from = 1000

    def __init__(self, *_: object, **__: object) -> None: ...
    def __enter__(self) -> "FakeClient":
        return self

    def __exit__(self, *_: object) -> None: ...

    def ping(self, *, authenticate: bool) -> Answer:
        assert not authenticate, "no password is needed to tell the time"
        type(self).asked += 1
        if self.asked >= self.fails_from:
            raise RegistryError(ErrorCode.RESET, "GET /v2/", "gone")
        theirs = datetime.fromtimestamp(self.clock.now_s, UTC) - timedelta(seconds=4.2)
        return Answer({"date": email.utils.format_datetime(theirs, usegmt=True)} | self.more)


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> type[FakeClient]:
    made = type("Client", (FakeClient,), {"clock": SteppingClock(), "asked": 0})
    monkeypatch.setattr(clocks, "RegistryClient", made)
    return made


def test_a_dozen_answers_tell_the_offset_to_a_tenth_of_a_second(registry: type[FakeClient]) -> None:
    found = clocks.clock_offsets(make_spec(), KEYCHAIN, registry.clock)
    assert found.keys() == {"eu"}
    assert found["eu"]["known_to_s"] < 0.1
    assert abs(found["eu"]["offset_s"] - 4.2) <= found["eu"]["known_to_s"]
    assert registry.asked <= 12


def test_what_a_cache_kept_tells_no_time(registry: type[FakeClient], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "more", {"age": "12"})
    assert clocks.clock_offsets(make_spec(), KEYCHAIN, registry.clock) == {}


def test_answers_without_a_date_tell_none(registry: type[FakeClient], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "more", {"date": "yesterday"})
    assert clocks.clock_offsets(make_spec(), KEYCHAIN, registry.clock) == {}


def test_what_was_read_before_a_registry_failed_stands(
    registry: type[FakeClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "fails_from", 3)
    found = clocks.clock_offsets(make_spec(), KEYCHAIN, registry.clock)
    assert 0.3 < found["eu"]["known_to_s"] < 0.6
