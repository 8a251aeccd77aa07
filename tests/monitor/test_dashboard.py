"""The Grafana dashboard asks for nothing that pullbench does not export."""

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest

from pullbench.monitor import catalog
from pullbench.monitor.metrics import Histogram
from tests.monitor.promql import faults, labels_left

DASHBOARD = Path(__file__).parents[2] / "monitoring" / "grafana" / "pullbench.json"
BOUNDS = frozenset(bound for bound, _ in Histogram.of([]).buckets)
LABEL_VALUES = re.compile(r"label_values\((?P<expr>.+), (?P<label>\w+)\)")


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return found


def panels() -> list[dict[str, Any]]:
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def queries() -> list[tuple[str, str, str]]:
    """Title, expression and legend of every query, the annotations' too."""
    found = [
        (panel["title"], target["expr"], target["legendFormat"]) for panel in panels() for target in panel["targets"]
    ]
    notes = dashboard()["annotations"]["list"]
    return found + [(note["name"], note["expr"], note["titleFormat"] + note["textFormat"]) for note in notes]


def variables() -> list[dict[str, Any]]:
    return [entry for entry in dashboard()["templating"]["list"] if entry["type"] == "query"]


@pytest.mark.parametrize(("title", "expr", "legend"), queries(), ids=[f"{q[0]}: {q[1][:40]}" for q in queries()])
def test_every_query_asks_for_series_and_labels_that_are_exported(title: str, expr: str, legend: str) -> None:
    assert faults(expr, bounds=BOUNDS) == []
    named = set(re.findall(r"\{\{(\w+)\}\}", legend))
    assert named <= labels_left(expr), f"{title}: the legend names labels that the result does not have"


@pytest.mark.parametrize("variable", variables(), ids=lambda entry: str(entry["name"]))
def test_every_variable_offers_values_of_a_label_that_is_exported(variable: dict[str, Any]) -> None:
    found = LABEL_VALUES.fullmatch(variable["query"]["query"])
    assert found is not None
    assert variable["definition"] == variable["query"]["query"]
    assert faults(found["expr"]) == []
    assert found["label"] in labels_left(found["expr"])


def test_every_variable_in_a_query_is_one_of_the_dashboard() -> None:
    known = {entry["name"] for entry in dashboard()["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)\}?", " ".join(expr for _, expr, _ in queries())))
    assert used <= known
    assert {target["datasource"]["uid"] for panel in panels() for target in panel["targets"]} == {"${datasource}"}


def test_every_metric_that_is_exported_is_shown() -> None:
    shown = " ".join(expr for _, expr, _ in queries())
    unseen = [metric.name for metric in catalog.METRICS if metric.name not in shown]
    assert unseen == []


def test_panels_have_ids_of_their_own_and_do_not_lie_on_each_other() -> None:
    every = dashboard()["panels"]
    assert len({panel["id"] for panel in every}) == len(every)
    for one, other in itertools.combinations([panel["gridPos"] for panel in every], 2):
        apart = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert apart, (one, other)
        assert one["x"] + one["w"] <= 24


def test_columns_of_a_table_that_are_hidden_or_renamed_are_there() -> None:
    meta = {"Time", "__name__", "instance", "job", "Value"}
    for panel in (entry for entry in panels() if entry["type"] == "table"):
        labels = {label for target in panel["targets"] for label in labels_left(target["expr"])}
        values = {f"Value #{target['refId']}" for target in panel["targets"]}
        for change in panel["transformations"]:
            for part in ("excludeByName", "indexByName", "renameByName"):
                assert set(change["options"].get(part, ())) <= labels | values | meta, panel["title"]


@pytest.mark.parametrize(
    "expr",
    [
        "pullbench_pulls_total",
        'pullbench_pulls{image="a"}',
        "sum by (image) (pullbench_pulls)",
        'pullbench_last_run_status{status="done"}',
        'pullbench_pull_duration_seconds_bucket{le="3"}',
        "pullbench_pull_duration_seconds",
        "up",
    ],
)
def test_a_query_for_what_is_not_exported_is_seen(expr: str) -> None:
    assert faults(expr, bounds=BOUNDS)
