"""Recorded streams of real daemons, one for each image store, and the figures made of them."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pullbench.engines.base import PullOutcome
from pullbench.engines.docker.timeline import (
    CONTAINERD_EVENTS,
    GRAPH_DRIVER_EVENTS,
    Claims,
    DockerAttempt,
    EventSource,
    PullTimeline,
    chains,
    config_chain,
    outcome,
    short_id,
)
from pullbench.errors import ErrorCode
from tests.engines.docker_world import CONFIG_BYTES, A, B, C, pull_request

STREAMS = Path(__file__).parent / "streams"
DEBIAN = tuple((f"sha256:{name}{'0' * 52}", size) for name, size in (("8c9ac9888ee6", 53442620), ("e06a4460f88a", 1226580), ("92b4c2253518", 1534)))  # fmt: skip
ATTESTED = tuple((f"sha256:{name}{'0' * 52}", 100) for name in ("72b94e253019", "252b792c8f4b", "76b0f2c9bd65"))
Layers = tuple[tuple[str, int], ...]


def recorded(name: str) -> list[tuple[float, dict[str, Any]]]:
    lines = (STREAMS / f"stream-{name}.jsonl").read_text().splitlines()
    return [(entry.pop("t"), entry) for entry in map(json.loads, lines)]


def read(
    events: list[tuple[float, dict[str, Any]]],
    layers: Layers,
    source: EventSource,
    *,
    claims: Claims | None = None,
    code: ErrorCode | None = None,
    started: float = 0.0,
) -> DockerAttempt:
    request = pull_request(layers=layers)
    timeline = PullTimeline(layer_ids=frozenset(chains(request.expected.manifest)), source=source)
    for at, event in events:
        timeline.observe(event, at)
    made = DockerAttempt(number=1, started=started, started_at=datetime(2026, 1, 1, tzinfo=UTC), timeline=timeline)
    made.end(events[-1][0], code)
    return made


def pulled(events: list[tuple[float, dict[str, Any]]], layers: Layers, *, claims: Claims | None = None) -> PullOutcome:
    made = read(events, layers, CONTAINERD_EVENTS)
    return outcome(pull_request(layers=layers), [made], claims or Claims())


def event(digest: str, status: str, **detail: int) -> dict[str, Any]:
    return {"status": status, "id": short_id(digest), "progressDetail": detail}


DONE = (9.0, {"status": "Status: Downloaded newer image for app"})


@pytest.mark.parametrize(
    ("stream", "source", "resolve_s", "download_s", "extract_s"),
    [
        ("classic-deb_1_1", GRAPH_DRIVER_EVENTS, 0.046, 0.096, 3.711),
        ("ctrd-deb_1_1", CONTAINERD_EVENTS, 0.133, 0.601, 2.797),
        ("d29-deb_1_1", CONTAINERD_EVENTS, 0.043, 0.297, 1.796),
    ],
)
def test_each_store_says_the_same_of_one_image(
    stream: str, source: EventSource, resolve_s: float, download_s: float, extract_s: float
) -> None:
    made = outcome(pull_request(layers=DEBIAN), [read(recorded(stream), DEBIAN, source)], Claims())
    assert made.ok
    assert (made.layers, made.layers_cached, made.layers_shared) == (3, 0, 0)
    assert made.bytes == sum(size for _, size in DEBIAN) + CONFIG_BYTES
    assert (made.resolve_s, made.download_s, made.extract_s) == pytest.approx((resolve_s, download_s, extract_s))


def test_a_layer_under_the_polling_resolution_has_no_times_of_its_own() -> None:
    made = outcome(pull_request(layers=DEBIAN), [read(recorded("d29-deb_1_1"), DEBIAN, CONTAINERD_EVENTS)], Claims())
    times = {transfer.bytes: (transfer.total_s, transfer.extract_s) for transfer in made.transfers}
    assert times[1534] == (None, None)
    assert None not in times[53442620]


@pytest.mark.parametrize(("told", "received"), [(0, 300 + CONFIG_BYTES), (55, 355 + CONFIG_BYTES), (None, None)])
def test_blobs_of_attestations_are_no_layers_and_count_as_far_as_they_are_told(
    told: int | None, received: int | None
) -> None:
    made = read(recorded("d29-tool_buildx_1"), ATTESTED, CONTAINERD_EVENTS)
    assert made.timeline.others == {"208eb64f8bec"}
    made.other_bytes = told
    came = outcome(pull_request(layers=ATTESTED), [made], Claims())
    assert (came.layers, came.layers_cached, came.bytes) == (3, 0, received)
    assert (came.download_s, came.extract_s) == (None, None)


def test_a_blob_that_was_there_was_not_fetched_though_its_pull_was_announced() -> None:
    made = pulled(
        [
            (1.0, event(A, "Pulling fs layer")),
            (1.1, event(A, "Already exists")),
            (1.2, event(A, "Extracting", current=1)),
            (1.3, event(A, "Pull complete")),
            (1.0, event(B, "Pulling fs layer")),
            (1.4, event(B, "Download complete")),
            (1.5, event(B, "Pull complete")),
            DONE,
        ],
        ((A, 100), (B, 10)),
    )
    assert (made.bytes, made.layers_cached, [t.digest for t in made.transfers]) == (10 + CONFIG_BYTES, 1, [B])


def test_a_layer_without_any_event_was_there() -> None:
    made = pulled(
        [(1.0, event(B, "Pulling fs layer")), (1.4, event(B, "Download complete")), DONE], ((A, 100), (B, 10))
    )
    assert (made.bytes, made.layers_cached) == (10 + CONFIG_BYTES, 1)


def test_a_new_config_over_layers_that_were_there_is_the_only_thing_fetched() -> None:
    made = pulled([DONE], ((A, 100), (B, 10)))
    assert (made.bytes, made.layers_cached) == (CONFIG_BYTES, 2)


def test_an_image_that_the_store_had_brings_no_config() -> None:
    claims = Claims()
    claims.claim(config_chain(pull_request().expected.manifest), -1)
    assert pulled([DONE], ((A, 100), (B, 10)), claims=claims).bytes == 0


def test_a_repeated_pull_complete_does_not_lengthen_the_extraction() -> None:
    made = pulled(
        [
            (1.0, event(A, "Pulling fs layer")),
            (2.0, event(A, "Extracting", current=1)),
            (3.0, event(A, "Pull complete")),
            (8.0, event(A, "Pull complete")),
            DONE,
        ],
        ((A, 100),),
    )
    assert made.extract_s == 1.0


def test_a_blob_is_shared_on_any_ground() -> None:
    claims = Claims()
    claims.claim((A,), 7)
    made = pulled(
        [
            (1.0, event(C, "Pulling fs layer")),
            (1.0, event(A, "Pulling fs layer")),
            (1.4, event(C, "Download complete")),
            (1.4, event(A, "Download complete")),
            DONE,
        ],
        ((C, 10), (A, 100)),
        claims=claims,
    )
    assert (made.layers_shared, made.bytes) == (1, 10 + CONFIG_BYTES)


def test_the_bytes_of_a_resumed_layer_are_not_known() -> None:
    layers = ((A, 100),)
    cut = [(1.0, event(A, "Pulling fs layer")), (2.0, event(A, "Downloading", current=60))]
    rest = [(4.0, event(A, "Pulling fs layer")), (5.0, event(A, "Download complete")), DONE]
    made = outcome(
        pull_request(layers=layers),
        [
            read(cut, layers, CONTAINERD_EVENTS, code=ErrorCode.RESET),
            read(rest, layers, CONTAINERD_EVENTS, started=3.0),
        ],
        Claims(),
    )
    assert (made.ok, made.attempts, made.bytes) == (True, 2, None)
