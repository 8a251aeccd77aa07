"""Many pulls at once: beyond a bound their exchanges are made by a few threads in libcurl, and nothing else changes.

The bound is lowered here, so that a trial of a few pulls is a crowd.
"""

import os
import threading
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace

import psutil
import pytest

from pullbench.engines.base import PullOutcome
from pullbench.engines.wire import client as wire_client
from pullbench.engines.wire import curl_multi
from pullbench.engines.wire import engine as wire
from pullbench.engines.wire.pull import BlobQueue
from pullbench.errors import ErrorCode
from tests.engines.scripted_server import Handler, Image, Incoming, answer
from tests.engines.test_wire_faults import cut, flipped, reset, silent, stall, status
from tests.engines.wire_bench import Bench, bench, setup

CROWD = 6


@pytest.fixture(autouse=True)
def a_few_are_a_crowd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MOST_IN_LIBCURL", 1)


def all_at_once(b: Bench, pulls: int = CROWD) -> list[PullOutcome]:
    with ThreadPoolExecutor(pulls) as pool:
        return list(pool.map(lambda _: b.pull(), range(pulls)))


def test_every_byte_comes_and_all_connections_are_kept_for_the_next_crowd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "usable_cores", lambda: 1)
    many = 5 * CROWD
    with bench(concurrency=many, engine={"layer_concurrency": 1}) as b:
        content, together = b.image.layers[1], threading.Barrier(many)

        def all_under_way(incoming: Incoming) -> None:
            together.wait(25)
            incoming.send(200, content)

        calm = answer(200, content)
        b.server.on(b.image.blob_path(content), *[all_under_way] * many, calm, *[all_under_way] * many)
        first, alone, later = all_at_once(b, many), b.pull(), all_at_once(b, many)
        for outcome in (*first, alone, *later):
            assert outcome.ok and outcome.bytes == b.image.expected.manifest.size_bytes, outcome.error
        assert all(row.reused for outcome in later for row in outcome.transfers)


def test_as_many_multiplexers_as_cores_serve_all_pulls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "usable_cores", lambda: 2)
    made = []

    class Counted(curl_multi.Multiplexer):
        def __init__(self, executor: Executor, monotonic: Callable[[], float], crowd: int = 1) -> None:
            made.append(crowd)
            super().__init__(executor, monotonic, crowd)

    monkeypatch.setattr(wire_client, "Multiplexer", Counted)
    with bench(concurrency=CROWD, engine={"layer_concurrency": 2}) as b:
        assert all(outcome.ok for outcome in all_at_once(b))
    assert made == [2 * CROWD] * 2


@pytest.mark.parametrize(
    ("handler", "code", "engine"),
    [
        (lambda content: answer(200, flipped(content)), ErrorCode.DIGEST_MISMATCH, {}),
        (cut, ErrorCode.TRUNCATED, {}),
        (reset, ErrorCode.RESET, {}),
        (stall, ErrorCode.STALLED, {"stall_timeout_s": 0.2}),
        (silent, ErrorCode.STALLED, {"stall_timeout_s": 0.2}),
        (status(503), ErrorCode.SERVER_ERROR, {}),
    ],
)
def test_a_bad_answer_has_its_code_and_fails_its_own_pull_alone(
    handler: Callable[[bytes], Handler], code: ErrorCode, engine: dict[str, object]
) -> None:
    with bench(concurrency=CROWD, engine=engine) as b:
        content = b.image.layers[1]
        b.server.on(b.image.blob_path(content), handler(content), answer(200, content))
        outcomes = all_at_once(b)
        assert [outcome.error_code for outcome in outcomes if not outcome.ok] == [code]


def test_the_whole_time_of_a_pull_ends_it_as_timeout() -> None:
    with bench(concurrency=CROWD, timeout_s=0.3) as b:
        content = b.image.layers[1]
        b.server.on(b.image.blob_path(content), silent(content))
        assert b.pull().error_code is ErrorCode.TIMEOUT


def test_a_cancel_ends_all_that_bring_no_byte() -> None:
    with bench(concurrency=CROWD) as b:
        reached = threading.Semaphore(0)

        def hang(incoming: Incoming) -> None:
            reached.release()
            incoming.stall()

        b.server.on(b.image.blob_path(b.image.layers[1]), hang)
        with ThreadPoolExecutor(CROWD) as pool:
            pulled = [pool.submit(b.pull) for _ in range(CROWD)]
            for _ in range(CROWD):
                assert reached.acquire(timeout=10)
            b.engine.cancel()
            assert {each.result(20).error_code for each in pulled} == {ErrorCode.CANCELLED}


def test_per_pull_connections_stay_each_pulls_own() -> None:
    with bench(opened=False) as b:
        b.request = replace(b.request, auth="per-pull")
        b.engine.open_trial(setup(b.request, CROWD))
        outcomes = [*all_at_once(b), b.pull()]
        assert all(outcome.ok for outcome in outcomes)
        assert not any(outcome.transfers[0].reused for outcome in outcomes)


def test_nothing_is_left_of_a_crowd_when_it_is_closed() -> None:
    process = psutil.Process()
    with bench(opened=False) as b:
        files, threads = process.num_fds(), set(threading.enumerate())
        b.engine.open_trial(setup(b.request, CROWD))
        assert all(outcome.ok for outcome in all_at_once(b))
        b.engine.close()
        assert not [thread for thread in set(threading.enumerate()) - threads if thread.name.startswith("wire")]
        b.server.close()
        assert process.num_fds() <= files


def test_a_worker_leaves_at_once_where_no_more_can_come() -> None:
    started, go_on = threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        go_on.wait(10)

    queue = BlobQueue(lambda: False, grows=False)
    queue.put_first([work])
    with ThreadPoolExecutor(1) as pool:
        busy = pool.submit(queue.run, 1, None)
        assert started.wait(10)
        queue.run(1, None)
        assert not busy.done()
        go_on.set()
        busy.result(10)


def test_a_large_image_is_the_same_by_threads_and_by_multiplexers(monkeypatch: pytest.MonkeyPatch) -> None:
    image = Image(layers=tuple(os.urandom(size) for size in (700_000, 5, 1_500_000)))
    with bench(image=image, concurrency=2) as b:
        crowded = b.pull()
        monkeypatch.setattr(wire, "MOST_IN_LIBCURL", 128)
        b.engine.open_trial(setup(b.request, 2))
        threaded = b.pull()
    for outcome in (crowded, threaded):
        assert outcome.ok, outcome.error
    assert sorted((row.kind, row.digest, row.bytes) for row in crowded.transfers) == sorted(
        (row.kind, row.digest, row.bytes) for row in threaded.transfers
    )
