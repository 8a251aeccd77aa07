"""Prometheus metrics of stored runs: the newest run of each benchmark at each vantage, as gauges.

A run is a batch job, so there are no counters: a new run replaces the one before. Labels are names in the spec, check ids
and error codes, never images or digests, and the number of series is limited.
"""

import json
import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from pullbench import __version__
from pullbench.errors import MissingExtraError
from pullbench.model.finding import Finding, Status
from pullbench.model.record import RunRecord
from pullbench.monitor import catalog


class Group(NamedTuple):
    """The labels that distinguish a run's series: names in the spec, which limits their number."""

    engine: str
    registry: str
    region: str
    proxy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSlo:
    """One SLO of one engine; `target` and `verdict` are None where the spec does not set it or does not score the engine.

    `measured` and `low`, the lower bound, are None where too little was measured. `engine` is empty where no engine reports
    API answers.
    """

    name: str
    engine: str
    target: float | None
    measured: float | None
    low: float | None
    verdict: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The newest ended run of a benchmark at a vantage.

    `cells` are rows of `report.tables.cells`, `errors` pulls by error code, `latencies_s` those of the successful pulls.
    """

    run: RunRecord
    completed_at: datetime | None
    """When the newest complete run ended, which may be an older run; None if there is none."""
    verdict: str
    """The status of the report's headline, such as `met`."""
    trials_finished: int
    cells: Sequence[Mapping[str, Any]]
    latencies_s: Mapping[Group, Sequence[float]]
    slos: Sequence[EngineSlo]
    errors: Mapping[str, int] = field(default_factory=dict)
    findings: Sequence[Finding] = ()


_CHECK = "tls"


def expiries(findings: Iterable[Finding]) -> dict[str, datetime]:
    """By the check's target (`eu`, `eu via cache`), the earliest expiry of a certificate, as the check judges it.

    A target without a handshake, or with incomplete evidence, is left out.
    """
    found = {finding.target: _ends_first(finding.evidence) for finding in findings if finding.check == _CHECK}
    return {target: ends_at for target, ends_at in found.items() if ends_at is not None}


def _ends_first(evidence: str | None) -> datetime | None:
    try:
        handshake: Any = json.loads(evidence or "null")["handshake"]
        certificates = handshake["path"] or handshake["chain"]
        ends = [datetime.fromisoformat(certificate["ends_at"]) for certificate in certificates]
    except (ValueError, KeyError, TypeError):
        return None
    # A certificate that could not be read has the latest possible date.
    return min((end for end in ends if end.year < datetime.max.year), default=None)


try:
    from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily
    from prometheus_client.metrics_core import Metric as Family
except ImportError as error:
    raise MissingExtraError("metrics", "metrics") from error

BUCKETS_S = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0)
"""Upper bounds; 3 s is a usual SLO."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """Cumulative counts by upper bound, as in Prometheus, and the sum of all values."""

    buckets: tuple[tuple[str, int], ...]
    sum_s: float

    @classmethod
    def of(cls, values_s: Sequence[float]) -> "Histogram":
        ordered = sorted(values_s)
        counts = [(str(bound), bisect_right(ordered, bound)) for bound in BUCKETS_S]
        return cls(buckets=(*counts, ("+Inf", len(ordered))), sum_s=math.fsum(ordered))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One value of a metric; its label values are in the order of the metric's labels."""

    metric: catalog.Metric
    labels: tuple[str, ...]
    value: float | Histogram

    @property
    def series(self) -> int:
        """The number of series in Prometheus: a histogram has one per bucket, its count and its sum."""
        return len(self.value.buckets) + 2 if isinstance(self.value, Histogram) else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposition:
    """The exported samples, and what the limit dropped."""

    samples: tuple[Sample, ...]
    dropped: int
    """The number of dropped series."""
    dropped_of: tuple[str, ...]
    """The owners of the dropped series: benchmark and vantage, for display."""

    def families(self) -> list[Family]:
        """The families for a prometheus_client registry, in the catalog's order."""
        by_metric: dict[str, list[Sample]] = defaultdict(list)
        for sample in self.samples:
            by_metric[sample.metric.name].append(sample)
        return [_family(metric, by_metric[metric.name]) for metric in catalog.METRICS if by_metric.get(metric.name)]


def exposition(snapshots: Sequence[Snapshot], most_series: int) -> Exposition:
    """The metrics of several benchmarks; if the limit is too low for all, the newest runs come first.

    A run's own metrics come before those by engine, registry and proxy, because alerts use the former.
    """
    newest_first = sorted(snapshots, key=lambda snapshot: snapshot.run.started_at, reverse=True)
    parts = [(snapshot, list(_whole_run(snapshot))) for snapshot in newest_first]
    parts += [(snapshot, group) for snapshot in newest_first for group in _groups(snapshot)]
    kept: list[Sample] = []
    left, dropped = most_series, 0
    dropped_of: dict[str, None] = {}
    for snapshot, samples in parts:
        cost = sum(sample.series for sample in samples)
        if cost <= left:
            kept += samples
            left -= cost
        else:
            dropped += cost
            dropped_of[f"{snapshot.run.name} at {snapshot.run.vantage}"] = None
    return Exposition(samples=tuple(kept), dropped=dropped, dropped_of=tuple(dropped_of))


