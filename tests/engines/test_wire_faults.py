"""What servers do wrong ends as an outcome with the right code, attempts are rows, and no exception leaves a pull."""

import json
import os
import queue
import socket
import threading
from collections.abc import Callable

import pytest

from pullbench.engines.base import PullOutcome
from pullbench.engines.wire.curl import Receiver
from pullbench.errors import ErrorCode
from pullbench.model.manifest import MAX_MANIFEST_BYTES
from tests.engines.scripted_server import Handler, Image, Incoming, answer, digest_of
from tests.engines.wire_bench import Bench, bench, row_of, setup

PAGE = b"<html><body>Please log in to the guest network</body></html>"


def failed_by(handler: Callable[[bytes], Handler], *, blob: bool = True, **options: object) -> PullOutcome:
    """The outcome of a pull whose largest layer, or whose index, is answered by the handler."""
    with bench(**options) as b:  # type: ignore[arg-type]
        content = b.image.layers[1] if blob else b.image.index
        path = b.image.blob_path(content) if blob else b.image.manifest_path(content)
        b.server.on(path, handler(content))
        outcome = b.pull()
        assert not outcome.ok
        assert outcome.error_code in {row.error_code for row in outcome.transfers}
        return outcome


def cut(content: bytes) -> Handler:
    def handler(incoming: Incoming) -> None:
        incoming.send(200, content[:-100], length=len(content))
        incoming.hang_up()

    return handler


def reset(content: bytes) -> Handler:
    def handler(incoming: Incoming) -> None:
        incoming.send(200, content[:1000], length=len(content))
        incoming.reset()

    return handler


def stall(content: bytes) -> Handler:
    def handler(incoming: Incoming) -> None:
        incoming.send(200, content[:1000], length=len(content))
        incoming.stall()

    return handler


def silent(content: bytes) -> Handler:
    return Incoming.stall


def status(code: int, **options: object) -> Callable[[bytes], Handler]:
    return lambda content: answer(code, b"", **options)


def flipped(content: bytes) -> bytes:
    return bytes([content[0] ^ 1]) + content[1:]


@pytest.mark.parametrize(
    ("handler", "code"),
    [
        (lambda content: answer(200, flipped(content)), ErrorCode.DIGEST_MISMATCH),
        (lambda content: answer(200, content + b"more"), ErrorCode.DIGEST_MISMATCH),
        (lambda content: answer(200, content[:-1]), ErrorCode.TRUNCATED),
        (lambda content: answer(200, b""), ErrorCode.TRUNCATED),
        (lambda content: answer(200, PAGE, headers=[("Content-Type", "text/html")]), ErrorCode.NOT_A_REGISTRY),
        (lambda content: answer(206, content), ErrorCode.NOT_A_REGISTRY),
        (cut, ErrorCode.TRUNCATED),
        (reset, ErrorCode.RESET),
        (lambda content: Incoming.hang_up, ErrorCode.RESET),
        (lambda content: lambda incoming: incoming.connection.sendall(b"SSH-2.0-x\r\n"), ErrorCode.NOT_A_REGISTRY),
        (status(403), ErrorCode.FORBIDDEN),
        (status(404), ErrorCode.NOT_FOUND),
        (status(429), ErrorCode.RATE_LIMITED),
        (status(500), ErrorCode.SERVER_ERROR),
        (status(503), ErrorCode.SERVER_ERROR),
        (status(301), ErrorCode.NOT_A_REGISTRY),
        (status(401), ErrorCode.UNAUTHORIZED),
    ],
)
def test_a_bad_answer_for_a_layer_has_its_code(handler: Callable[[bytes], Handler], code: ErrorCode) -> None:
    assert failed_by(handler).error_code is code


@pytest.mark.parametrize(
    ("handler", "code"),
    [
        (lambda content: answer(200, content + b" "), ErrorCode.DIGEST_MISMATCH),
        (lambda content: answer(200, PAGE), ErrorCode.NOT_A_REGISTRY),
        (lambda content: answer(200, b"x" * (MAX_MANIFEST_BYTES + 1)), ErrorCode.TOO_LARGE),
        (status(404), ErrorCode.NOT_FOUND),
    ],
)
def test_a_bad_answer_for_a_manifest_has_its_code(handler: Callable[[bytes], Handler], code: ErrorCode) -> None:
    outcome = failed_by(handler, blob=False)
    assert outcome.error_code is code
    assert outcome.layers is None and outcome.bytes == 0 and outcome.download_s is None


