"""Layers in parts: verified as a whole, in bounded memory; a server without ranges is told, a wrong one is an error."""

import hashlib
import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from pullbench.engines.base import PullOutcome
from pullbench.engines.wire.body import ChunkedBlob
from pullbench.errors import ErrorCode
from pullbench.model.record import Transfer
from tests.engines.scripted_server import Handler, Image, Incoming, ScriptedServer, answer, digest_of
from tests.engines.test_wire_faults import SOON, without_waiting
from tests.engines.wire_bench import Bench, bench

CHUNK = 65_536
LAYER = os.urandom(5 * CHUNK + 1000)
SMALL = os.urandom(CHUNK)
PARTS = [(first, min(first + CHUNK, len(LAYER))) for first in range(0, len(LAYER), CHUNK)]


def asked_range(incoming: Incoming) -> tuple[int, int] | None:
    """(first, one past the last) of the Range header."""
    found = re.fullmatch(r"bytes=(\d+)-(\d+)", incoming.headers.get("range", ""))
    return (int(found[1]), int(found[2]) + 1) if found else None


def ranged(content: bytes) -> Handler:
    """Serves ranges as RFC 9110 has them."""

    def handler(incoming: Incoming) -> None:
        asked = asked_range(incoming)
        if asked is None:
            incoming.send(200, content)
        else:
            send_part(incoming, content, asked)

    return handler


def send_part(incoming: Incoming, content: bytes, part: tuple[int, int], said: str | None = None) -> None:
    first, end = part
    where = f"bytes {first}-{end - 1}/{len(content)}" if said is None else said
    incoming.send(206, content[first:end], headers=[("Content-Range", where)] if where else [])


@contextmanager
def chunked_bench(
    handler: Handler | None = None, *, workers: int = 3, engine: dict[str, Any] | None = None, **options: Any
) -> Iterator[Bench]:
    """A bench with one layer of six parts and a layer that is too small for any."""
    options["engine"] = {"chunk_bytes": CHUNK, "layer_concurrency": workers, **(engine or {})}
    with bench(image=Image(layers=(LAYER, SMALL)), **options) as b:
        b.server.on(b.image.blob_path(LAYER), handler or ranged(LAYER))
        yield b


def rows_of(outcome: PullOutcome, content: bytes = LAYER) -> list[Transfer]:
    return [row for row in outcome.transfers if row.digest == digest_of(content)]


@pytest.mark.parametrize("workers", [1, 3, 8])
@pytest.mark.parametrize("version", ["1.1", "2"])
def test_a_large_layer_comes_in_parts_that_are_verified_as_a_whole(workers: int, version: str) -> None:
    with chunked_bench(workers=workers, engine={"http_version": version}) as b:
        outcome = b.pull()
        assert outcome.ok, outcome.error
        assert outcome.bytes == b.image.expected.manifest.size_bytes
        rows = rows_of(outcome)
        assert sorted((row.bytes, row.status, row.kind) for row in rows) == sorted(
            (end - first, 206, "layer") for first, end in PARTS
        )
        assert {row.note for row in rows} == {f"bytes {first}-{end - 1}/{len(LAYER)}" for first, end in PARTS}


def test_a_layer_of_just_the_size_and_the_config_come_whole() -> None:
    with chunked_bench() as b:
        outcome = b.pull()
        for content in (SMALL, b.image.config):
            (row,) = rows_of(outcome, content)
            assert (row.status, row.note, row.bytes) == (200, None, len(content))


def test_parts_are_under_way_together_on_the_pulls_workers() -> None:
    together = threading.Barrier(3)

    def handler(incoming: Incoming) -> None:
        asked = asked_range(incoming)
        assert asked
        if asked in PARTS[1:4]:
            together.wait(10)
        send_part(incoming, LAYER, asked)

    with chunked_bench(handler, workers=3) as b:
        assert b.pull().ok


def test_no_part_is_asked_for_before_the_first_answer_shows_that_there_are_ranges() -> None:
    others = threading.Event()

    def handler(incoming: Incoming) -> None:
        asked = asked_range(incoming)
        assert asked
        if asked == PARTS[0]:
            assert not others.wait(0.1)
        else:
            others.set()
        send_part(incoming, LAYER, asked)

    with chunked_bench(handler) as b:
        assert b.pull().ok
        assert others.is_set()


def test_a_worker_takes_no_further_part_before_its_own_is_hashed_so_memory_is_bounded() -> None:
    """Two workers: while the first part hangs, the second may come, and no third."""
    beyond = threading.Event()

    def handler(incoming: Incoming) -> None:
        asked = asked_range(incoming)
        assert asked
        if asked in PARTS[2:]:
            beyond.set()
        if asked == PARTS[0]:
            first, end = asked
            headers = [("Content-Range", f"bytes {first}-{end - 1}/{len(LAYER)}")]
            incoming.send(206, LAYER[first : first + 10], headers=headers, length=end - first)
            assert not beyond.wait(0.1)
            incoming.connection.sendall(LAYER[first + 10 : end])
        else:
            send_part(incoming, LAYER, asked)

    with chunked_bench(handler, workers=2) as b:
        outcome = b.pull()
        assert outcome.ok, outcome.error
        assert beyond.is_set()


