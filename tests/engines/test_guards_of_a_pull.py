"""Each guard of a pull against one thing that a registry may do; a test is named after its guard.

The marker `promise` puts a test into the tables of docs/robustness.md.
"""

import json
import socket
import threading
import time

import pytest

from pullbench.engines.base import PullOutcome
from pullbench.engines.wire.body import BlobBody
from pullbench.errors import ErrorCode
from tests.engines.scripted_server import Handler, Image, Incoming, answer
from tests.engines.test_wire_auth import ENVIRON, TokenService
from tests.engines.test_wire_faults import PAGE, SOON, failed_by, flipped, reset, silent, stall, status, without_waiting
from tests.engines.wire_bench import bench, row_of


@pytest.mark.promise("registry faults", "Late answer: `timeout` when the pull's `timeout_s` is over")
@pytest.mark.promise("whatever the fault", "A trial ends in bounded time")
def test_the_deadline_of_a_pull_ends_an_answer_that_is_late() -> None:
    outcome = failed_by(silent, timeout_s=0.3, engine={"stall_timeout_s": 3.0})
    assert outcome.error_code is ErrorCode.TIMEOUT


@pytest.mark.promise("registry faults", "Dripping body: `timeout`; a byte now and then does not extend it")
def test_the_deadline_of_a_pull_ends_a_body_that_drips() -> None:
    def drip(content: bytes) -> Handler:
        def handler(incoming: Incoming) -> None:
            incoming.send(200, content[:1], length=len(content))
            until = time.monotonic() + 3
            while time.monotonic() < until:
                incoming.connection.sendall(b"x")
                time.sleep(0.05)

        return handler

    outcome = failed_by(drip, timeout_s=0.3, engine={"stall_timeout_s": 2.0})
    assert outcome.error_code is ErrorCode.TIMEOUT


@pytest.mark.promise("registry faults", "Stalled body: `stalled` after the engine's `stall_timeout_s` without a byte")
def test_the_stall_timeout_ends_a_server_that_sends_no_more_byte() -> None:
    outcome = failed_by(stall, timeout_s=2.0, engine={"stall_timeout_s": 0.2, **SOON})
    assert outcome.error_code is ErrorCode.STALLED


@pytest.mark.promise("registry faults", "Reset connection: `reset`, tried again where `retries` allow it")
def test_the_handle_makes_a_row_with_a_code_of_a_reset() -> None:
    outcome = failed_by(reset)
    assert outcome.error_code is ErrorCode.RESET


@pytest.mark.promise("registry faults", "Short body: `truncated`, with the bytes that came")
def test_the_length_check_makes_truncated_of_a_body_that_ends_early() -> None:
    assert failed_by(lambda content: answer(200, content[:-1])).error_code is ErrorCode.TRUNCATED


@pytest.mark.promise("registry faults", "Wrong digest: `digest_mismatch`, never tried again")
def test_the_digest_check_makes_a_failure_of_wrong_content() -> None:
    assert failed_by(lambda content: answer(200, flipped(content))).error_code is ErrorCode.DIGEST_MISMATCH


@pytest.mark.promise("registry faults", "Long body: `digest_mismatch`; the rest is not read")
def test_the_length_bound_ends_a_body_that_is_longer_than_its_descriptor() -> None:
    outcome = failed_by(lambda content: answer(200, content + bytes(30_000_000)), timeout_s=10.0)
    assert outcome.error_code is ErrorCode.DIGEST_MISMATCH
    assert (outcome.bytes or 0) < 20_000_000, "the rest is not read"


@pytest.mark.promise("registry faults", "401: `unauthorized` after one login")
def test_the_code_of_a_401_is_unauthorized() -> None:
    assert failed_by(status(401)).error_code is ErrorCode.UNAUTHORIZED


@pytest.mark.promise("registry faults", "403: `forbidden`, not tried again")
def test_the_code_of_a_403_is_forbidden() -> None:
    assert failed_by(status(403)).error_code is ErrorCode.FORBIDDEN