def test_a_document_with_the_right_digest_that_is_no_manifest_is_not_a_registry() -> None:
    image = Image(layers=(b"x",))
    image.index = json.dumps({"schemaVersion": 2, "layers": []}).encode()
    with bench(image=image) as b:
        outcome = b.pull()
        assert outcome.error_code is ErrorCode.NOT_A_REGISTRY
        assert "invalid field" in (outcome.error or "")


@pytest.mark.parametrize(("code", "expected"), [(200, ErrorCode.DIGEST_MISMATCH), (500, ErrorCode.SERVER_ERROR)])
def test_a_body_longer_than_wanted_is_not_read_to_its_end(code: int, expected: ErrorCode) -> None:
    sent = 0

    def endless(incoming: Incoming) -> None:
        nonlocal sent
        incoming.send(code, length=10**12)
        block = b"x" * 1_000_000
        while sent < 500 * len(block):
            incoming.connection.sendall(block)
            sent += len(block)

    outcome = failed_by(lambda content: endless)
    assert outcome.error_code is expected
    assert sent < 50_000_000


def test_the_body_of_an_error_is_bounded_and_its_words_are_told_in_one_line() -> None:
    document = {"errors": [{"code": "TOOMANYREQUESTS", "message": "slow\ndown \x1b[31m" + "!" * 1000}]}
    outcome = failed_by(lambda content: answer(429, json.dumps(document).encode()))
    assert "429 TOOMANYREQUESTS: slow down [31m!!!" in (outcome.error or "")
    assert "\n" not in (outcome.error or "") and len(outcome.error or "") < 600
    large = failed_by(lambda content: answer(500, b"y" * 5_000_000))
    assert large.error_code is ErrorCode.SERVER_ERROR and len(large.error or "") < 600


def test_an_error_says_the_url_that_was_asked() -> None:
    outcome = failed_by(status(404))
    assert (outcome.error or "").startswith("GET http://127.0.0.1:") and "/v2/team/app/blobs/sha256:" in (
        outcome.error or ""
    )


# Time


SOON = {"connect_timeout_s": 0.5}
"""While no byte comes, libcurl looks around once a second, and when a time that it was given is over: this one."""


def test_a_server_that_sends_no_byte_is_stalled() -> None:
    outcome = failed_by(silent, engine={"stall_timeout_s": 0.2, **SOON})
    assert outcome.error_code is ErrorCode.STALLED
    assert "for 0.2 s" in (outcome.error or "")


def test_a_slow_server_that_goes_on_sending_is_not_stalled(monkeypatch: pytest.MonkeyPatch) -> None:
    content = os.urandom(400)
    looked, waited = queue.SimpleQueue[float](), list[float]()
    look = Receiver.may_go_on

    def looking(self: Receiver, received: float) -> bool:
        goes_on = look(self, received)
        if self._request.url.endswith(digest_of(content)):
            looked.put(received)
        return goes_on

    def trickle(incoming: Incoming) -> None:
        incoming.send(200, content[:1], length=len(content))
        for sent in range(1, 5):
            while looked.get(timeout=10) < sent:
                pass
            waited.append(10.0)  # between each byte and the next one, by the engine's clock
            incoming.connection.sendall(content[sent : sent + 1])
        incoming.connection.sendall(content[5:])

    monkeypatch.setattr(Receiver, "may_go_on", looking)
    with bench(image=Image(layers=(content,)), engine={"stall_timeout_s": 13.0}, timeout_s=600.0) as b:
        b.server.on(b.image.blob_path(content), trickle)
        without_waiting(b, waited)
        outcome = b.pull()
        assert outcome.ok, outcome.error
        assert sum(waited) > 3 * 13.0


def test_the_whole_time_of_a_pull_ends_it_as_timeout() -> None:
    outcome = failed_by(stall, timeout_s=0.3)
    assert outcome.error_code is ErrorCode.TIMEOUT