def test_the_wait_for_the_parts_before_is_not_in_a_parts_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    second_waits, waited = threading.Event(), list[float]()
    wait_for = ChunkedBlob.wait_for

    def waiting(self: ChunkedBlob, index: int) -> bool:
        if index == 1:
            second_waits.set()
        return wait_for(self, index)

    def handler(incoming: Incoming) -> None:
        asked = asked_range(incoming)
        assert asked
        if asked == PARTS[0]:
            headers = [("Content-Range", f"bytes 0-{CHUNK - 1}/{len(LAYER)}")]
            incoming.send(206, LAYER[:10], headers=headers, length=CHUNK)
            assert second_waits.wait(10)
            waited.append(100.0)
            incoming.connection.sendall(LAYER[10:CHUNK])
        else:
            send_part(incoming, LAYER, asked)

    monkeypatch.setattr(ChunkedBlob, "wait_for", waiting)
    with chunked_bench(handler, workers=2, engine={"stall_timeout_s": 1000.0}, timeout_s=600.0) as b:
        without_waiting(b, waited)
        rows = {row.note: row for row in rows_of(b.pull())}
        second = rows[f"bytes {CHUNK}-{2 * CHUNK - 1}/{len(LAYER)}"]
        assert (second.total_s or 0) < 50 < (rows[f"bytes 0-{CHUNK - 1}/{len(LAYER)}"].total_s or 0)


@pytest.mark.parametrize("sink", ["discard", "disk"])
def test_a_server_that_sends_the_whole_falls_back_to_one_transfer_and_the_row_says_so(sink: str) -> None:
    with chunked_bench(answer(200, LAYER), engine={"sink": sink}) as b:
        outcome = b.pull()
        assert outcome.ok, outcome.error
        (row,) = rows_of(outcome)
        assert (row.status, row.bytes, row.note, row.error_code) == (200, len(LAYER), "range refused", None)
        assert outcome.bytes == b.image.expected.manifest.size_bytes


@pytest.mark.parametrize("status", [416, 501])
@pytest.mark.parametrize("retries", [0, 2])
def test_a_refused_range_falls_back_to_one_transfer_and_both_rows_say_so(status: int, retries: int) -> None:
    def handler(incoming: Incoming) -> None:
        incoming.send(status) if "range" in incoming.headers else incoming.send(200, LAYER)

    with chunked_bench(handler, retries=retries) as b:
        outcome = b.pull()
        assert outcome.ok, outcome.error
        refused, whole = rows_of(outcome)
        assert (refused.status, refused.bytes, refused.note, refused.error_code) == (status, 0, "range refused", None)
        assert (whole.status, whole.bytes, whole.note, whole.attempt) == (200, len(LAYER), "range refused", 1)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("", ErrorCode.NOT_A_REGISTRY),
        ("pages 1-2/3", ErrorCode.NOT_A_REGISTRY),
        (f"bytes 1-{CHUNK}/{len(LAYER)}", ErrorCode.DIGEST_MISMATCH),
        (f"bytes 0-{CHUNK - 2}/{len(LAYER)}", ErrorCode.DIGEST_MISMATCH),
        (f"bytes 0-{CHUNK - 1}/{len(LAYER) + 1}", ErrorCode.DIGEST_MISMATCH),
    ],
)
def test_a_wrong_content_range_is_an_error_though_the_bytes_be_right(said: str, code: ErrorCode) -> None:
    with chunked_bench(lambda incoming: send_part(incoming, LAYER, PARTS[0], said)) as b:
        outcome = b.pull()
        assert outcome.error_code is code
        assert code in {row.error_code for row in rows_of(outcome)}


