"""The engine with HTTP/2 offered: what a server does wrong ends alike on a connection that many exchanges share.

The scripted server speaks HTTP/1.1, which libcurl's multi interface must bear too; HTTP/2 itself is in the integration tests.
"""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import psutil
import pytest

from pullbench.engines.base import PullOutcome
from pullbench.engines.wire.body import DocumentBody
from pullbench.engines.wire.curl import HttpRequest
from pullbench.engines.wire.curl_multi import Multiplexer
from pullbench.errors import ErrorCode
from tests.engines.scripted_server import Handler, Image, Incoming, answer
from tests.engines.test_wire_faults import cut, failed_by, flipped, reset, silent, stall, status, without_waiting
from tests.engines.wire_bench import CLOCK, bench, row_of, setup

HTTP2 = {"http_version": "2"}


def test_a_pull_brings_every_byte_and_says_the_version_that_was_spoken() -> None:
    with bench(engine=HTTP2) as b:
        first, second = b.pull(), b.pull()
        for outcome in (first, second):
            assert outcome.ok, outcome.error
            assert outcome.bytes == b.image.expected.manifest.size_bytes
            assert {row.http_version for row in outcome.transfers} == {"1.1"}
        assert first.transfers[0].reused is False and second.transfers[0].reused


@pytest.mark.parametrize(
    ("handler", "code", "engine"),
    [
        (lambda content: answer(200, flipped(content)), ErrorCode.DIGEST_MISMATCH, {}),
        (lambda content: answer(200, content + b"more"), ErrorCode.DIGEST_MISMATCH, {}),
        (lambda content: answer(206, content), ErrorCode.NOT_A_REGISTRY, {}),
        (cut, ErrorCode.TRUNCATED, {}),
        (reset, ErrorCode.RESET, {}),
        (stall, ErrorCode.STALLED, {"stall_timeout_s": 0.2}),
        (silent, ErrorCode.STALLED, {"stall_timeout_s": 0.2}),
        (status(404), ErrorCode.NOT_FOUND, {}),
        (status(503), ErrorCode.SERVER_ERROR, {}),
    ],
)
def test_a_bad_answer_has_its_code(
    handler: Callable[[bytes], Handler], code: ErrorCode, engine: dict[str, object]
) -> None:
    assert failed_by(handler, engine={**HTTP2, **engine}).error_code is code


def test_the_whole_time_of_a_pull_ends_it_as_timeout() -> None:
    assert failed_by(silent, engine=HTTP2, timeout_s=0.3).error_code is ErrorCode.TIMEOUT


def test_nothing_listens_is_connect_refused() -> None:
    with bench(engine=HTTP2) as b:
        b.server.close()
        assert b.pull().error_code is ErrorCode.CONNECT_REFUSED


def test_a_cancel_ends_a_transfer_that_brings_no_byte() -> None:
    with bench(engine=HTTP2) as b:
        reached = threading.Event()

        def hang(incoming: Incoming) -> None:
            reached.set()
            incoming.stall()

        b.server.on(b.image.blob_path(b.image.layers[1]), hang)
        with ThreadPoolExecutor(1) as pool:
            pulled = pool.submit(b.pull)
            assert reached.wait(10)
            b.engine.cancel()
            assert pulled.result(20).error_code is ErrorCode.CANCELLED


def test_what_fails_ends_the_pulls_other_streams_and_leaves_the_next_pull_its_way() -> None:
    layers = tuple(os.urandom(2000) for _ in range(4))
    with bench(image=Image(layers=layers), engine={**HTTP2, "layer_concurrency": 5}) as b:
        together = threading.Barrier(2)

        def missing(incoming: Incoming) -> None:
            together.wait(10)
            incoming.send(404)

        def hang(incoming: Incoming) -> None:
            together.wait(10)
            incoming.stall()

        b.server.on(b.image.blob_path(layers[0]), missing, answer(200, layers[0]))
        b.server.on(b.image.blob_path(layers[1]), hang, answer(200, layers[1]))
        failed = b.pull()
        assert failed.error_code is ErrorCode.NOT_FOUND
        assert row_of(failed, layers[1]).error_code is ErrorCode.CANCELLED
        assert b.pull().ok


def test_a_failed_transfer_is_tried_again() -> None:
    with bench(engine=HTTP2, retries=1) as b:
        content = b.image.layers[1]
        b.server.on(b.image.blob_path(content), answer(503), answer(200, content))
        without_waiting(b, [])
        outcome = b.pull()
        assert outcome.ok and outcome.attempts == 2, outcome.error


def test_more_pulls_at_once_than_the_trial_said_still_end() -> None:
    with bench(concurrency=1, engine=HTTP2) as b:
        outcomes: list[PullOutcome] = []
        workers = [threading.Thread(target=lambda: outcomes.extend(b.pull() for _ in range(3))) for _ in range(6)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(30)
        assert [outcome.error for outcome in outcomes if not outcome.ok] == [] and len(outcomes) == 18


def test_nothing_is_left_when_it_is_closed() -> None:
    process = psutil.Process()
    with bench(opened=False, engine=HTTP2) as b:
        files, threads = process.num_fds(), set(threading.enumerate())
        b.engine.open_trial(setup(b.request, concurrency=3))
        for auth in ("persisted", "per-pull"):
            assert b.engine.pull(replace(b.request, auth=auth)).ok
        b.engine.close()
        assert not [thread for thread in set(threading.enumerate()) - threads if thread.name.startswith("wire")]
        b.server.close()
        assert process.num_fds() <= files


def test_no_thread_is_started_inside_a_pull() -> None:
    with bench(concurrency=2, engine=HTTP2) as b:
        before = {thread for thread in threading.enumerate() if thread.name.startswith("wire")}
        for auth in ("persisted", "per-pull"):
            assert b.engine.pull(replace(b.request, auth=auth)).ok
        assert {thread for thread in threading.enumerate() if thread.name.startswith("wire")} == before


def test_a_multiplexer_that_failed_tells_it_and_lets_nobody_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    with ThreadPoolExecutor(1) as pool, bench() as b:
        broken = Multiplexer(pool, CLOCK.monotonic)
        monkeypatch.setattr(broken, "_collect", lambda: 1 / 0)
        request = HttpRequest(
            url=b.server.url,
            ca_file="",
            http_version="2",
            connect_timeout_s=5,
            stall_timeout_s=5,
            timeout_s=5,
            stopped=lambda: False,
        )
        with broken.handles.one() as handle:
            exchange = handle.exchange(request, DocumentBody(100))
            assert exchange.error_code is not None and "the multiplexer ended" in exchange.error
            with pytest.raises(RuntimeError, match="multiplexer was closed"):
                handle.exchange(request, DocumentBody(100))
        with pytest.raises(ZeroDivisionError):
            broken.close()
