from datetime import datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from pullbench.errors import ErrorCode
from pullbench.model.finding import Finding, Status
from pullbench.preflight.check import ObservedFault, Target
from pullbench.preflight.checks import clock
from pullbench.preflight.checks.clock import AnswerDate
from tests.preflight.contexts import NOW, ROUTE, context_over, target_of
from tests.registry.fake_registry import FakeRegistry

TARGET = Target(route=ROUTE)


def date_of(ahead_s: float) -> str:
    """The Date of a registry whose clock is so far behind this machine's."""
    return format_datetime((NOW - timedelta(seconds=ahead_s)).replace(microsecond=0), usegmt=True)


def judged(ahead_s: float, round_trip_s: float = 0.0, **options: object) -> Finding:
    evidence = AnswerDate(
        asked_at=NOW, answered_at=NOW + timedelta(seconds=round_trip_s), **{"date": date_of(ahead_s), **options}
    )
    findings = clock.judge(evidence, TARGET)
    assert len(findings) == 1
    return findings[0]


@pytest.mark.parametrize(
    ("ahead_s", "status"),
    [
        (0, Status.PASS),
        (6, Status.PASS),
        (7, Status.WARN),
        (-5, Status.PASS),
        (-6, Status.WARN),
        (301, Status.WARN),
        (302, Status.FAIL),
        (-300, Status.WARN),
        (-301, Status.FAIL),
    ],
)
def test_seconds_warn_and_minutes_fail_beyond_what_whole_seconds_can_show(ahead_s: float, status: Status) -> None:
    assert judged(ahead_s).status is status


@pytest.mark.parametrize(("round_trip_s", "status"), [(0, Status.WARN), (3, Status.PASS)])
def test_the_time_of_the_round_trip_is_not_taken_for_a_difference(round_trip_s: float, status: Status) -> None:
    assert judged(-7, round_trip_s).status is status


def test_the_difference_is_told_with_its_side_and_how_exactly_it_is_known() -> None:
    found = judged(3600)
    assert "60 minutes ahead" in found.observed and "± 0.5 s" in found.observed
    assert "`timedatectl status`" in found.remedy
    assert "`curl -sI https://registry.example.com/v2/`" in found.remedy
    assert "10.5 s behind the registry" in judged(-10).observed


def test_an_answer_that_a_cache_had_kept_is_as_old_as_it_says() -> None:
    assert judged(900, age_s=900).status is Status.PASS


@pytest.mark.parametrize("date", ["", "yesterday", "Mon, 99 Foo 2026 99:99:99 GMT", "Mon, 1 Jan 99999999 00:00:00 GMT"])
def test_answers_without_a_readable_date_are_skipped(date: str) -> None:
    assert judged(0, date=date).status is Status.SKIP


def test_a_registry_that_does_not_answer_is_skipped_with_the_reason() -> None:
    found = judged(0, fault=ObservedFault(code=ErrorCode.RESET, text="GET x: closed"))
    assert (found.status, found.observed[-19:]) == (Status.SKIP, "[reset] GET x: closed"[-19:])


def test_the_date_is_read_from_an_answer_that_wants_a_login_too() -> None:
    registry = FakeRegistry()
    headers = {"Date": date_of(3), "Age": "2", "WWW-Authenticate": 'Basic realm="x"'}
    registry.handler = lambda request: httpx.Response(401, headers=headers)
    context = context_over(registry)
    evidence = clock.probe(context, target_of(context))
    assert evidence == AnswerDate(asked_at=NOW, answered_at=NOW, date=date_of(3), age_s=2)
    registry.handler = lambda request: httpx.Response(503)
    assert clock.probe(context, target_of(context)).fault is not None


def test_dates_of_every_year_are_judged() -> None:
    for year in (1970, 2038, 9999):
        found = judged(0, date=format_datetime(datetime(year, 1, 1, tzinfo=NOW.tzinfo), usegmt=True))
        assert found.status is Status.FAIL
