"""`pullbench metrics`: the numbers are the report's, and what is amiss is told and shows in the exit code."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pullbench.app.metrics import Readings, Scope
from pullbench.cli import metrics
from pullbench.errors import UsageError
from pullbench.monitor import catalog
from pullbench.monitor.export import text
from pullbench.report.run.documents import run_document
from pullbench.store.dataset import ResultStore
from tests.cli.test_cli import Shell, shell  # noqa: F401  (a fixture)
from tests.report import synthetic
from tests.report.synthetic import RUN_ID, STARTED_AT, Recipe

RECIPE = Recipe(engines=("wire",), concurrency=(1, 4), blocks=3)
PLACE = {"benchmark": "concurrency-sweep", "vantage": "office", "kind": "benchmark"}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = str(tmp_path_factory.mktemp("results"))
    synthetic.make(folder, RECIPE)
    return folder


class Page:
    def __init__(self, samples: Mapping[tuple[str, frozenset[tuple[str, str]]], float], err: str) -> None:
        self.samples = samples
        self.err = err

    def value(self, name: str, **labels: str) -> float | None:
        return self.samples.get((name, frozenset((PLACE | labels).items())))

    def sum(self, name: str, **labels: str) -> float:
        return sum(
            value
            for (found, has), value in self.samples.items()
            if found == name and labels.items() <= dict(has).items()
        )


@pytest.fixture(scope="module")
def exported(results: str) -> Page:
    """What is exported of that run, read once for the tests that change nothing."""
    families = Readings(scope(results), print).families()
    return Page(scraped(text(families).decode()), "")


def scope(results: str, **changes: object) -> Scope:
    return Scope(results=results, **{"most_series": 10_000, **changes})  # type: ignore[arg-type]


def scraped(page: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def page(
    capsys: pytest.CaptureFixture[str],
    results: str,
    code: int = 0,
    *,
    names: tuple[str, ...] = (),
    most_series: int = 10_000,
) -> Page:
    assert metrics.textfile("-", name=list(names), most_series=most_series, results=results) == code
    shown = capsys.readouterr()
    return Page(scraped(shown.out), shown.err)


def test_every_number_is_the_one_that_show_prints(results: str, exported: Page) -> None:
    document = run_document(ResultStore(results), RUN_ID)
    assert exported.sum("pullbench_pulls") == sum(cell["pulls"] for cell in document["cells"])
    assert exported.sum("pullbench_pulls_succeeded") == sum(cell["succeeded"] for cell in document["cells"])
    assert exported.sum("pullbench_received_bytes") == sum(cell["bytes"] for cell in document["cells"])
    assert exported.sum("pullbench_pulls_retried") == sum(cell["retried"] for cell in document["cells"])
    measured = {entry["name"]: entry for entry in document["slo"]}
    engine = {"engine": "wire"}
    assert {entry["engine"] for entry in document["slo"]} == {"wire"}
    assert exported.value("pullbench_pull_success_ratio", **engine) == measured["success_rate"]["measured"]
    assert exported.value("pullbench_pull_mean_seconds", **engine) == measured["mean_pull_s"]["measured"]
    assert exported.value("pullbench_api_p99_seconds", **engine) == measured["p99_api_s"]["measured"]
    assert exported.value("pullbench_consecutive_failures", **engine) == measured["consecutive_failures"]["measured"]
    for name, entry in measured.items():
        assert exported.value("pullbench_objective_target", **engine, objective=name) == entry["target"]
        assert exported.value("pullbench_objective_measured", **engine, objective=name) == entry["measured"]
        verdict = {"objective": name, "verdict": entry["verdict"]}
        assert exported.value("pullbench_objective_verdict", **engine, **verdict) == 1
    assert exported.value("pullbench_last_run_verdict", verdict=document["headline"]["status"]) == 1
    assert exported.value("pullbench_trials_finished") == document["trials"]["finished"]
    errors = {entry["code"]: entry["count"] for entry in document["errors"]}
    assert errors
    assert {code: exported.value("pullbench_pull_errors", code=code) for code in errors} == errors


def test_every_engine_has_its_numbers_and_only_those_of_the_slo_a_target(tmp_path: Path) -> None:
    slo = {"success_rate": 0.999, "p95_pull_s": 60.0, "per_configuration": True}
    synthetic.make(tmp_path, replace(RECIPE, engines=("wire", "docker"), slo=slo))  # type: ignore[arg-type]
    exported = Page(scraped(text(Readings(scope(str(tmp_path)), print).families()).decode()), "")
    for engine in ("wire", "docker"):
        assert exported.value("pullbench_pull_success_ratio", engine=engine) is not None
        assert exported.value("pullbench_pull_mean_seconds", engine=engine) is not None
    targets = {labels for name, labels in exported.samples if name == "pullbench_objective_target"}
    assert {(dict(labels)["engine"], dict(labels)["objective"]) for labels in targets} == {
        ("docker", "success_rate"),
        ("docker", "p95_pull_s"),
    }


def test_each_successful_pull_of_a_counted_block_is_once_in_the_histogram(exported: Page) -> None:
    for registry, proxy in RECIPE.routes:
        group = {"registry": registry, "proxy": proxy, "engine": "wire"}
        succeeded = exported.sum("pullbench_pulls_succeeded", **group)
        assert exported.sum("pullbench_pull_duration_seconds_count", **group) == succeeded
        assert exported.sum("pullbench_pull_duration_seconds_bucket", le="+Inf", **group) == succeeded


def test_preflights_findings_are_there(exported: Page) -> None:
    assert exported.value("pullbench_check_findings", check="rate-limit", status="warn") == 1
    assert exported.sum("pullbench_check_findings") == len(synthetic.CHECKS)


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"fail_everywhere": True}, "failed"),
        ({"failure_rate": 0.0}, "not_shown"),
        ({"slo": {}}, "not_shown"),
        ({"slo": {"mean_pull_s": 0.001}}, "missed"),
        ({"slo": {"mean_pull_s": 100.0}}, "met"),
        ({"status": "incomplete"}, None),
    ],
)
def test_whatever_a_run_came_to_its_verdict_is_one_of_the_closed_list(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, object], verdict: str | None
) -> None:
    small = Recipe(engines=("wire",), routes=(("us", "direct"),), concurrency=(1,), blocks=3, warmup=0)
    synthetic.make(tmp_path, replace(small, **changes))  # type: ignore[arg-type]
    exported = page(capsys, str(tmp_path))
    said = [name for name in catalog.RUN_VERDICTS if exported.value("pullbench_last_run_verdict", verdict=name) == 1]
    assert len(said) == 1
    assert verdict in (None, said[0])


def test_a_run_that_preflight_stopped_has_a_status_and_findings_and_no_pulls(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = synthetic.make(tmp_path, Recipe(engines=("wire",), concurrency=(1,), blocks=0, warmup=0))
    store.write_run(replace(store.run(RUN_ID), status="failed", trials_planned=9))
    exported = page(capsys, str(tmp_path))
    assert exported.value("pullbench_last_run_status", status="failed") == 1
    assert exported.value("pullbench_last_complete_run_timestamp_seconds") is None
    assert exported.sum("pullbench_pull_success_ratio") == 0
    assert exported.sum("pullbench_check_findings") == len(synthetic.CHECKS)


def test_a_folder_without_runs_exports_only_what_it_says_of_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exported = page(capsys, str(tmp_path / "nothing"))
    names = {name for name, _ in exported.samples}
    assert names == {
        "pullbench_results_readable",
        "pullbench_results_read_timestamp_seconds",
        "pullbench_series_dropped",
        "pullbench_build_info",
    }
    assert f"{tmp_path / 'nothing'}: no run" in exported.err


def test_a_run_that_cannot_be_read_is_told_once_shows_as_unreadable_and_ends_with_3(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = synthetic.make(tmp_path, replace(RECIPE, concurrency=(1,), blocks=1))
    store.files.put("runs/broken/run.parquet", b"not Parquet")
    exported = page(capsys, str(tmp_path), code=3)
    assert exported.samples[("pullbench_results_readable", frozenset())] == 0
    assert exported.sum("pullbench_pulls") > 0
    assert exported.err.count("broken") == 1


def test_a_run_whose_tables_broke_after_they_were_read_once_stays_as_it_was(tmp_path: Path) -> None:
    store = synthetic.make(tmp_path, replace(RECIPE, concurrency=(1,), blocks=1))
    told: list[str] = []
    readings = Readings(scope(str(tmp_path)), told.append)
    before = readings.snapshots()
    store.files.put(f"pulls/{RUN_ID}/compacted.parquet", b"not Parquet")
    assert readings.snapshots() == before
    assert told == []


def test_a_newer_run_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    small = replace(RECIPE, concurrency=(1,), blocks=1)
    synthetic.make(tmp_path, small)
    readings = Readings(scope(str(tmp_path)), print)
    assert [entry.run.run_id for entry in readings.snapshots()] == [RUN_ID]
    synthetic.make(tmp_path, replace(small, run_id="next", started_at=STARTED_AT + timedelta(days=7)))
    assert [entry.run.run_id for entry in readings.snapshots()] == ["next"]


def test_what_the_limit_leaves_out_is_told_and_counted(results: str, capsys: pytest.CaptureFixture[str]) -> None:
    exported = page(capsys, results, most_series=60)
    dropped = exported.samples[("pullbench_series_dropped", frozenset())]
    assert dropped > 0
    assert f"{dropped:.0f} series are dropped" in exported.err


def test_only_the_benchmarks_that_are_named_are_exported(results: str, capsys: pytest.CaptureFixture[str]) -> None:
    exported = page(capsys, results, names=("other-*",))
    assert exported.value("pullbench_trials_planned") is None
    assert f"{results}: no run of other-* " in exported.err


def test_pushing_from_a_folder_without_runs_contacts_nobody_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert metrics.push("http://127.0.0.1:1", results=str(tmp_path)) == 0
    assert "no run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://me:hunter2@gateway:9091", "has credentials"),
        ("gateway:9091", "is not the URL of a Pushgateway"),
        ("ftp://gateway", "is not the URL of a Pushgateway"),
        ("http://gateway/?x=1", "is not the URL of a Pushgateway"),
    ],
)
def test_what_is_no_gateways_url_is_refused_without_showing_a_password(results: str, url: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as refused:
        metrics.push(url, results=results)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["push", "gateway"], 2, "is not the URL of a Pushgateway"),
        (["push", "http://gateway", "--ca-file", "no.pem"], 2, "--ca-file no.pem: no such file"),
        (["textfile", "out.txt"], 2, "name it out.txt.prom"),
        (["textfile", "-", "--most-series", "0"], 2, "--most-series"),
        (["serve", "--listen", "9464"], 2, "--listen: '9464'"),
        (["push", "http://127.0.0.1:1", "--name", "no-such-*"], 0, "no run of no-such-* to export yet"),
    ],
)
def test_the_commands_read_their_arguments_and_a_wrong_one_is_one_line(
    shell: Shell,  # noqa: F811
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    ended, out, err = shell("metrics", *arguments)
    assert (ended, out) == (code, "")
    assert message in err
    assert err.count("\n") == 1


def test_a_ca_file_that_is_not_there_is_told(results: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--ca-file"):
        metrics.push("http://gateway", results=results, ca_file=tmp_path / "no.pem")


@pytest.mark.promise(
    "plain http", "A Pushgateway on another machine gets a login over plain HTTP only with `--plain-http-credentials`"
)
def test_the_gateway_guard_keeps_a_login_off_plain_http_to_another_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATE_USERNAME", "me")
    monkeypatch.setenv("GATE_PASSWORD", "hunter2")
    there = str(tmp_path)
    with pytest.raises(UsageError, match=r"not sent to http://10\.0\.0\.7:9091.*`--plain-http-credentials`"):
        metrics.push("http://10.0.0.7:9091", credentials="env:GATE", results=there)
    for url, allowed in (("http://10.0.0.7:9091", True), ("https://gateway", False), ("http://127.0.0.1:1", False)):
        assert metrics.push(url, credentials="env:GATE", plain_http_credentials=allowed, results=there) == 0
