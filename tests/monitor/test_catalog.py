"""The catalog against Prometheus's rules for names, and against what the rest of pullbench can say."""

import re
from typing import get_args

from pullbench.model.record import RunStatus
from pullbench.monitor import catalog
from pullbench.stats.slo import SloVerdict


def test_names_and_labels_are_prometheus_names_and_told_once() -> None:
    names = [name for metric in catalog.METRICS for name in metric.series]
    assert len(names) == len(set(names))
    for metric in catalog.METRICS:
        assert re.fullmatch(r"pullbench_[a-z0-9_]+", metric.name)
        assert len(metric.labels) == len(set(metric.labels))
        assert all(re.fullmatch(r"[a-z][a-z0-9_]*", label) for label in metric.labels)
        assert metric.says.endswith(".")


def test_durations_and_instants_are_seconds_sizes_bytes_and_shares_ratios() -> None:
    for metric in catalog.METRICS:
        assert not re.search(r"_(s|ms|milliseconds|kb|mb|percent)$", metric.name), metric.name


def test_no_gauge_is_named_like_a_counter() -> None:
    assert not [metric.name for metric in catalog.METRICS if metric.name.endswith("_total")]


def test_the_closed_label_values_are_those_of_runs_and_slos() -> None:
    assert set(catalog.RUN_STATUSES) == set(get_args(RunStatus)) - {"running"}
    assert set(catalog.SLO_VERDICTS) == {str(verdict) for verdict in SloVerdict}


def test_no_label_is_meant_for_images_or_digests() -> None:
    labels = {label for metric in catalog.METRICS for label in metric.labels}
    assert not labels & {"image", "digest", "tag", "repository", "layer"}
