"""What a probe saw is kept as JSON that nothing in it can break or blow up."""

import base64
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from pullbench.errors import ErrorCode
from pullbench.model.finding import Finding, Status
from pullbench.preflight.check import ObservedFault
from pullbench.preflight.runner import MOST_CHARACTERS, as_json, without_secrets
from pullbench.registry.auth import Credentials


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    at: datetime
    headers: dict[str, str]
    addresses: frozenset[str]
    fault: ObservedFault | None = None
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
    assert json.loads(as_json(ObservedFault(code=ErrorCode.DNS, text="no such host")))["code"] == "dns"


def test_a_stranger_s_text_has_no_control_characters() -> None:
    assert "\\u001b" not in as_json({"Server": "nginx\x1b[2J"})


def test_long_lists_say_how_much_is_left_out() -> None:
    assert json.loads(as_json(list(range(300))))[-1] == "and 100 more"


def test_a_document_that_is_too_long_is_cut_and_stays_json() -> None:
    document = json.loads(as_json({str(number): "x" * 200 for number in range(500)}))

    assert len(document["cut"]) == MOST_CHARACTERS


ANN = Credentials(username="ann", password='pa"55word', identity_token="refresh-token-1")
ANN_BASIC = base64.b64encode(b'ann:pa"55word').decode()


def finding_of(text: str, evidence: object = None) -> Finding:
    return Finding(
        check="auth",
        target="eu",
        status=Status.FAIL,
        observed=text,
        expected=text,
        remedy=text,
        evidence=None if evidence is None else as_json(evidence),
        parameters={"endpoint": text},
    )


@pytest.mark.parametrize(
    "echo",
    [
        'you sent pa"55word',
        "you sent refresh-token-1!",
        f"you sent {ANN_BASIC}",
        "Authorization: Bearer c29tZS1vcGFxdWUtdG9rZW4",
        "authorization: basic dXNlcjpwYXNzd29yZA==",
        "see https://user:hunter2hunter2@storage.example/x",
        "token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJl",
    ],
)
@pytest.mark.promise("secrets", "A finding and its evidence contain no secret that a registry repeats")
def test_without_secrets_leaves_nothing_that_a_registry_echoes_in_a_finding_or_its_evidence(echo: str) -> None:
    clean = without_secrets(finding_of(echo, {"body": [echo]}), [ANN])

    told = json.dumps([clean.observed, clean.expected, clean.remedy, clean.evidence, dict(clean.parameters)])
    secrets = ["55word", "refresh-token-1", ANN_BASIC, "c29tZS1v", "dXNlcjpw", "hunter2", "eyJzdWIi"]
    assert [secret for secret in secrets if secret in told] == []
    assert "(redacted)" in clean.observed
    assert "(redacted)" in json.loads(clean.evidence or "")["body"][0]


def test_what_is_no_secret_stays() -> None:
    text = (
        'Bearer realm="https://auth.example/token",service="r" sha256:0123456789abcdef0123456789abcdef '
        "https://r.example:5000/v2/team/app@sha256:ab Basic authentication is asked for"
    )
    finding = finding_of(text, [text])
    assert without_secrets(finding, [ANN]) == finding
    assert without_secrets(finding, [Credentials(username="a", password="team")]) == finding, "a word of four letters"