def test_a_broken_transfer_has_the_bytes_that_came_and_its_phases() -> None:
    with bench() as b:
        content = b.image.layers[1]
        b.server.on(b.image.blob_path(content), cut(content))
        outcome = b.pull()
        row = row_of(outcome, content)
        assert (row.error_code, row.bytes) == (ErrorCode.TRUNCATED, len(content) - 100)
        assert row.wait_s is not None and row.transfer_s is not None
        assert outcome.bytes is not None and outcome.bytes >= len(content) - 100


def test_nothing_listens_is_connect_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    with bench(route={"url": url}) as b:
        outcome = b.pull()
        assert outcome.error_code is ErrorCode.CONNECT_REFUSED
        (row,) = outcome.transfers
        assert row.status is None and row.connect_s is not None
        assert (row.tls_s, row.wait_s, row.transfer_s, row.reused, row.served_by) == (None,) * 5


def test_a_listener_that_never_accepts_is_connect_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        address = full.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        try:
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(address)
            engine = {"connect_timeout_s": 0.3}
            with bench(route={"url": f"http://127.0.0.1:{address[1]}"}, engine=engine) as b:
                assert b.pull().error_code is ErrorCode.CONNECT_TIMEOUT
        finally:
            for filler in fillers:
                filler.close()


def test_a_listener_that_never_shakes_hands_is_tls_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        route = {"url": f"https://127.0.0.1:{mute.getsockname()[1]}"}
        with bench(route=route, engine={"connect_timeout_s": 0.3}) as b:
            outcome = b.pull()
            assert outcome.error_code is ErrorCode.TLS_TIMEOUT
            (row,) = outcome.transfers
            assert row.tls_s and row.wait_s is None


@pytest.mark.parametrize(
    ("said", "code"),
    [(b"HTTP/1.1 400 Bad Request\r\n\r\n", ErrorCode.PLAIN_HTTP), (b"", ErrorCode.RESET)],
)
def test_an_answer_in_the_clear_to_a_handshake_is_plain_http_and_none_is_reset(said: bytes, code: ErrorCode) -> None:
    with socket.create_server(("127.0.0.1", 0)) as plain:

        def serve() -> None:
            connection, _ = plain.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(said)

        worker = threading.Thread(target=serve)
        worker.start()
        with bench(route={"url": f"https://127.0.0.1:{plain.getsockname()[1]}"}) as b:
            assert b.pull().error_code is code
        worker.join()


def test_a_name_that_does_not_exist_is_dns() -> None:
    with bench(route={"url": "http://nowhere.invalid:5000"}) as b:
        outcome = b.pull()
        assert outcome.error_code is ErrorCode.DNS
        assert outcome.transfers[0].connect_s is None


# Attempts


def test_a_failed_transfer_is_tried_again_and_every_attempt_is_a_row() -> None:
    with bench(retries=2) as b:
        content = b.image.layers[1]
        b.server.on(
            b.image.blob_path(content),
            answer(503, headers=[("Retry-After", "0")]),
            reset(content),
            answer(200, content),
        )
        waited: list[float] = []
        without_waiting(b, waited)
        outcome = b.pull()
        assert outcome.ok and outcome.attempts == 3, outcome.error
        rows = [row_of(outcome, content, attempt) for attempt in (1, 2, 3)]
        assert [row.error_code for row in rows] == [ErrorCode.SERVER_ERROR, ErrorCode.RESET, None]
        assert [row.bytes for row in rows] == [0, rows[1].bytes, len(content)]
        assert outcome.bytes == b.image.expected.manifest.size_bytes + (rows[1].bytes or 0)
        assert sum(waited) == pytest.approx(0.5 + 1.0, abs=0.1)


def test_retry_after_is_honoured() -> None:
    with bench(retries=1) as b:
        content = b.image.layers[1]
        b.server.on(b.image.blob_path(content), answer(429, headers=[("Retry-After", "7")]), answer(200, content))
        waited: list[float] = []
        without_waiting(b, waited)
        outcome = b.pull()
        assert outcome.ok and outcome.attempts == 2
        assert sum(waited) == pytest.approx(7.0, abs=0.1)


