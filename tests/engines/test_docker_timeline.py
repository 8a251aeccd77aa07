"""The reading of dockerd's events, and the figures made of them."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pullbench.engines.base import PullRequest
from pullbench.engines.docker.timeline import (
    Claims,
    DockerAttempt,
    PullTimeline,
    chains,
    image_chain,
    outcome,
    short_id,
    union_s,
)
from pullbench.errors import ErrorCode
from tests.engines.docker_world import CONFIG_BYTES, A, B, C, layer_events, manifest, pull_request

Timed = tuple[float, dict[str, Any]]


def timeline(events: Iterable[Timed], *digests: str) -> PullTimeline:
    made = PullTimeline(layer_ids=frozenset(map(short_id, digests or (A, B))))
    for at, event in events:
        made.observe(event, at)
    return made


def event(digest: str, status: str, **detail: int) -> dict[str, Any]:
    return {"status": status, "id": short_id(digest), "progressDetail": detail}


def attempt(
    events: Iterable[Timed], *digests: str, code: ErrorCode | None = None, started: float = 0.0
) -> DockerAttempt:
    made = DockerAttempt(
        number=1,
        started=started,
        started_at=datetime(2026, 1, 1, tzinfo=UTC),
        timeline=timeline(events, *digests),
        ended=9.0,
    )
    made.code = code
    return made


def finished(request: PullRequest, *events: Timed, claims: Claims | None = None) -> Any:
    digests = [layer.digest for layer in request.expected.manifest.layers]
    made = attempt([*events, (8.0, {"status": "Status: Downloaded newer image"})], *digests)
    return outcome(request, [made], claims or Claims())


def test_a_download_lasts_from_its_first_sign_to_its_completion() -> None:
    seen = timeline(
        [
            (1.0, event(A, "Pulling fs layer")),
            (2.0, event(A, "Downloading", current=10, total=100)),
            (3.0, event(A, "Downloading", current=100, total=100)),
            (4.0, event(A, "Verifying Checksum")),
            (5.0, event(A, "Download complete")),
            (6.0, event(A, "Extracting", current=1, total=100)),
            (7.0, event(A, "Extracting", current=100, total=100)),
            (8.0, event(A, "Pull complete")),
        ]
    ).layers[short_id(A)]
    assert (seen.download, seen.extraction, seen.received_bytes) == ((2.0, 5.0), (6.0, 8.0), 100)


def test_a_layer_too_small_for_progress_is_timed_from_its_start() -> None:
    seen = timeline([(1.0, event(A, "Pulling fs layer")), (1.5, event(A, "Download complete"))])
    assert seen.layers[short_id(A)].download == (1.0, 1.5)


def test_time_in_the_queue_is_no_download_time() -> None:
    seen = timeline(
        [(1.0, event(A, "Pulling fs layer")), (1.1, event(A, "Waiting")), (9.0, event(A, "Download complete"))]
    )
    assert seen.layers[short_id(A)].download is None


def test_an_extraction_without_a_download_complete_ends_the_download() -> None:
    seen = timeline([(1.0, event(A, "Downloading", current=1)), (2.0, event(A, "Extracting", current=1))])
    assert seen.layers[short_id(A)].download == (1.0, 2.0)


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ({"errorDetail": {"message": "unexpected EOF"}, "error": "short"}, "unexpected EOF"),
        ({"error": "only this"}, "only this"),
        ({"errorDetail": {}}, "the daemon gave no reason"),
        ({"errorDetail": "odd"}, "the daemon gave no reason"),
    ],
)
def test_an_error_event_is_kept_with_its_text(event: dict[str, Any], message: str) -> None:
    assert timeline([(1.0, event)]).error == message


def test_only_the_status_of_the_image_completes_a_pull() -> None:
    assert not timeline([(1.0, {"status": "Digest: sha256:aa"})]).complete
    assert not timeline([(1.0, event(A, "Pull complete"))]).complete
    assert timeline([(1.0, {"status": "Status: Image is up to date for a"})]).complete


def test_events_of_what_is_no_layer_are_no_layers() -> None:
    seen = timeline([(1.0, {"status": "Pulling from app", "id": "127.0.0.1:5000/app@sha256:aa"})])
    assert (seen.layers, seen.first_layer) == ({}, None)


@given(st.dictionaries(st.text(max_size=8), st.none() | st.integers() | st.text(max_size=8) | st.lists(st.integers())))
def test_no_event_breaks_the_reading(odd: dict[str, Any]) -> None:
    timeline([(1.0, odd), (2.0, {**odd, "id": short_id(A), "status": "Downloading", "progressDetail": odd})])


def test_progress_says_what_is_unfinished() -> None:
    seen = timeline([*layer_events(A, 1.0), (2.0, event(B, "Downloading", current=1))])
    assert "1 of 2 layers" in seen.progress() and f"{short_id(B)} Downloading" in seen.progress()
    assert "manifest" in timeline([]).progress()


@pytest.mark.parametrize(
    ("intervals", "expected"),
    [
        ([], None),
        ([(1.0, 3.0)], 2.0),
        ([(1.0, 3.0), (2.0, 5.0)], 4.0),
        ([(1.0, 9.0), (2.0, 3.0)], 8.0),
        ([(4.0, 5.0), (1.0, 2.0)], 2.0),
        ([(1.0, 1.0)], 0.0),
    ],
)
def test_overlaps_are_counted_once(intervals: list[tuple[float, float]], expected: float | None) -> None:
    assert union_s(intervals) == expected


def test_a_cold_pull_brings_config_and_every_layer() -> None:
    request = pull_request(layers=((A, 100), (B, 10)))
    made = finished(request, *layer_events(A, 1.0), *layer_events(B, 2.0))
    assert (made.bytes, made.layers, made.layers_cached, made.layers_shared) == (110 + CONFIG_BYTES, 2, 0, 0)
    assert made.bytes == request.expected.manifest.size_bytes
    assert made.resolve_s == 1.0
    assert [(t.digest, t.bytes, t.kind, t.status) for t in made.transfers] == [
        (A, 100, "layer", None),
        (B, 10, "layer", None),
    ]
    assert made.duration_s == 9.0


def test_layers_in_the_store_are_cached_and_bring_no_bytes() -> None:
    made = finished(pull_request(layers=((A, 100), (B, 10))), (1.0, event(A, "Already exists")), *layer_events(B, 2.0))
    assert (made.bytes, made.layers_cached, made.layers_shared) == (10 + CONFIG_BYTES, 1, 0)
    assert [t.digest for t in made.transfers] == [B]


def test_an_image_in_the_store_brings_nothing_at_all() -> None:
    made = finished(pull_request(layers=((A, 100), (B, 10))))
    assert (made.bytes, made.layers, made.layers_cached) == (0, 2, 2)
    assert (made.resolve_s, made.download_s, made.extract_s) == (None, None, None)


@pytest.mark.parametrize("how", ["Already exists", "Pulling fs layer"])
def test_a_layer_that_another_pull_of_the_trial_brings_is_shared(how: str) -> None:
    claims = Claims()
    claims.claim((A,), 7)
    made = finished(
        pull_request(layers=((A, 100), (B, 10))),
        (1.0, event(A, how)),
        (1.5, event(A, "Downloading", current=100)),
        *layer_events(B, 2.0),
        claims=claims,
    )
    assert (made.bytes, made.layers_cached, made.layers_shared) == (10 + CONFIG_BYTES, 0, 1)


def test_an_image_that_another_pull_of_the_trial_brought_is_shared() -> None:
    claims, request = Claims(), pull_request(layers=((A, 100), (B, 10)))
    claims.claim(image_chain(request.expected.manifest), 7)
    made = finished(request, claims=claims)
    assert (made.layers_cached, made.layers_shared, made.bytes) == (0, 2, 0)


def test_a_layer_on_other_ground_is_not_shared() -> None:
    claims = Claims()
    claims.claim((A,), 7)
    made = finished(
        pull_request(layers=((C, 10), (A, 100))), *layer_events(C, 1.0), *layer_events(A, 2.0), claims=claims
    )
    assert (made.layers_shared, made.bytes) == (0, 110 + CONFIG_BYTES)


def test_what_a_failed_pull_wanted_to_bring_is_brought_by_the_next() -> None:
    claims = Claims()
    claims.claim((A,), 7)
    claims.release(7)
    made = finished(pull_request(layers=((A, 100),)), *layer_events(A, 1.0), claims=claims)
    assert (made.layers_shared, made.bytes) == (0, 100 + CONFIG_BYTES)


def test_a_layer_that_stands_twice_in_a_manifest_is_fetched_once() -> None:
    request = pull_request(layers=((A, 100), (B, 10), (A, 100)))
    made = finished(request, *layer_events(A, 1.0), *layer_events(B, 2.0))
    assert (made.bytes, made.layers, len(made.transfers)) == (request.expected.manifest.size_bytes, 3, 2)
    assert chains(manifest((A, 100), (B, 10), (A, 100)))[short_id(A)] == (A,)


def test_a_failed_pull_counts_what_came_and_marks_what_was_cut() -> None:
    request = pull_request(layers=((A, 100), (B, 10)))
    cut = attempt(
        [*layer_events(A, 1.0), (2.0, event(B, "Pulling fs layer")), (3.0, event(B, "Downloading", current=4))],
        code=ErrorCode.TIMEOUT,
    )
    made = outcome(request, [cut], Claims())
    assert (made.ok, made.error_code, made.bytes) == (False, ErrorCode.TIMEOUT, 104)
    assert (made.layers, made.layers_cached, made.layers_shared) == (None, None, None)
    assert [(t.bytes, t.error_code, t.total_s is None) for t in made.transfers] == [
        (100, None, False),
        (4, ErrorCode.TIMEOUT, True),
    ]


def test_a_pull_that_never_came_to_a_layer_has_unknown_bytes() -> None:
    made = outcome(pull_request(), [attempt([], code=ErrorCode.DNS)], Claims())
    assert (made.bytes, made.resolve_s, made.download_s, made.transfers) == (None, None, None, ())


def test_bytes_and_times_of_all_attempts_are_added() -> None:
    request = pull_request(layers=((A, 100),))
    first = attempt(
        [(1.0, event(A, "Pulling fs layer")), (2.0, event(A, "Downloading", current=60))], A, code=ErrorCode.RESET
    )
    second = attempt([*layer_events(A, 11.0), (12.0, {"status": "Status: x"})], A, started=10.0)
    second.number, second.ended = 2, 12.0
    made = outcome(request, [first, second], Claims())
    assert (made.ok, made.attempts, made.bytes) == (True, 2, 160 + CONFIG_BYTES)
    assert (made.resolve_s, made.duration_s) == (2.0, 12.0)
    assert [(t.attempt, t.bytes) for t in made.transfers] == [(1, 60), (2, 100)]
