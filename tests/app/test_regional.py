"""The policy of a regional benchmark, with a script in place of Prefect: how long it waits, and which results it keeps."""

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from pullbench.app.regional import FlowRunState, RegionalOutcome, RegionalRequest, Vantage, conduct_regional
from pullbench.errors import IncompleteError, UsageError
from pullbench.model.spec import Overrides
from pullbench.store.dataset import ResultStore
from pullbench.store.regional import RegionalRecords
from tests.bench.samples import spec_data
from tests.report import synthetic
from tests.report.synthetic import Recipe

_IDS = itertools.count(1)
RUNNING, WAITING = (
    FlowRunState(started=True, ended=False, state="RUNNING"),
    FlowRunState(started=False, ended=False, state="SCHEDULED"),
)
COMPLETED = FlowRunState(started=True, ended=True, state="COMPLETED", message="complete")


def failed(message: str) -> FlowRunState:
    return FlowRunState(started=True, ended=True, state="FAILED", message=message)


class ManualClock:
    """Time passes by sleeping."""

    now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.now_s, UTC)

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


@dataclass(kw_only=True)
class Script:
    """Vantages that do what is written: what is seen of each, look after look, the last again and again; and which measure."""

    results: str
    seen: Mapping[str, Sequence[FlowRunState | None]]
    measures: Mapping[str, str]
    """The status that the run of a vantage is stored with."""
    started: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    parameters: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    looks: dict[str, int] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)

    def places(self, names: Sequence[str]) -> list[Vantage]:
        return [Vantage(vantage=name, work_pool=f"pool-{name}") for name in (names or self.seen)]

    def start(self, place: Vantage, regional_id: str, parameters: Mapping[str, Any]) -> str:
        self.log.append(f"start {place.vantage}")
        self.parameters[place.vantage] = parameters
        if place.vantage == "unreachable":
            raise IncompleteError("its run could not be started: ConnectError: refused")
        if place.vantage in self.measures:
            self.store(place.vantage, regional_id)
        return place.vantage

    def store(self, vantage: str, regional_id: str) -> None:
        number = next(_IDS)
        recipe = Recipe(
            engines=("wire",),
            routes=(("eu", "direct"),),
            concurrency=(1,),
            blocks=1,
            warmup=0,
            pulls=1,
            images=("app:1",),
            run_id=f"20261125T120000Z-{number:04x}",
            status=self.measures[vantage],
        )
        store = synthetic.make(self.results, recipe)
        run = store.run(recipe.run_id)
        store.write_run(dataclasses.replace(run, vantage=vantage, labels={"regional": regional_id}))

    def look(self, flow_run: str) -> FlowRunState | None:
        turn = self.looks[flow_run] = self.looks.get(flow_run, -1) + 1
        seen = self.seen[flow_run][min(turn, len(self.seen[flow_run]) - 1)]
        if seen is not None and seen.ended:
            self.log.append(f"end {flow_run}")
        return seen

    def cancel(self, flow_run: str) -> None:
        self.cancelled.append(flow_run)

    def idle(self, place: Vantage) -> str:
        return f"work pool '{place.work_pool}' never had a worker"


