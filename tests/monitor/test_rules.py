"""The alert rules ask for nothing that pullbench does not export, and each leads to what to do."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.monitor.promql import faults, labels_left

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "monitoring" / "prometheus"


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((FOLDER / "pullbench.rules.yaml").read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def rule(name: str) -> dict[str, Any]:
    return next(entry for entry in rules() if entry["alert"] == name)


@pytest.mark.parametrize("entry", rules(), ids=lambda entry: str(entry["alert"]))
def test_every_rule_asks_for_series_and_labels_that_are_exported(entry: dict[str, Any]) -> None:
    assert faults(entry["expr"]) == []
    texts = " ".join(entry["annotations"].values())
    used = set(re.findall(r"\$labels\.(\w+)", texts))
    assert used <= labels_left(entry["expr"])


def test_the_alerts_that_operations_are_promised_are_there_with_their_limits() -> None:
    limits = {
        "PullbenchApiSlow": "> 2",
        "PullbenchPullsFail": "< 0.999",
        "PullbenchConsecutiveFailures": ">= 3",
        "PullbenchNoRunForAQuarter": "> 93 * 86400",
        "PullbenchCertificateEnds": "< 30 * 86400",
    }
    for name, limit in limits.items():
        assert limit in rule(name)["expr"]


@pytest.mark.parametrize("entry", rules(), ids=lambda entry: str(entry["alert"]))
def test_every_alert_has_a_summary_a_severity_and_tests_of_firing_and_of_silence(entry: dict[str, Any]) -> None:
    assert entry["annotations"]["summary"] and entry["annotations"]["description"]
    assert entry["labels"]["severity"] in ("warning", "critical")
    tests = yaml.safe_load((FOLDER / "pullbench.test.yaml").read_text())["tests"]
    expected = [
        case["exp_alerts"] for test in tests for case in test["alert_rule_test"] if case["alertname"] == entry["alert"]
    ]
    assert any(expected)
    assert not all(expected)


def test_the_alertmanager_example_speaks_of_alerts_and_labels_that_there_are() -> None:
    config = yaml.safe_load((FOLDER / "alertmanager.example.yaml").read_text())
    names = {entry["alert"] for entry in rules()}
    matchers = [
        text
        for inhibit in config["inhibit_rules"]
        for side in ("source", "target")
        for text in inhibit[f"{side}_matchers"]
    ]
    matchers += [text for route in config["route"]["routes"] for text in route["matchers"]]
    for text in matchers:
        found = re.fullmatch(r'(\w+)(=~|=)"(.+)"', text)
        assert found is not None, text
        if found[1] == "alertname":
            assert any(re.fullmatch(found[3], name) for name in names), text
            assert "+" in found[3] or set(found[3].split("|")) <= names, text
        else:
            assert (found[1], found[3]) in {("severity", "critical"), ("severity", "warning")}
    assert set(config["route"]["group_by"]) <= {"benchmark", "vantage", "kind", "alertname"}
