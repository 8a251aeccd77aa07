"""docs/operations.md: every alert leads to its section, and what it shows is there."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from flows.cli import app
from pullbench.monitor import catalog
from pullbench.monitor.logs import VARIABLE
from pullbench.preflight.checks import CHECKS
from pullbench.preflight.runner import select
from tests.flows.command_lines import commands_in, parsed

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "operations.md"
ALERTS = yaml.safe_load((ROOT / "monitoring" / "prometheus" / "pullbench.rules.yaml").read_text())["groups"][0]["rules"]


def text() -> str:
    return PAGE.read_text(encoding="utf-8")


def section(title: str) -> str:
    found = re.search(rf"^(#+) {re.escape(title)}\n(.*?)(?=^#{{1,3}} |\Z)", text(), re.MULTILINE | re.DOTALL)
    assert found is not None, title
    return found[2]


def anchors() -> set[str]:
    """As GitHub and GitLab make them of headings."""
    titles = re.findall(r"^#+ (.+)$", text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: str(alert["alert"]))
def test_every_alert_leads_to_its_section_which_says_what_to_do(alert: dict[str, dict[str, str]]) -> None:
    page, _, anchor = alert["annotations"]["runbook_url"].partition("#")
    assert page.endswith("/docs/operations.md")
    assert anchor in anchors()
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


def shown_commands() -> Iterator[list[str]]:
    """Every call of pullbench in blocks of code and inside sentences."""
    blocks = re.findall(r"^```\n(.*?)^```", text(), re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    scheduled = [re.sub(r"^[\d*]+ [\d*]+ [\d*]+ [\d*]+ [\d*]+ +", "", line) for line in lines]
    yield from commands_in(scheduled, {})
    sentences = re.sub(r"^```\n.*?^```", "", text(), flags=re.MULTILINE | re.DOTALL)
    for code in re.findall(r"`([^`]+)`", sentences):
        words = " ".join(code.split())
        if words.startswith("pullbench "):
            yield from commands_in([words], {})


def test_every_command_that_is_shown_is_one_that_there_is_with_its_options() -> None:
    calls = [arguments for arguments in shown_commands() if len(arguments) > 1]
    names = [parsed(arguments)[0] for arguments in calls]
    assert {"run", "compare", "baseline set", "metrics push", "runs prune", "preflight"} <= set(names)
    alone = {arguments[0] for arguments in shown_commands() if len(arguments) == 1}
    groups = {group.name for group in app.registered_groups if group.name}
    commands = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    below = {
        command.name or command.callback.__name__
        for group in app.registered_groups
        if group.typer_instance is not None and not group.name
        for command in group.typer_instance.registered_commands
        if command.callback
    }
    assert alone <= groups | commands | below


def test_every_check_that_is_named_to_preflight_is_one() -> None:
    for arguments in shown_commands():
        if arguments[0] == "preflight" and "--only" in arguments:
            select(CHECKS, only=frozenset(parsed(arguments)[1]["only"]), skip=frozenset())


def test_every_link_leads_to_a_file_or_a_section() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", text()):
        path, _, anchor = target.partition("#")
        if path:
            assert (PAGE.parent / path).exists(), target
        if not path:
            assert anchor in anchors(), target


def test_the_log_is_told_as_it_is_written() -> None:
    source = (ROOT / "pullbench" / "monitor" / "logs.py").read_text()
    written = set(re.findall(r'"\w+", "((?:run|check|trial|pull)-\w+)"', source))
    assert len(written) == 6
    told = set(re.findall(r"`((?:run|check|trial|pull)-\w+)`", section("Logs")))
    assert told == written
    assert VARIABLE in section("Logs")