Ask = Callable[..., tuple[RegionalOutcome, Script]]


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Runs a script; `ask(eu=[…], measures={…}, **options of the request)`."""
    monkeypatch.setattr("pullbench.app.regional.render_regional", lambda *_: Path("report.html"))
    monkeypatch.setattr("pullbench.app.regional.run_document", lambda *_: {"slo": [], "preflight": {"findings": []}})
    monkeypatch.setattr("pullbench.report.regional.runs.contrasts", lambda _: pd.DataFrame({"factor": []}))
    results = f"memory://regional-flow-{next(_IDS)}"
    spec = tmp_path / "spec.yaml"
    spec.write_text(yaml.safe_dump(spec_data()))

    def run(
        measures: Mapping[str, str], *, sleep: Callable[[], None] = lambda: None, **given: Any
    ) -> tuple[RegionalOutcome, Script]:
        options = {name: given.pop(name) for name in list(given) if name in RegionalRequest.__dataclass_fields__}
        script = Script(results=results, seen=given, measures=measures)
        request = RegionalRequest(
            spec=spec, results=results, reports=tmp_path / "reports", **{"vantages": (), **options}
        )
        clock = ManualClock()
        clock.sleep = lambda seconds: (sleep(), setattr(clock, "now_s", clock.now_s + seconds))[0]  # type: ignore[method-assign]
        run.script = script  # type: ignore[attr-defined]
        outcome = conduct_regional(request, script, clock=clock, note=lambda _: None)
        return outcome, script

    return run


BOTH = {"eu": "complete", "us": "complete"}


def answers(outcome: RegionalOutcome) -> dict[str, str]:
    return {entry["vantage"]: entry["answer"] for entry in outcome.document["vantages"]}


def reason(outcome: RegionalOutcome, vantage: str) -> str:
    return next(str(entry["reason"]) for entry in outcome.document["vantages"] if entry["vantage"] == vantage)


def test_every_vantage_that_answers_is_in_one_document_with_its_own_run(ask: Ask) -> None:
    outcome, script = ask(BOTH, eu=[WAITING, RUNNING, COMPLETED], us=[COMPLETED])
    assert outcome.document["status"] == "complete"
    assert answers(outcome) == {"eu": "complete", "us": "complete"}
    assert [row["vantage"] for row in outcome.document["cells"]] == ["eu", "us"]
    assert script.cancelled == []
    stored = RegionalRecords(ResultStore(script.results)).read(outcome.document["regional_id"])
    assert [entry.run_id for entry in stored.asked] == [row["run_id"] for row in outcome.document["vantages"]]


def test_the_exit_code_is_that_of_the_worst_run_where_no_vantage_is_missing(ask: Ask) -> None:
    outcome, _ = ask({"eu": "complete"}, eu=[COMPLETED])
    assert outcome.exit_code == 0
    assert outcome.message == "eu: complete"


def test_a_vantage_gets_its_name_and_keeps_what_is_not_given(ask: Ask) -> None:
    _, script = ask(BOTH, eu=[COMPLETED], us=[COMPLETED])
    for vantage, parameters in script.parameters.items():
        assert parameters["vantage"] == vantage
        assert parameters.keys() == {"spec", "vantage", "results", "report", "regional"}
    _, script = ask(
        {"eu": "complete"}, eu=[COMPLETED], overrides=Overrides(concurrency=[2]), sets=("budget.minutes=10",)
    )
    assert script.parameters["eu"]["overrides"]["concurrency"] == [2]
    assert script.parameters["eu"]["settings"] == ["budget.minutes=10"]


def test_a_run_that_no_worker_starts_is_named_and_cancelled_and_the_others_are_kept(ask: Ask) -> None:
    outcome, script = ask({"eu": "complete"}, eu=[RUNNING, COMPLETED], us=[WAITING], start_within_minutes=3)
    assert outcome.exit_code == 3
    assert answers(outcome) == {"eu": "complete", "us": "missing"}
    assert "never had a worker" in reason(outcome, "us")
    assert "`prefect worker start --pool pool-us`" in reason(outcome, "us")
    assert "'us' is missing" in outcome.message
    assert script.cancelled == ["us"]
    assert {row["vantage"] for row in outcome.document["cells"]} == {"eu"}


def test_one_that_runs_on_past_the_limit_is_named_and_left_to_end(ask: Ask) -> None:
    outcome, script = ask({"eu": "complete"}, eu=[COMPLETED], us=[RUNNING], finish_within_minutes=30)
    assert outcome.exit_code == 3
    assert "within 30 minutes" in reason(outcome, "us")
    assert script.cancelled == []


def test_a_run_that_fails_before_it_measured_is_missing_with_its_message(ask: Ask) -> None:
    message = "preflight failed, no load was sent: tcp of eu"
    outcome, _ = ask({"eu": "complete"}, eu=[COMPLETED], us=[failed(message)])
    assert answers(outcome)["us"] == "missing"
    assert reason(outcome, "us") == message


def test_what_one_measured_before_it_stopped_is_in_the_numbers_and_it_is_named(ask: Ask) -> None:
    measures = {"eu": "complete", "us": "incomplete"}
    outcome, _ = ask(measures, eu=[COMPLETED], us=[failed("over budget")])
    assert outcome.exit_code == 3
    assert answers(outcome)["us"] == "incomplete"
    assert {row["vantage"] for row in outcome.document["cells"]} == {"eu", "us"}
    assert "incomplete: over budget" in outcome.message


def test_results_that_went_elsewhere_are_missing_with_the_parameter_to_set(ask: Ask) -> None:
    outcome, _ = ask({"eu": "complete"}, eu=[COMPLETED], us=[COMPLETED])
    assert answers(outcome)["us"] == "missing"
    assert "`results`" in reason(outcome, "us")


def test_one_whose_run_cannot_be_started_does_not_keep_the_others_from_it(ask: Ask) -> None:
    outcome, _ = ask({"eu": "complete"}, unreachable=[], eu=[COMPLETED])
    assert answers(outcome) == {"unreachable": "missing", "eu": "complete"}
    assert "ConnectError" in reason(outcome, "unreachable")


def test_a_server_that_does_not_answer_for_a_while_gets_another_request(ask: Ask) -> None:
    outcome, _ = ask({"eu": "complete"}, eu=[RUNNING, None, None, COMPLETED])
    assert answers(outcome) == {"eu": "complete"}


def test_where_none_measured_anything_there_is_no_report(ask: Ask) -> None:
    with pytest.raises(IncompleteError, match=r"'eu' is missing: boom; vantage 'us' is missing: boom"):
        ask({}, eu=[failed("boom")], us=[failed("boom")])


def test_in_turn_the_second_starts_when_the_first_has_ended(ask: Ask) -> None:
    _, script = ask(BOTH, eu=[RUNNING, COMPLETED], us=[RUNNING, COMPLETED], in_turn=True)
    assert script.log == ["start eu", "end eu", "start us", "end us"]
    _, script = ask(BOTH, eu=[RUNNING, COMPLETED], us=[RUNNING, COMPLETED])
    assert script.log[:2] == ["start eu", "start us"]


def test_an_interruption_cancels_every_run_that_has_not_ended(ask: Ask) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ask(BOTH, eu=[COMPLETED], us=[RUNNING], far=[WAITING], sleep=interrupt)
    assert ask.script.cancelled == ["us", "far"]  # type: ignore[attr-defined]


def test_a_setting_that_may_be_a_secret_is_not_given_to_prefect(ask: Ask) -> None:
    with pytest.raises(UsageError, match=r"proxies\[0\]\.headers\.X: "):
        ask({}, eu=[COMPLETED], sets=("proxies[0].headers.X=hunter2",))