def test_a_content_range_of_unknown_length_is_accepted() -> None:
    def handler(incoming: Incoming) -> None:
        asked = asked_range(incoming)
        assert asked
        send_part(incoming, LAYER, asked, f"bytes {asked[0]}-{asked[1] - 1}/*")

    with chunked_bench(handler) as b:
        assert b.pull().ok


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (lambda i, part: i.send(200, LAYER), ErrorCode.NOT_A_REGISTRY),
        (lambda i, part: i.send(416), ErrorCode.SERVER_ERROR),
        (lambda i, part: i.send(503), ErrorCode.SERVER_ERROR),
        (lambda i, part: send_part(i, bytes(len(LAYER)), part), ErrorCode.DIGEST_MISMATCH),
        (lambda i, part: send_part(i, LAYER[: part[1] - 1], part, _said(part)), ErrorCode.TRUNCATED),
        (lambda i, part: send_part(i, LAYER, (part[0], part[1] + 1), _said(part)), ErrorCode.DIGEST_MISMATCH),
    ],
)
def test_a_later_part_that_is_wrong_fails_the_pull(
    wrong: Callable[[Incoming, tuple[int, int]], None], code: ErrorCode
) -> None:
    def handler(incoming: Incoming) -> None:
        asked = asked_range(incoming)
        assert asked
        wrong(incoming, asked) if asked == PARTS[3] else send_part(incoming, LAYER, asked)

    with chunked_bench(handler) as b:
        outcome = b.pull()
        assert not outcome.ok and outcome.error_code is code, outcome.error
        assert code in {row.error_code for row in rows_of(outcome)}


def _said(part: tuple[int, int]) -> str:
    return f"bytes {part[0]}-{part[1] - 1}/{len(LAYER)}"


@pytest.mark.parametrize("broken", [0, 2, 5])
@pytest.mark.promise("whatever the fault", "No byte is counted twice")
def test_a_part_that_breaks_off_is_tried_again_alone_and_leaves_nothing_in_the_hash(broken: int) -> None:
    tries: list[int] = []

    def handler(incoming: Incoming) -> None:
        asked = asked_range(incoming)
        assert asked
        if asked == PARTS[broken] and not tries:
            tries.append(1)
            first, end = asked
            headers = [("Content-Range", _said(asked))]
            incoming.send(206, LAYER[first : first + 500], headers=headers, length=end - first)
            incoming.hang_up()
        else:
            send_part(incoming, LAYER, asked)

    with chunked_bench(handler, retries=1) as b:
        without_waiting(b, [])
        outcome = b.pull()
        assert outcome.ok, outcome.error
        assert sorted((row.attempt, row.bytes) for row in rows_of(outcome) if row.note == _said(PARTS[broken])) == [
            (1, 500),
            (2, PARTS[broken][1] - PARTS[broken][0]),
        ]
        assert len(rows_of(outcome)) == len(PARTS) + 1
        assert outcome.attempts == 2 and outcome.bytes == b.image.expected.manifest.size_bytes + 500


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_a_cancel_ends_parts_that_wait_for_their_turn(version: str) -> None:
    def handler(incoming: Incoming) -> None:
        asked = asked_range(incoming)
        assert asked
        if asked == PARTS[0]:
            incoming.send(206, LAYER[:10], headers=[("Content-Range", _said(asked))], length=CHUNK)
            incoming.stall()
        else:
            send_part(incoming, LAYER, asked)
            b.engine.cancel()

    with chunked_bench(handler, workers=2, engine={"http_version": version, **SOON}) as b:
        outcome = b.pull()
        assert outcome.error_code is ErrorCode.CANCELLED
        assert not [row for row in rows_of(outcome) if row.error_code is None]


def test_parts_are_written_where_they_belong_and_synced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr("os.fsync", synced.append)
    with chunked_bench(engine={"sink": "disk"}) as b:
        assert b.pull().ok and b.engine._trial
        folder = b.engine._trial.folder
        written = {hashlib.sha256(path.read_bytes()).digest() for path in folder.iterdir()}
        assert written == {hashlib.sha256(blob).digest() for blob in (b.image.config, LAYER, SMALL)}
        assert len(synced) == 3
        b.engine.close_trial()
        assert not folder.exists()


def test_a_full_disk_is_disk_full_in_parts_too() -> None:
    with chunked_bench(engine={"sink": "disk"}) as b:
        assert b.engine._trial
        for number in range(3):
            b.engine._trial.folder.joinpath(str(number)).symlink_to("/dev/full")
        assert b.pull().error_code is ErrorCode.DISK_FULL


def test_ranges_go_along_with_a_redirect() -> None:
    storage = ScriptedServer()
    try:
        storage.on("/layer", ranged(LAYER))
        with chunked_bench(answer(307, headers=[("Location", f"{storage.url}/layer")])) as b:
            outcome = b.pull()
            assert outcome.ok, outcome.error
            assert {asked_range(incoming) for incoming in storage.seen} == set(PARTS)
    finally:
        storage.close()


def test_pulls_at_once_keep_their_parts_apart() -> None:
    with chunked_bench(concurrency=4, auth="per-pull") as b:
        outcomes: list[PullOutcome] = []
        pulls = [replace(b.request, pull=number) for number in range(8)]
        workers = [threading.Thread(target=lambda one=one: outcomes.append(b.engine.pull(one))) for one in pulls]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(30)
        assert [outcome.error for outcome in outcomes if not outcome.ok] == [] and len(outcomes) == 8
        assert all(len(rows_of(outcome)) == len(PARTS) for outcome in outcomes)
