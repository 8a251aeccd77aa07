"""Impossible records raise when they are made, and findings have a verdict."""

import dataclasses

import pytest

from pullbench.errors import ErrorCode
from pullbench.model.capability import CAPABILITIES, Capability
from pullbench.model.finding import Finding, Status, finding_of_document, findings_document, worst
from tests.store import sample


def finding(status: Status) -> Finding:
    return Finding(check="dns", target="eu", status=status, observed="x", remedy="do y")


def test_a_pull_succeeded_or_has_an_error_code_and_never_both() -> None:
    pull = sample.pull(0)
    for changes in ({"ok": False}, {"error_code": ErrorCode.RESET}):
        with pytest.raises(ValueError, match="error code"):
            dataclasses.replace(pull, **changes)


@pytest.mark.parametrize("status", [Status.FAIL, Status.ERROR, Status.WARN])
def test_a_bad_finding_needs_a_remedy(status: Status) -> None:
    with pytest.raises(ValueError, match="needs a remedy"):
        Finding(check="dns", target="eu", status=status, observed="x")


def test_a_finding_comes_back_from_its_document() -> None:
    whole = dataclasses.replace(
        finding(Status.FAIL), code=ErrorCode.RESET, parameters={"host": "r.example"}, evidence='{"total_s": 0.5}'
    )
    plain = finding(Status.PASS)
    assert [finding_of_document(each) for each in findings_document([whole, plain])["findings"]] == [whole, plain]
    older = {name: value for name, value in findings_document([plain])["findings"][0].items() if name != "code"}
    assert finding_of_document(older) == plain


@pytest.mark.parametrize(
    ("statuses", "verdict"),
    [
        ([Status.PASS, Status.FAIL, Status.ERROR], Status.FAIL),
        ([Status.WARN, Status.ERROR, Status.PASS], Status.ERROR),
        ([Status.PASS, Status.WARN], Status.WARN),
        ([Status.SKIP, Status.PASS], Status.PASS),
        ([Status.SKIP], Status.SKIP),
        ([], Status.SKIP),
    ],
)
def test_the_worst_finding_is_the_verdict(statuses: list[Status], verdict: Status) -> None:
    assert worst(map(finding, statuses)) is verdict


def test_every_refusal_names_a_factor_and_a_value() -> None:
    for kind, capability in CAPABILITIES.items():
        for factor in capability.cannot:
            assert factor == "engine" or factor.partition(":")[0] in ("proxy", "cache", "proxy_cache", "auth"), (
                kind,
                factor,
            )


def test_a_capability_refuses_what_it_names_alone() -> None:
    capability = Capability(has_store=False, cannot={"cache:warm": "it forgets"})
    assert capability.refusal("cache", "warm") == "it forgets"
    assert capability.refusal("cache", "cold") is None
