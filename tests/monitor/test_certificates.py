"""When certificates end, from the evidence of the check `tls`."""

from datetime import UTC, datetime, timedelta

import pytest

from pullbench.model.finding import Finding, Status
from pullbench.monitor.metrics import expiries
from tests.monitor.samples import tls_finding

SOON = datetime(2026, 12, 1, tzinfo=UTC)


def test_each_target_has_the_end_of_its_certificate_that_ends_first() -> None:
    found = expiries([tls_finding("eu", SOON + timedelta(days=400), SOON), tls_finding("eu via cache", SOON)])
    assert found == {"eu": SOON, "eu via cache": SOON}


def test_a_certificate_that_could_not_be_read_does_not_count() -> None:
    unread = datetime.max.replace(tzinfo=UTC)
    assert expiries([tls_finding("eu", unread, SOON)]) == {"eu": SOON}
    assert expiries([tls_finding("eu", unread)]) == {}


@pytest.mark.parametrize("evidence", [None, "{}", '{"handshake": null}', '{"cut": "{\\"hand"}', "[1]", '"text"'])
def test_a_target_without_a_whole_handshake_is_left_out(evidence: str | None) -> None:
    finding = Finding(check="tls", target="eu", status=Status.SKIP, observed="plain HTTP", evidence=evidence)
    assert expiries([finding]) == {}


def test_other_checks_say_nothing_of_certificates() -> None:
    finding = tls_finding("eu", SOON)
    other = Finding(check="api", target="eu", status=Status.PASS, observed=finding.observed, evidence=finding.evidence)
    assert expiries([other]) == {}