def about(exposed: Exposition, *, readable: bool, read_at_s: float) -> list[Sample]:
    """The metrics of the export itself; `read_at_s` is a Unix time."""
    return [
        Sample(metric=catalog.BUILD, labels=(__version__,), value=1),
        Sample(metric=catalog.READABLE, labels=(), value=float(readable)),
        Sample(metric=catalog.READ_AT, labels=(), value=read_at_s),
        Sample(metric=catalog.DROPPED, labels=(), value=exposed.dropped),
    ]


def _whole_run(snapshot: Snapshot) -> Iterator[Sample]:
    run, place = snapshot.run, _place(snapshot)
    ended_at = run.finished_at or run.started_at
    yield Sample(metric=catalog.LAST_RUN_INFO, labels=(*place, run.run_id), value=1)
    yield Sample(metric=catalog.LAST_RUN_AT, labels=place, value=ended_at.timestamp())
    if snapshot.completed_at is not None:
        yield Sample(metric=catalog.LAST_COMPLETE_AT, labels=place, value=snapshot.completed_at.timestamp())
    yield from _one_of(catalog.LAST_RUN_STATUS, place, catalog.RUN_STATUSES, run.status)
    yield from _one_of(catalog.LAST_RUN_VERDICT, place, catalog.RUN_VERDICTS, snapshot.verdict)
    yield Sample(metric=catalog.TRIALS_PLANNED, labels=place, value=run.trials_planned)
    yield Sample(metric=catalog.TRIALS_FINISHED, labels=place, value=snapshot.trials_finished)
    for slo in snapshot.slos:
        yield from _slo((*place, slo.engine), slo)
    for code, count in snapshot.errors.items():
        yield Sample(metric=catalog.ERRORS, labels=(*place, code), value=count)
    yield from _findings(place, snapshot)
    for target, ends_at in expiries(snapshot.findings).items():
        yield Sample(metric=catalog.CERTIFICATE, labels=(*place, target), value=ends_at.timestamp())


_MEASURED: Mapping[str, tuple[catalog.Metric, catalog.Metric | None]] = {
    "success_rate": (catalog.SUCCESS, None),
    "mean_pull_s": (catalog.MEAN_PULL, None),
    "p99_api_s": (catalog.API_P99, catalog.API_P99_LOW),
    "consecutive_failures": (catalog.STREAK, None),
}


def _slo(place: tuple[str, ...], slo: EngineSlo) -> Iterator[Sample]:
    measured, low = _MEASURED.get(slo.name, (None, None))
    if measured is not None and slo.measured is not None:
        yield Sample(metric=measured, labels=place, value=slo.measured)
    if low is not None and slo.low is not None:
        yield Sample(metric=low, labels=place, value=slo.low)
    labels = (*place, slo.name)
    if slo.target is not None:
        yield Sample(metric=catalog.TARGET, labels=labels, value=slo.target)
        if slo.measured is not None:
            yield Sample(metric=catalog.MEASURED, labels=labels, value=slo.measured)
    if slo.verdict is not None:
        yield from _one_of(catalog.SLO_VERDICT, labels, catalog.SLO_VERDICTS, slo.verdict)


def _findings(place: tuple[str, ...], snapshot: Snapshot) -> Iterator[Sample]:
    for check in dict.fromkeys(finding.check for finding in snapshot.findings):
        for status in Status:
            count = sum(finding.check == check and finding.status is status for finding in snapshot.findings)
            yield Sample(metric=catalog.FINDINGS, labels=(*place, check, status.value), value=count)


def _groups(snapshot: Snapshot) -> Iterator[list[Sample]]:
    """The samples of each group, summed over its configurations."""
    place, cells = _place(snapshot), defaultdict[Group, list[Mapping[str, Any]]](list)
    for cell in snapshot.cells:
        cells[Group(*(str(cell[name]) for name in Group._fields))].append(cell)
    counted = {
        catalog.PULLS: "pulls",
        catalog.SUCCEEDED: "succeeded",
        catalog.RETRIED: "retried",
        catalog.RECEIVED: "bytes",
    }
    for group, rows in cells.items():
        labels = (*place, *group)
        samples = [
            Sample(metric=metric, labels=labels, value=sum(row[column] for row in rows))
            for metric, column in counted.items()
        ]
        durations = Histogram.of(snapshot.latencies_s.get(group, ()))
        yield [*samples, Sample(metric=catalog.DURATION, labels=labels, value=durations)]


def _place(snapshot: Snapshot) -> tuple[str, ...]:
    return (snapshot.run.name, snapshot.run.vantage, snapshot.run.kind)


def _one_of(metric: catalog.Metric, labels: tuple[str, ...], values: Iterable[str], actual: str) -> Iterator[Sample]:
    """1 for the actual value and 0 for the others, so that an alert on one ends when another replaces it."""
    for value in values:
        yield Sample(metric=metric, labels=(*labels, value), value=float(value == actual))


def _family(metric: catalog.Metric, samples: Iterable[Sample]) -> Family:
    if metric.type == "histogram":
        histogram = HistogramMetricFamily(metric.name, metric.says, labels=metric.labels)
        for sample in samples:
            assert isinstance(sample.value, Histogram)
            histogram.add_metric(sample.labels, list(sample.value.buckets), sample.value.sum_s)
        return histogram
    gauge = GaugeMetricFamily(metric.name, metric.says, labels=metric.labels)
    for sample in samples:
        assert not isinstance(sample.value, Histogram)
        gauge.add_metric(sample.labels, sample.value)
    return gauge
