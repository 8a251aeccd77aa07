"""A kept connection that ends unannounced costs a repetition that the row shows; a new one is never asked twice."""

from collections.abc import Callable

import pytest

from pullbench.engines.base import PullOutcome
from pullbench.engines.wire.record import SENT_AGAIN
from pullbench.errors import ErrorCode
from tests.engines.scripted_server import Handler, Incoming
from tests.engines.wire_bench import Bench, bench

End = Callable[[Incoming], None]


def serve_but_end(b: Bench, good: int, end: End, *, after_answer: bool = False) -> None:
    """Each connection gives `good` answers, then ends: at the next request, or right behind the last answer."""
    answered: dict[int, int] = {}

    def handler(content: bytes) -> Handler:
        def handle(incoming: Incoming) -> None:
            number = answered[incoming.number] = answered.get(incoming.number, 0) + 1
            if number > good:
                end(incoming)
                return
            incoming.send(200, content)
            if after_answer and number == good:
                end(incoming)

        return handle

    for content in (b.image.index, b.image.manifest):
        b.server.on(b.image.manifest_path(content), handler(content))
    for content in (b.image.config, *b.image.layers):
        b.server.on(b.image.blob_path(content), handler(content))


def pulled(good: int, end: End, *, after_answer: bool = False) -> tuple[PullOutcome, Bench]:
    with bench(engine={"layer_concurrency": 1}) as b:
        serve_but_end(b, good, end, after_answer=after_answer)
        return b.pull(), b


@pytest.mark.parametrize("end", [Incoming.hang_up, Incoming.reset])
@pytest.mark.parametrize("good", [1, 2, 4])
def test_a_request_on_a_kept_connection_that_ends_is_sent_again_and_its_row_says_so(good: int, end: End) -> None:
    outcome, b = pulled(good, end)
    assert outcome.ok, outcome.error
    assert outcome.attempts == 1  # libcurl's repetition, not a retry of the pull
    again = [row for row in outcome.transfers if row.note == SENT_AGAIN]
    assert len(again) == b.server.connections - 1 == len(b.server.seen) - len(outcome.transfers)
    assert not any(row.reused for row in again)


def test_a_connection_that_ends_behind_each_answer_fails_no_pull() -> None:
    outcome, _ = pulled(1, Incoming.hang_up, after_answer=True)
    assert outcome.ok, outcome.error


@pytest.mark.parametrize("end", [Incoming.hang_up, Incoming.reset])
def test_a_new_connection_that_ends_is_not_asked_again(end: End) -> None:
    outcome, b = pulled(0, end)
    assert outcome.error_code is ErrorCode.RESET
    assert len(b.server.seen) == 1
    assert [row.note for row in outcome.transfers] == [None]
