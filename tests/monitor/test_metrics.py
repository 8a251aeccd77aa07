"""From snapshots to series: what is exported, under which labels, and how many."""

import re
from dataclasses import replace
from datetime import timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pullbench.errors import ErrorCode
from pullbench.model.finding import Status
from pullbench.monitor import catalog
from pullbench.monitor.export import text
from pullbench.monitor.metrics import BUCKETS_S, Histogram, Snapshot, about, exposition
from tests.monitor.samples import (
    CERTIFICATE_ENDS_AT,
    DIGEST,
    EU,
    FINISHED_AT,
    IMAGE,
    STARTED_AT,
    US,
    cell,
    run,
    snapshot,
)

ALL = 10_000
PLACE = {"benchmark": "weekly", "vantage": "office", "kind": "benchmark"}


class Page:
    """What a scrape brings, read by Prometheus's own parser for Python."""

    def __init__(self, *snapshots: Snapshot, most_series: int = ALL) -> None:
        self.exposed = exposition(snapshots, most_series)
        self.text = text(self.exposed.families()).decode()
        self.families = list(text_string_to_metric_families(self.text))
        self.samples = [sample for family in self.families for sample in family.samples]

    def value(self, name: str, **labels: str) -> float | None:
        """Of the one sample that has these labels beside those of the run; None where there is none."""
        wanted = PLACE | labels
        found = [s.value for s in self.samples if s.name == name and wanted.items() <= s.labels.items()]
        assert len(found) <= 1, f"{name}: {len(found)} samples have {wanted}"
        return found[0] if found else None

    def of(self, name: str) -> list[dict[str, str]]:
        return [dict(sample.labels) for sample in self.samples if sample.name == name]


def test_every_exported_series_stands_in_the_catalog_with_just_those_labels() -> None:
    page = Page(snapshot())
    listed = {name: set(labels) for metric in catalog.METRICS for name, labels in metric.series.items()}
    assert page.samples
    for sample in page.samples:
        assert set(sample.labels) == listed[sample.name], sample.name


def test_every_metric_of_the_catalog_is_exported() -> None:
    whole = snapshot(slos=[replace(entry, measured=1.0, low=0.5) for entry in snapshot().slos])
    exposed = exposition([whole], ALL)
    own = about(exposed, readable=True, read_at_s=1.0)
    exported = {sample.metric.name for sample in (*exposed.samples, *own)}
    assert exported == {metric.name for metric in catalog.METRICS}


def test_no_label_and_no_value_holds_an_image_or_a_digest() -> None:
    page = Page(snapshot())
    assert IMAGE not in page.text
    assert DIGEST not in page.text
    assert not re.search(r"sha256|library/", page.text)


def test_no_more_images_or_concurrencies_make_no_more_series() -> None:
    one = Page(snapshot(cells=[cell(EU, 1)]))
    many = Page(snapshot(cells=[cell(EU, at_once) for at_once in range(1, 33)]))
    assert len(many.samples) == len(one.samples)


def test_the_cells_of_an_engine_registry_and_proxy_are_summed_up() -> None:
    page = Page(snapshot())
    labels = EU._asdict()
    assert page.value("pullbench_pulls", **labels) == 24
    assert page.value("pullbench_pulls_succeeded", **labels) == 22
    assert page.value("pullbench_pulls_retried", **labels) == 3
    assert page.value("pullbench_received_bytes", **labels) == 24_000


def test_durations_are_a_cumulative_histogram_whose_bounds_are_inclusive() -> None:
    page = Page(snapshot())
    buckets = {
        bound: page.value("pullbench_pull_duration_seconds_bucket", **EU._asdict(), le=bound)
        for bound in ("0.025", "0.25", "0.5", "300.0", "+Inf")
    }
    assert buckets == {"0.025": 2, "0.25": 2, "0.5": 3, "300.0": 3, "+Inf": 4}
    assert page.value("pullbench_pull_duration_seconds_count", **EU._asdict()) == 4
    assert page.value("pullbench_pull_duration_seconds_sum", **EU._asdict()) == pytest.approx(400.445)
    assert page.value("pullbench_pull_duration_seconds_bucket", **US._asdict(), le="2.0") == 1
    assert page.value("pullbench_pull_duration_seconds_bucket", **US._asdict(), le="1.0") == 0


def test_the_usual_slo_is_a_bound_of_the_histogram() -> None:
    assert 3.0 in BUCKETS_S
    assert list(BUCKETS_S) == sorted(set(BUCKETS_S))


def test_a_histogram_of_nothing_has_buckets_of_zero() -> None:
    empty = Histogram.of([])
    assert {count for _, count in empty.buckets} == {0}
    assert empty.sum_s == 0


def test_the_newest_run_says_when_it_ended_and_how() -> None:
    page = Page(snapshot(run=run(status="incomplete"), completed_at=STARTED_AT - timedelta(days=7)))
    assert page.value("pullbench_last_run_timestamp_seconds") == FINISHED_AT.timestamp()
    assert page.value("pullbench_last_complete_run_timestamp_seconds") == (STARTED_AT - timedelta(days=7)).timestamp()
    statuses = {name: page.value("pullbench_last_run_status", status=name) for name in catalog.RUN_STATUSES}
    assert statuses == {"complete": 0, "incomplete": 1, "failed": 0}
    verdicts = {name: page.value("pullbench_last_run_verdict", verdict=name) for name in catalog.RUN_VERDICTS}
    assert verdicts == {"met": 0, "partly": 0, "missed": 1, "not_shown": 0, "failed": 0}
    assert page.value("pullbench_trials_planned") == 6
    assert page.value("pullbench_trials_finished") == 5
    assert [labels["run_id"] for labels in page.of("pullbench_last_run_info")] == ["20261123T161500Z-3fa2"]


