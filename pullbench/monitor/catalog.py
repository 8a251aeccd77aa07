"""Every metric that pullbench exports, with labels and help text. Tests compare rules and dashboards with it."""

from dataclasses import dataclass
from typing import Literal

RUN_LABELS = ("benchmark", "vantage", "kind")
ENGINE_LABELS = (*RUN_LABELS, "engine")
GROUP_LABELS = (*RUN_LABELS, "engine", "registry", "region", "proxy")
RUN_STATUSES = ("complete", "incomplete", "failed")
RUN_VERDICTS = ("met", "partly", "missed", "not_shown", "failed")
SLO_VERDICTS = ("met", "missed", "not_shown")


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric. A histogram has the series `_bucket`, `_count` and `_sum`."""

    name: str
    says: str
    labels: tuple[str, ...] = RUN_LABELS
    type: Literal["gauge", "histogram"] = "gauge"

    @property
    def series(self) -> dict[str, tuple[str, ...]]:
        """The names that a query may use, with their labels."""
        if self.type == "gauge":
            return {self.name: self.labels}
        plain = {f"{self.name}_{part}": self.labels for part in ("count", "sum")}
        return {f"{self.name}_bucket": (*self.labels, "le"), **plain}


LAST_RUN_INFO = Metric(
    name="pullbench_last_run_info",
    says="1; the newest ended run of a benchmark at a vantage. All its other metrics belong to this run.",
    labels=(*RUN_LABELS, "run_id"),
)
LAST_RUN_AT = Metric(name="pullbench_last_run_timestamp_seconds", says="When the newest run ended.")
LAST_COMPLETE_AT = Metric(
    name="pullbench_last_complete_run_timestamp_seconds",
    says="When the newest complete run ended.",
)
LAST_RUN_STATUS = Metric(
    name="pullbench_last_run_status",
    says="1 for the status of the newest run: complete, incomplete, or failed in preflight.",
    labels=(*RUN_LABELS, "status"),
)
LAST_RUN_VERDICT = Metric(
    name="pullbench_last_run_verdict",
    says="1 for the verdict of the newest run's report: met, partly, missed, not_shown or failed.",
    labels=(*RUN_LABELS, "verdict"),
)
TRIALS_PLANNED = Metric(name="pullbench_trials_planned", says="Trials that the newest run planned.")
TRIALS_FINISHED = Metric(name="pullbench_trials_finished", says="Trials of the newest run that are stored.")
SUCCESS = Metric(
    name="pullbench_pull_success_ratio",
    says="Successful pulls of all pulls of an engine in the newest run, 0 to 1.",
    labels=ENGINE_LABELS,
)
MEAN_PULL = Metric(
    name="pullbench_pull_mean_seconds",
    says="Mean pull time of an engine's successful pulls: the mean of the repetitions' means.",
    labels=ENGINE_LABELS,
)
API_P99 = Metric(
    name="pullbench_api_p99_seconds",
    says="p99 of the token and manifest exchanges of an engine that reports them; absent under 200 of them.",
    labels=ENGINE_LABELS,
)
API_P99_LOW = Metric(
    name="pullbench_api_p99_low_seconds",
    says="Lower bound (95%) of that p99.",
    labels=ENGINE_LABELS,
)
STREAK = Metric(
    name="pullbench_consecutive_failures",
    says="Most pulls of an engine that failed one after the other.",
    labels=ENGINE_LABELS,
)
TARGET = Metric(
    name="pullbench_objective_target",
    says="The target of an SLO of the spec; the label objective is its name, such as p95_pull_s.",
    labels=(*ENGINE_LABELS, "objective"),
)
MEASURED = Metric(
    name="pullbench_objective_measured",
    says="What was measured for an SLO of the spec; absent where too little was.",
    labels=(*ENGINE_LABELS, "objective"),
)
SLO_VERDICT = Metric(
    name="pullbench_objective_verdict",
    says="1 for the verdict on an SLO and engine: met, missed or not_shown (inconclusive).",
    labels=(*ENGINE_LABELS, "objective", "verdict"),
)
FINDINGS = Metric(
    name="pullbench_check_findings",
    says="Findings of a preflight check by status: pass, warn, fail, skip or error.",
    labels=(*RUN_LABELS, "check", "status"),
)
CERTIFICATE = Metric(
    name="pullbench_certificate_expiry_timestamp_seconds",
    says="When the first certificate of the chain expires, per registry and proxy.",
    labels=(*RUN_LABELS, "target"),
)
ERRORS = Metric(
    name="pullbench_pull_errors",
    says="Failed pulls of the newest run by error code.",
    labels=(*RUN_LABELS, "code"),
)
PULLS = Metric(name="pullbench_pulls", says="Pulls of the newest run, without warm-up.", labels=GROUP_LABELS)
SUCCEEDED = Metric(name="pullbench_pulls_succeeded", says="Successful pulls of the newest run.", labels=GROUP_LABELS)
RETRIED = Metric(name="pullbench_pulls_retried", says="Pulls with more than one attempt.", labels=GROUP_LABELS)
RECEIVED = Metric(name="pullbench_received_bytes", says="Bytes received by all attempts.", labels=GROUP_LABELS)
DURATION = Metric(
    name="pullbench_pull_duration_seconds",
    says="Durations of the successful pulls of the newest run. Use the buckets directly, without rate().",
    labels=GROUP_LABELS,
    type="histogram",
)
DROPPED = Metric(
    name="pullbench_series_dropped", says="Series dropped because of the limit on their number.", labels=()
)
READABLE = Metric(
    name="pullbench_results_readable",
    says="1 if the last reading of the results read every stored run, else 0.",
    labels=(),
)
READ_AT = Metric(name="pullbench_results_read_timestamp_seconds", says="When the results were last read.", labels=())
BUILD = Metric(name="pullbench_build_info", says="1; the version of pullbench.", labels=("version",))

METRICS = tuple(value for value in list(vars().values()) if isinstance(value, Metric))
