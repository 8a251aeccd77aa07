"""What a probe saw is kept as JSON that nothing in it can break or blow up."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pullbench.errors import ErrorCode
from pullbench.preflight.check import Fault
from pullbench.preflight.evidence import MOST_CHARACTERS, as_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    at: datetime
    headers: dict[str, str]
    addresses: frozenset[str]
    fault: Fault | None = None
    token: str = field(default="", repr=False)


def test_fields_keep_their_names_and_sets_are_in_order() -> None:
    seen = Seen(at=datetime(2026, 1, 2, tzinfo=UTC), headers={"Via": "1.1 squid"}, addresses=frozenset({"b", "a"}))

    assert json.loads(as_json(seen)) == {
        "at": "2026-01-02T00:00:00+00:00",
        "headers": {"Via": "1.1 squid"},
        "addresses": ["a", "b"],
        "fault": None,
    }


def test_a_field_that_is_kept_out_of_the_repr_is_kept_out_of_the_evidence() -> None:
    assert "hunter2" not in as_json(Seen(at=datetime.now(UTC), headers={}, addresses=frozenset(), token="hunter2"))


def test_a_fault_keeps_its_code() -> None:
    assert json.loads(as_json(Fault(code=ErrorCode.DNS, text="no such host")))["code"] == "dns"


def test_a_stranger_s_text_has_no_control_characters() -> None:
    assert "\\u001b" not in as_json({"Server": "nginx\x1b[2J"})


def test_long_lists_say_how_much_is_left_out() -> None:
    assert json.loads(as_json(list(range(300))))[-1] == "and 100 more"


def test_a_document_that_is_too_long_is_cut_and_stays_json() -> None:
    document = json.loads(as_json({str(number): "x" * 200 for number in range(500)}))

    assert len(document["cut"]) == MOST_CHARACTERS