def test_where_no_run_was_ever_complete_there_is_no_time_of_one() -> None:
    page = Page(snapshot(completed_at=None))
    assert page.value("pullbench_last_complete_run_timestamp_seconds") is None
    assert page.value("pullbench_last_run_timestamp_seconds") is not None


def test_what_could_not_be_measured_has_no_series_rather_than_a_zero() -> None:
    page = Page(snapshot())
    assert page.value("pullbench_api_p99_seconds") is None
    assert page.value("pullbench_api_p99_low_seconds") == 2.25
    assert page.value("pullbench_pull_success_ratio") == 0.75
    assert page.value("pullbench_pull_mean_seconds") == 1.5


def test_an_slo_that_the_spec_leaves_out_is_measured_and_not_judged() -> None:
    page = Page(snapshot())
    assert page.value("pullbench_consecutive_failures") == 2
    assert page.value("pullbench_objective_target", objective="consecutive_failures") is None
    assert page.value("pullbench_objective_verdict", objective="consecutive_failures", verdict="met") is None
    assert page.value("pullbench_objective_target", objective="success_rate") == 0.999
    assert page.value("pullbench_objective_verdict", objective="success_rate", verdict="missed") == 1
    assert page.value("pullbench_objective_verdict", objective="success_rate", verdict="met") == 0


def test_every_slo_has_its_measured_value_by_engine() -> None:
    page = Page(snapshot())
    of_docker = {"objective": "p95_pull_s", "engine": "docker"}
    assert page.value("pullbench_objective_measured", **of_docker) == 9.5
    assert page.value("pullbench_objective_target", **of_docker) == 8.0
    assert page.value("pullbench_objective_verdict", **of_docker, verdict="missed") == 1
    assert page.value("pullbench_objective_measured", objective="p99_api_s") is None
    assert {labels["engine"] for labels in page.of("pullbench_pull_success_ratio")} == {"wire"}


def test_findings_are_counted_by_check_and_status_whatever_their_targets_are() -> None:
    page = Page(snapshot())
    assert page.value("pullbench_check_findings", check="image", status="fail") == 1
    assert page.value("pullbench_check_findings", check="image", status="pass") == 0
    assert len(page.of("pullbench_check_findings")) == 2 * len(Status)


def test_failed_pulls_are_counted_by_their_code() -> None:
    page = Page(snapshot())
    assert page.value("pullbench_pull_errors", code="reset") == 2
    assert {labels["code"] for labels in page.of("pullbench_pull_errors")} <= set(ErrorCode)


def test_the_certificate_that_ends_first_is_the_one_of_its_target() -> None:
    page = Page(snapshot())
    ends_at_s = page.value("pullbench_certificate_expiry_timestamp_seconds", target="eu")
    assert ends_at_s == CERTIFICATE_ENDS_AT.timestamp()


def test_a_benchmark_at_two_vantages_and_two_kinds_are_series_of_their_own() -> None:
    others = [snapshot(run=run(vantage="berlin")), snapshot(run=run(kind="stress"))]
    page = Page(snapshot(), *others)
    places = [(labels["vantage"], labels["kind"]) for labels in page.of("pullbench_last_run_timestamp_seconds")]
    assert sorted(places) == [("berlin", "benchmark"), ("office", "benchmark"), ("office", "stress")]


def test_names_with_quotes_and_line_ends_come_back_as_they_were() -> None:
    name = 'a "quoted"\nname \\ with \u00fc'
    page = Page(snapshot(run=run(name=name)))
    assert page.of("pullbench_last_run_timestamp_seconds")[0]["benchmark"] == name


def test_the_limit_keeps_what_alerts_stand_on_and_the_newest_runs_groups() -> None:
    older = snapshot(run=run(name="older", started_at=STARTED_AT - timedelta(days=1)))
    everything = exposition([older, snapshot()], ALL)
    whole = Page(older, snapshot(), most_series=everything_but_one_group(everything))
    assert {labels["benchmark"] for labels in whole.of("pullbench_last_run_timestamp_seconds")} == {"weekly", "older"}
    groups = {(labels["benchmark"], labels["registry"]) for labels in whole.of("pullbench_pulls")}
    assert groups == {("weekly", "eu"), ("weekly", "us"), ("older", "eu")}
    assert whole.exposed.dropped == 4 + len(BUCKETS_S) + 3
    assert whole.exposed.dropped_of == ("older at office",)


def everything_but_one_group(exposed: object) -> int:
    return sum(sample.series for sample in exposed.samples) - 1  # type: ignore[attr-defined]


def test_what_is_kept_and_what_is_dropped_is_all_there_is() -> None:
    snapshots = [snapshot(), snapshot(run=run(vantage="berlin"))]
    total = sum(sample.series for sample in exposition(snapshots, ALL).samples)
    for most in (1, 50, 100, total - 1, total):
        exposed = exposition(snapshots, most)
        kept = sum(sample.series for sample in exposed.samples)
        assert kept <= most
        assert kept + exposed.dropped == total


def test_the_count_of_series_is_what_prometheus_would_keep() -> None:
    page = Page(snapshot())
    assert sum(sample.series for sample in page.exposed.samples) == len(page.samples)


def test_the_export_tells_of_itself() -> None:
    exposed = exposition([], ALL)
    said = {sample.metric.name: sample.value for sample in about(exposed, readable=False, read_at_s=12.5)}
    assert said["pullbench_results_readable"] == 0
    assert said["pullbench_results_read_timestamp_seconds"] == 12.5
    assert said["pullbench_series_dropped"] == 0