@pytest.mark.promise("registry faults", "404: `not_found`, not tried again")
def test_the_code_of_a_404_is_not_found() -> None:
    assert failed_by(status(404)).error_code is ErrorCode.NOT_FOUND


@pytest.mark.promise("registry faults", "429: `rate_limited`")
def test_the_code_of_a_429_is_rate_limited() -> None:
    assert failed_by(status(429)).error_code is ErrorCode.RATE_LIMITED


@pytest.mark.promise(
    "registry faults", "429 with Retry-After: waits that long, or not at all if the pull's time would be over"
)
def test_the_wait_before_a_retry_does_not_outlast_the_deadline_whatever_retry_after_says() -> None:
    with bench(retries=1, timeout_s=20.0) as b:
        b.server.on(b.image.blob_path(b.image.layers[1]), answer(429, headers=[("Retry-After", "3600")]))
        waited: list[float] = []
        without_waiting(b, waited)
        outcome = b.pull()
    assert (outcome.error_code, outcome.attempts) == (ErrorCode.RATE_LIMITED, 1)
    assert waited == []


@pytest.mark.promise("registry faults", "5xx: `server_error`; the budget `server_errors` may end the run")
def test_the_code_of_a_5xx_is_server_error() -> None:
    assert failed_by(status(503)).error_code is ErrorCode.SERVER_ERROR


@pytest.mark.promise("registry faults", "HTML page: `not_a_registry`")
def test_the_look_at_the_content_type_makes_no_registry_of_a_page_in_html() -> None:
    page = failed_by(lambda content: answer(200, PAGE, headers=[("Content-Type", "text/html")]))
    assert page.error_code is ErrorCode.NOT_A_REGISTRY


@pytest.mark.promise("registry faults", "Bad JSON in a manifest: `not_a_registry`")
def test_the_catch_of_a_manifest_that_cannot_be_read_makes_a_row_of_it() -> None:
    image = Image(layers=(b"x",))
    image.index = b'{"schemaVersion": 2, "manifests": [{'
    with bench(image=image) as b:
        outcome = b.pull()
    assert outcome.error_code is ErrorCode.NOT_A_REGISTRY


@pytest.mark.promise("registry faults", "Bad JSON from a token service: `not_a_registry`")
def test_the_catch_of_a_token_that_cannot_be_read_makes_a_row_of_it() -> None:
    with bench(route={"credentials": "env:EU"}, environ=ENVIRON) as b:
        service = TokenService(b)
        b.server.on("/token", answer(200, b'{"token": "abc'))
        outcome = b.pull()
    assert outcome.error_code is ErrorCode.NOT_A_REGISTRY
    assert service.issued == 0


@pytest.mark.promise("registry faults", "Slow TLS handshake: `tls_timeout` after the engine's `connect_timeout_s`")
def test_the_connect_timeout_ends_a_tls_handshake_that_is_slow() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        route = {"url": f"https://127.0.0.1:{mute.getsockname()[1]}"}
        with bench(route=route, engine={"connect_timeout_s": 0.3}, timeout_s=2.0) as b:
            assert b.pull().error_code is ErrorCode.TLS_TIMEOUT


@pytest.mark.promise(
    "registry faults", "Token that expires during a pull: one exchange for a new one, and the pull continues"
)
def test_the_renewal_answers_a_token_that_expires_in_mid_pull() -> None:
    with bench(route={"credentials": "env:EU"}, environ=ENVIRON) as b:
        service = TokenService(b)
        path = b.image.blob_path(b.image.layers[1])
        guarded, first = b.server._handlers[path][0], threading.Event()

        def expires(incoming: Incoming) -> None:
            if not first.is_set():
                first.set()
                service.issued += 1  # the one in use is not the newest any more
            guarded(incoming)

        b.server.on(path, expires)
        outcome = b.pull()
        assert outcome.ok, outcome.error
        assert len(service.asked) == 2


