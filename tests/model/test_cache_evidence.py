"""What headers, bytes and ages say of a mirror's store."""

from datetime import UTC, datetime, timedelta

import pytest

from pullbench.errors import ErrorCode
from pullbench.model.cache_evidence import Sighting, cache_word, found_by_headers, found_by_probe, found_by_upstream
from pullbench.model.record import Transfer

AT = datetime(2026, 11, 23, tzinfo=UTC)


def layer(digest: str, served_by: str | None, *, after_s: float = 0.0, **changes: object) -> Transfer:
    row = {"pull": 0, "attempt": 1, "kind": "layer", "digest": digest, "bytes": 1, "status": 200}
    return Transfer(**{**row, "started_at": AT + timedelta(seconds=after_s), "served_by": served_by, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("served_by", "word"),
    [
        ("10.0.0.1:443 x-cache=HIT age=3", "hit"),
        ('10.0.0.1:443 via "1.1 squid" x-cache="HIT from squid.example.com"', "hit"),
        ("10.0.0.1:443 x-cache=MISS", "miss"),
        ("10.0.0.1:443 x-cache-status=EXPIRED", "miss"),
        ("10.0.0.1:443 x-cache-status=STALE", "hit"),
        ('10.0.0.1:443 x-cache="MISS, HIT"', "hit"),
        ("10.0.0.1:443 cf-cache-status=DYNAMIC", "miss"),
        ("10.0.0.1:443 age=0", "hit"),
        ("10.0.0.1:443 x-dragonfly-task-id=ab x-dragonfly-task-download-finished=true", "hit"),
        ("10.0.0.1:443 x-dragonfly-task-download-finished=false", "miss"),
        ("10.0.0.1:443", None),
        ('10.0.0.1:443 via "1.1 nginx"', None),
        ('10.0.0.1:443 via "1.1 x x-cache=HIT age=9"', None),
        ("x-cache=HIT:443", None),
        (None, None),
    ],
)
def test_what_a_cache_says_of_one_answer(served_by: str | None, word: str | None) -> None:
    assert cache_word(served_by) == word


def test_the_first_transfer_of_each_layer_tells_what_the_mirror_had() -> None:
    miss, hit = "a x-cache=MISS", "a x-cache=HIT"
    assert found_by_headers([layer("1", miss), layer("2", miss)]) == "cold"
    assert found_by_headers([layer("1", hit, after_s=1.0), layer("1", miss)]) == "cold"
    assert found_by_headers([layer("1", hit), layer("2", hit)]) == "warm"
    assert found_by_headers([layer("1", hit), layer("2", miss)]) == "mixed"


def test_headers_that_say_nothing_of_layers_show_nothing() -> None:
    assert found_by_headers([]) is None
    assert found_by_headers([layer("1", "a"), layer("2", None)]) is None
    assert found_by_headers([layer("1", "a x-cache=HIT", kind="manifest")]) is None
    assert found_by_headers([layer("1", "a x-cache=HIT", error_code=ErrorCode.RESET)]) is None


def test_the_upstreams_bytes_tell_what_was_fetched() -> None:
    assert [found_by_upstream(served, 100) for served in (0, 1, 99, 100, 200)] == [
        "warm",
        "mixed",
        "mixed",
        "cold",
        "cold",
    ]
    assert found_by_upstream(0, 0) is None


def seen(text: str, at_s: float = 20.0) -> Sighting:
    return Sighting(served_by=f"a {text}", at_s=at_s)


def test_what_a_probe_saw_before_the_trial_counts() -> None:
    assert found_by_probe([seen("x-cache=HIT")], [seen("x-cache=MISS")], 10.0) == "warm"
    assert found_by_probe([seen("x-cache=HIT"), seen("x-cache=MISS")], [], 10.0) == "mixed"


def test_after_a_trial_the_age_of_what_is_there_tells_whether_it_was_there_before() -> None:
    assert found_by_probe([], [seen("x-cache=HIT age=10")], 10.0) == "cold"
    assert found_by_probe([], [seen("x-cache=HIT age=12")], 10.0) == "warm"
    assert found_by_probe([], [seen("x-cache=MISS")], 10.0) == "cold"


def test_a_hit_after_a_trial_without_an_age_shows_nothing() -> None:
    assert found_by_probe([], [seen("x-cache=HIT")], 10.0) is None
    assert found_by_probe([], [], 10.0) is None
