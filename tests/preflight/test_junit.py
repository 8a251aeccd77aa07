"""JUnit XML that Jenkins' own schema accepts, whatever a registry says.

junit-10.xsd is the schema of Jenkins' xUnit plugin (jenkinsci/xunit-plugin, src/main/resources/org/jenkinsci/plugins/xunit/
types/model/xsd/), unchanged, as the source distribution of pytest 8.3.4 carries it; MIT licence, which stands in it.
"""

import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pytest
import xmlschema
from hypothesis import given
from hypothesis import strategies as st

from pullbench.errors import ErrorCode
from pullbench.model.finding import Finding, Status
from pullbench.preflight.junit import junit_xml

AT = datetime(2026, 11, 23, 16, 15, tzinfo=UTC)
EVERY_STATUS = [
    Finding(check="dns", target="eu", status=Status.PASS, observed="1.2.3.4", duration_s=0.25),
    Finding(
        check="tls", target="eu", status=Status.WARN, observed="20 days left", remedy="renew it", duration_s=1234.5
    ),
    Finding(
        check="auth",
        target="eu",
        status=Status.FAIL,
        observed="[forbidden] no",
        expected="yes",
        remedy="log in",
        code=ErrorCode.FORBIDDEN,
    ),
    Finding(check="quota", target="eu", status=Status.ERROR, observed="[reset] broke", remedy="report it"),
    Finding(check="image", target="eu app:1", status=Status.SKIP, observed="not run: auth failed for eu"),
    Finding(check="dns", target="docker daemon unix:///x.sock", status=Status.PASS, observed="there"),
]


@cache
def jenkins() -> xmlschema.XMLSchema:
    return xmlschema.XMLSchema(str(Path(__file__).parent / "junit-10.xsd"))


def made_of(*findings: Finding) -> ET.Element:
    content = junit_xml(findings, name="ready", checked_at=AT)
    root = ET.fromstring(content)
    jenkins().validate(root)
    return root


def case(root: ET.Element, name: str) -> ET.Element:
    (found,) = [each for each in root.iter("testcase") if each.get("name") == name]
    return found


def test_every_status_has_its_element_and_the_counts_are_right() -> None:
    root = made_of(*EVERY_STATUS)
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("6", "1", "1")
    eu, daemon = root.findall("testsuite")
    assert (eu.get("name"), daemon.get("name")) == ("eu", "docker daemon unix:///x.sock")
    assert [eu.get(key) for key in ("tests", "failures", "errors", "skipped", "time")] == [
        "5",
        "1",
        "1",
        "1",
        "1234.750",
    ]
    assert eu.get("timestamp") == "2026-11-23T16:15:00"
    failure = case(root, "auth eu").find("failure")
    assert failure is not None
    assert (failure.get("type"), failure.get("message")) == ("forbidden", "[forbidden] no")
    assert [line.partition(": ")[2] for line in (failure.text or "").splitlines()] == [
        "[forbidden] no",
        "yes",
        "log in",
        "pullbench errors forbidden",
    ]
    error, skipped = case(root, "quota eu").find("error"), case(root, "image eu app:1").find("skipped")
    assert error is not None and error.get("type") == "quota"
    assert skipped is not None and skipped.get("message") == EVERY_STATUS[4].observed


def test_a_warning_passes_and_is_told_and_counted() -> None:
    root = made_of(*EVERY_STATUS)
    warned = case(root, "tls eu")
    assert [child.tag for child in warned] == ["system-out"]
    written = warned.findtext("system-out", "").splitlines()
    assert [line.partition(": ")[2] for line in written] == ["20 days left", "renew it", "pullbench errors tls"]
    properties = [entry.attrib for entry in root.findall("testsuite[1]/properties/property")]
    assert properties == [{"name": "warnings", "value": "1"}]


def test_names_are_unique_because_gitlab_keeps_the_first_alone() -> None:
    twice = Finding(check="tls", target="eu", status=Status.PASS, observed="x")
    names = [each.get("name") for each in made_of(twice, twice).iter("testcase")]
    assert names == ["tls eu", "tls eu (2)"]


def test_a_dot_in_a_registrys_name_makes_no_package_of_it() -> None:
    root = made_of(Finding(check="dns", target="eu.example", status=Status.PASS, observed="x"))
    assert case(root, "dns eu.example").get("classname") == "preflight.eu_example"


@pytest.mark.parametrize("text", ["\x00\x08\x1b[31m", "]]>&<\"'", "\ud800", "\ufffe", "a\r\nb\tc", "\u0085\u202e"])
def test_text_that_xml_cannot_hold_is_replaced(text: str) -> None:
    made_of(
        Finding(check="api", target=f"eu{text}", status=Status.FAIL, observed=text, expected=text, remedy=text + "x")
    )


@given(st.text(max_size=60))
@pytest.mark.promise("foreign text", "JUnit XML is valid whatever a registry says")
def test_the_text_of_junit_is_valid_xml_whatever_a_registry_says(text: str) -> None:
    made_of(Finding(check="api", target="eu", status=Status.FAIL, observed=text, expected=text, remedy=text + "x"))


def test_no_finding_is_a_valid_document() -> None:
    assert made_of().get("tests") == "0"