@pytest.mark.promise("registry faults", "Redirect loop: `redirect_loop` after 10 redirects")
def test_the_count_of_redirects_ends_a_loop() -> None:
    def back(content: bytes) -> Handler:
        return lambda incoming: incoming.send(307, headers=[("Location", incoming.path)])

    outcome = failed_by(back, timeout_s=2.0)
    assert outcome.error_code is ErrorCode.REDIRECT_LOOP


@pytest.mark.promise(
    "registry faults", "Wrong Content-Range: `digest_mismatch`; a range that cannot be read: `not_a_registry`"
)
def test_the_check_of_content_range_makes_a_failure_of_another_range() -> None:
    def other(incoming: Incoming) -> None:
        content = b.image.layers[1]
        said = f"bytes 65536-131071/{len(content)}"
        incoming.send(206, content[:65536], headers=[("Content-Range", said)])

    with bench(engine={"chunk_bytes": 65536}) as b:
        b.server.on(b.image.blob_path(b.image.layers[1]), other)
        outcome = b.pull()
    assert outcome.error_code is ErrorCode.DIGEST_MISMATCH
    assert "instead of bytes" in (outcome.error or "")


def test_the_cleaning_of_an_error_leaves_nothing_in_it_that_steers_a_display() -> None:
    said = json.dumps({"errors": [{"code": "DENIED", "message": "a\x1b[31m\x9b\u202e\u200b\nb"}]}).encode()
    error = failed_by(lambda content: answer(403, said)).error or ""
    assert error.isprintable() and "DENIED: a [31m b" in error


# What holds whatever it was


def test_what_is_fetched_already_is_counted_once() -> None:
    layer = bytes(5000)
    with bench(image=Image(layers=(layer, layer))) as b:
        outcome = b.pull()
        assert outcome.ok, outcome.error
        assert row_of(outcome, layer).bytes == len(layer)
        assert outcome.bytes == sum(row.bytes or 0 for row in outcome.transfers if row.kind in ("config", "layer"))
        config = next(row.bytes for row in outcome.transfers if row.kind == "config")
        assert outcome.bytes == len(layer) + (config or 0)


def test_the_sum_over_attempts_counts_each_byte_that_came_and_none_twice() -> None:
    with bench(retries=1) as b:
        content = b.image.layers[1]

        def half(incoming: Incoming) -> None:
            incoming.send(200, content[:1000], length=len(content))
            incoming.hang_up()

        b.server.on(b.image.blob_path(content), half, answer(200, content))
        without_waiting(b, [])
        outcome: PullOutcome = b.pull()
        assert outcome.ok, outcome.error
        assert outcome.bytes == b.image.expected.manifest.size_bytes + 1000


@pytest.mark.promise("whatever the fault", "No file, thread or connection is left behind")
def test_the_close_of_a_trial_leaves_no_file_no_thread_and_no_connection() -> None:
    threads = threading.active_count()
    with bench(engine={"sink": "disk", "layer_concurrency": 3}, retries=0) as b:
        trial = b.engine._trial
        assert trial is not None
        b.server.on(b.image.blob_path(b.image.layers[1]), reset(b.image.layers[1]))
        b.pull()
        assert any(trial.folder.iterdir())
        folder, executor, clients = trial.folder, trial.executor, dict(trial.clients)
        handles = [handle for session in clients.values() for handle in session._handles._idle]
        assert handles and executor is not None
        b.engine.close_trial()
        assert not folder.exists()
        assert executor._shutdown, "its threads end"
        assert [handle for session in clients.values() for handle in session._handles._idle] == []
    assert threading.active_count() <= threads


@pytest.mark.promise("whatever the fault", "No file descriptor leaks")
def test_the_close_of_a_body_gives_its_descriptor_back() -> None:
    closed: list[bool] = []
    close = BlobBody.close

    def closing(self: BlobBody) -> None:
        close(self)
        closed.append(self._file is None)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BlobBody, "close", closing)
        with bench(engine={"sink": "disk"}) as b:
            b.server.on(b.image.blob_path(b.image.layers[1]), reset(b.image.layers[1]))
            b.pull()
    assert closed and all(closed)
