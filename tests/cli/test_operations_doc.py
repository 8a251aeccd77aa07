"""docs/operations.md: every alert leads to its section, and what it shows is there."""

import re
from pathlib import Path

import pytest
import yaml

from pullbench.monitor import catalog
from pullbench.monitor.logs import VARIABLE
from pullbench.preflight.checks import CHECKS
from pullbench.preflight.runner import select
from tests.cli.command_lines import parsed
from tests.cli.test_docs import anchors, shown_commands

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "operations.md"
ALERTS = yaml.safe_load((ROOT / "monitoring" / "prometheus" / "pullbench.rules.yaml").read_text())["groups"][0]["rules"]


def text() -> str:
    return PAGE.read_text(encoding="utf-8")


def section(title: str) -> str:
    found = re.search(rf"^(#+) {re.escape(title)}\n(.*?)(?=^#{{1,3}} |\Z)", text(), re.MULTILINE | re.DOTALL)
    assert found is not None, title
    return found[2]


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: str(alert["alert"]))
def test_every_alert_leads_to_its_section_which_says_what_to_do(alert: dict[str, dict[str, str]]) -> None:
    page, _, anchor = alert["annotations"]["runbook_url"].partition("#")
    assert page.endswith("/docs/operations.md")
    assert anchor in anchors(text())
    assert anchor == str(alert["alert"]).lower()
    steps = section(str(alert["alert"]))
    assert re.search(r"^1\. ", steps, re.MULTILINE)
    assert re.search(r"`pullbench|`openssl", steps.replace("`pullbench_", ""))


def test_every_section_on_an_alert_is_of_one_that_there_is() -> None:
    named = set(re.findall(r"^### (Pullbench\w+)$", text(), re.MULTILINE))
    assert named == {alert["alert"] for alert in ALERTS}
    assert set(re.findall(r"`(Pullbench\w+)`", text())) <= named


def test_the_table_of_metrics_is_the_catalog() -> None:
    rows = re.findall(r"^\| `(pullbench_\w+)` \| (.*?) \| (.*?) \|$", text(), re.MULTILINE)
    assert [name for name, _, _ in rows] == [metric.name for metric in catalog.METRICS]
    for metric, (_, labels, says) in zip(catalog.METRICS, rows, strict=True):
        shared = set() if "none" in labels else set(catalog.RUN_LABELS)
        assert shared | set(re.findall(r"`(\w+)`", labels)) == set(metric.labels), metric.name
        assert says == metric.says


def test_every_check_that_is_named_to_preflight_is_one() -> None:
    for arguments in shown_commands(text()):
        if arguments[0] == "preflight" and "--only" in arguments:
            select(CHECKS, only=frozenset(parsed(arguments)[1]["only"]), skip=frozenset())


def test_the_log_is_told_as_it_is_written() -> None:
    source = (ROOT / "pullbench" / "monitor" / "logs.py").read_text()
    written = set(re.findall(r'"\w+", "((?:run|check|trial|pull)-\w+)"', source))
    assert len(written) == 6
    told = set(re.findall(r"`((?:run|check|trial|pull)-\w+)`", section("Logs")))
    assert told == written
    assert VARIABLE in section("Logs")
