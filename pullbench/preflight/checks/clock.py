"""`clock`: the clocks of this machine and the registry agree; tokens and certificates depend on it."""

import email.utils
import re
from dataclasses import dataclass
from datetime import UTC, datetime

from pullbench.errors import RegistryError
from pullbench.model.finding import Finding, Status
from pullbench.model.remedy import curl
from pullbench.model.text import clean
from pullbench.preflight.check import (
    Check,
    FindingKind,
    ObservedFault,
    Room,
    Target,
    every_route,
    failed,
    passed,
    skipped,
    warned,
)
from pullbench.preflight.context import CheckContext

ID = "clock"
APART = "clock-apart"
WARN_FROM_S = 5.0
FAIL_FROM_S = 300.0
EXPECTED = f"this machine's clock and the registry's are at most {WARN_FROM_S:g} s apart"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerDate:
    """The Date header of an answer, and this machine's clock just before the request and just after the answer."""

    asked_at: datetime
    answered_at: datetime
    date: str = ""
    """As sent; empty if missing (RFC 9110, section 6.6.1)."""
    age_s: int = 0
    """The answer's age in a cache (RFC 9111, section 5.1)."""
    fault: ObservedFault | None = None


def probe(context: CheckContext, target: Target) -> AnswerDate:
    client = context.client(target.route)
    requested_at = context.now()
    try:
        ping = client.ping(authenticate=False)
    except RegistryError as error:
        return AnswerDate(asked_at=requested_at, answered_at=context.now(), fault=ObservedFault.of(error))
    answered_at = context.now()
    age = ping.headers.get("age", "")
    return AnswerDate(
        asked_at=requested_at,
        answered_at=answered_at,
        date=clean(ping.headers.get("date", ""), 80),
        age_s=int(age) if re.fullmatch(r"[0-9]{1,9}", age) else 0,
    )


def judge(evidence: AnswerDate, target: Target) -> list[Finding]:
    """Judge the smallest difference that the evidence allows: Date has whole seconds, and the round trip takes time."""
    if evidence.fault is not None:
        return [skipped(ID, target, f"no answer to GET /v2/: {evidence.fault}")]
    theirs = _read(evidence.date)
    if theirs is None:
        shown = (
            f"the Date header '{evidence.date}' is not a date" if evidence.date else "the answers have no Date header"
        )
        return [skipped(ID, target, shown)]
    # The registry's clock was in [Date, Date + 1 s) at some moment between request and answer.
    most_s = (evidence.answered_at - theirs).total_seconds() - evidence.age_s
    least_s = (evidence.asked_at - theirs).total_seconds() - evidence.age_s - (2 if evidence.age_s else 1)
    middle_s, known_to_s = (most_s + least_s) / 2, (most_s - least_s) / 2
    surely_s = max(0.0, least_s, -most_s)
    side = "ahead of" if middle_s > 0 else "behind"
    observed = f"this machine is {_in_words(abs(middle_s))} {side} the registry (± {known_to_s:.1f} s)"
    if surely_s <= WARN_FROM_S:
        agreed = f"less than {max(abs(least_s), abs(most_s)):.1f} s apart" if surely_s == 0 else observed
        return [passed(ID, target, agreed, EXPECTED)]
    cure = (
        "synchronize both machines with a time server: check `timedatectl status` and `chronyc tracking` here and on "
        f"{target.route.host}; show its clock with `{curl(target.route)} -sI {target.route.url}/v2/`"
    )
    if surely_s > FAIL_FROM_S:
        observed += ": tokens and certificates may count as expired or not yet valid"
        return [failed(ID, target, observed, EXPECTED, cure, kind=APART)]
    return [warned(ID, target, observed, EXPECTED, cure, kind=APART)]


def _read(date: str) -> datetime | None:
    try:
        read = email.utils.parsedate_to_datetime(date)
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def _in_words(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.0f} hours"


CHECK = Check(
    id=ID,
    room=Room.CLIENT,
    looks_at="Compares this machine's clock with the Date header of an answer to `GET /v2/`, as exactly as whole seconds and "
    "the round trip allow.",
    statuses={
        Status.PASS: f"the clocks are at most {WARN_FROM_S:g} s apart, as far as can be measured",
        Status.WARN: f"they are more than {WARN_FROM_S:g} s apart",
        Status.FAIL: f"they are more than {FAIL_FROM_S / 60:g} minutes apart: tokens and certificates may count as expired",
        Status.SKIP: "the answers have no Date header",
    },
    advice="Synchronize both machines with a time server: `timedatectl status`, `chronyc tracking`.",
    kinds={
        APART: FindingKind(
            cause="One of the machines is not synchronized with a time server, or a virtual machine was paused. Over 5 minutes is a failure.",
            remedy="Synchronize both machines: `timedatectl status`, `chronyc tracking`.",
        ),
    },
    targets=every_route,
    probe=probe,
    judge=judge,
    needs=frozenset({"api"}),
)