def test_a_retry_that_could_not_begin_in_time_is_not_waited_for() -> None:
    with bench(retries=5, timeout_s=20.0) as b:
        b.server.on(b.image.blob_path(b.image.layers[1]), answer(429, headers=[("Retry-After", "3600")]))
        waited: list[float] = []
        without_waiting(b, waited)
        outcome = b.pull()
        assert outcome.error_code is ErrorCode.RATE_LIMITED and outcome.attempts == 1
        assert waited == []


def test_retries_end_and_the_last_error_is_told() -> None:
    with bench(retries=2) as b:
        without_waiting(b, [])
        path = b.image.manifest_path(b.image.index)
        b.server.on(path, answer(500), answer(500), answer(429), answer(200, b.image.index))
        outcome = b.pull()
        assert (outcome.error_code, outcome.attempts) == (ErrorCode.RATE_LIMITED, 3)


@pytest.mark.parametrize("code", [403, 404])
def test_what_will_not_pass_is_not_tried_again(code: int) -> None:
    outcome = failed_by(status(code), retries=3)
    assert outcome.attempts == 1


def test_wrong_content_is_not_tried_again() -> None:
    outcome = failed_by(lambda content: answer(200, flipped(content)), retries=3)
    assert outcome.attempts == 1 and outcome.error_code is ErrorCode.DIGEST_MISMATCH


def test_the_first_failure_ends_the_other_layers_and_is_the_pulls_own() -> None:
    begun = threading.Event()

    def endless(incoming: Incoming) -> None:
        incoming.send(200, length=len(b.image.layers[1]))
        begun.set()
        incoming.stall()

    def missing(incoming: Incoming) -> None:
        begun.wait(10)
        incoming.send(404)

    with bench(engine={"layer_concurrency": 4, **SOON}) as b:
        b.server.on(b.image.blob_path(b.image.layers[1]), endless)
        b.server.on(b.image.blob_path(b.image.layers[0]), missing)
        outcome = b.pull()
        assert outcome.error_code is ErrorCode.NOT_FOUND
        assert row_of(outcome, b.image.layers[1]).error_code is ErrorCode.CANCELLED


# Cancelling


def cancelled_during(b: Bench, path: str, handler: Handler) -> PullOutcome:
    """Cancel once the handler's request is there."""
    arrived = threading.Event()

    def tell(incoming: Incoming) -> None:
        arrived.set()
        handler(incoming)

    b.server.on(path, tell)
    outcomes: list[PullOutcome] = []
    worker = threading.Thread(target=lambda: outcomes.append(b.pull()))
    worker.start()
    assert arrived.wait(10)
    b.engine.cancel()
    worker.join(10)
    assert not worker.is_alive()
    return outcomes[0]


def test_a_cancel_ends_running_transfers_as_cancelled() -> None:
    with bench(engine=SOON) as b:
        outcome = cancelled_during(b, b.image.blob_path(b.image.layers[1]), stall(b.image.layers[1]))
        assert outcome.error_code is ErrorCode.CANCELLED
        assert b.pull().error_code is ErrorCode.CANCELLED


def test_a_cancel_ends_the_wait_before_a_retry() -> None:
    with bench(retries=1) as b:
        content = b.image.layers[1]
        b.server.on(b.image.blob_path(content), answer(503, headers=[("Retry-After", "25")]))
        slept: list[float] = []
        without_waiting(b, slept, then=b.engine.cancel)
        outcome = b.pull()
        assert outcome.error_code is ErrorCode.CANCELLED
        assert row_of(outcome, content).error_code is ErrorCode.SERVER_ERROR
        assert sum(slept) < 1


def without_waiting(b: Bench, waited: list[float], then: Callable[[], None] = lambda: None) -> None:
    """Let the engine's sleeps pass at once: its clock runs ahead by what it slept, and `then` follows each."""
    real = b.engine._clock

    class Leaping:
        def monotonic(self) -> float:
            return real.monotonic() + sum(waited)

        now = real.now

        def sleep(self, seconds: float) -> None:
            waited.append(seconds)
            then()

    b.engine._clock = Leaping()
    b.engine.open_trial(setup(b.request))
