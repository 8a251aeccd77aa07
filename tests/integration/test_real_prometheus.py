"""The real Prometheus, Pushgateway and Alertmanager take what pullbench exports and ships for them."""

import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from pullbench.cli import metrics
from pullbench.errors import IncompleteError
from pullbench.model.finding import Finding, Status
from tests.integration.conftest import need
from tests.integration.real_prometheus import running_prometheus, running_pushgateway, until
from tests.integration.real_registry import HTPASSWD, PASSWORD, USERNAME
from tests.integration.shell import Shell
from tests.monitor.samples import tls_finding
from tests.monitor.test_dashboard import queries
from tests.report import synthetic
from tests.report.synthetic import RUN_ID, STARTED_AT, Recipe

pytestmark = [pytest.mark.integration, pytest.mark.real]

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "monitoring" / "prometheus"
BROKEN = Recipe(
    name="broken",
    run_id="broken-1",
    engines=("wire",),
    routes=(("us", "direct"),),
    concurrency=(1,),
    blocks=3,
    warmup=0,
)


def ran(*command: str, cwd: Path | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_promtool_checks_the_rules_and_runs_their_tests(tmp_path: Path) -> None:
    promtool = need("promtool")
    ran(promtool, "check", "rules", "pullbench.rules.yaml", cwd=PROMETHEUS)
    ran(promtool, "test", "rules", "pullbench.test.yaml", cwd=PROMETHEUS)
    ran(promtool, "check", "config", "prometheus.example.yaml", cwd=PROMETHEUS)


def test_promtool_finds_nothing_amiss_in_what_is_exported(results: Path, capfd: pytest.CaptureFixture[str]) -> None:
    metrics.textfile("-", results=str(results))
    page = capfd.readouterr().out
    done = subprocess.run(
        [need("promtool"), "check", "metrics"], input=page, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_amtool_checks_the_alertmanager_example_and_routes_what_is_critical_to_who_is_on_call() -> None:
    amtool, config = need("amtool"), "alertmanager.example.yaml"
    ran(amtool, "check-config", config, cwd=PROMETHEUS)
    route = [amtool, "config", "routes", "test", f"--config.file={config}"]
    assert "on-call" in ran(*route, "alertname=PullbenchPullsFail", "severity=critical", cwd=PROMETHEUS)
    assert "platform-team" in ran(*route, "alertname=PullbenchApiSlow", "severity=warning", cwd=PROMETHEUS)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of everything that metrics can show, and a benchmark whose every pull failed."""
    folder = tmp_path_factory.mktemp("made")
    store = synthetic.make(folder, Recipe(engines=("wire",), concurrency=(1,), blocks=3, pulls=12, failure_rate=0.2))
    soon = datetime.now(UTC) + timedelta(days=20)
    failed = Finding(check="image", target="eu app:1", status=Status.FAIL, observed="gone", remedy="push it")
    store.write_checks(RUN_ID, "office", [*synthetic.CHECKS, tls_finding("eu", soon), failed], STARTED_AT)
    synthetic.make(folder, replace(BROKEN, fail_everywhere=True))
    return folder


@pytest.fixture
def results(made: Path, tmp_path: Path) -> Path:
    """Those, for a test to add to."""
    return Path(shutil.copytree(made, tmp_path / "results"))


@pytest.fixture
def exporter(results: Path) -> Iterator[str]:
    """`pullbench metrics serve` in a process of its own: its address."""
    arguments = ("metrics", "serve", "--listen", "127.0.0.1:0", "--every", "0.2", "--results", str(results))
    process = Shell(results.parent, {}).start(*arguments)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:"), process.communicate()
        yield url
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.communicate()


def impatient(folder: Path) -> Path:
    """The rules as they ship, but for how long a condition must hold."""
    path = folder / "rules.yaml"
    path.write_text(re.sub(r"\bfor: \w+", "for: 1s", (PROMETHEUS / "pullbench.rules.yaml").read_text()))
    return path


def test_prometheus_scrapes_the_exporter_fires_on_three_failures_and_ends_with_the_next_good_run(
    tmp_path: Path, results: Path, exporter: str
) -> None:
    target = exporter.removeprefix("http://").removesuffix("/metrics")
    failures = ("PullbenchConsecutiveFailures", "broken")
    with running_prometheus(need("prometheus"), tmp_path, targets=[target], rules=impatient(tmp_path)) as prometheus:
        until(lambda: failures in prometheus.firing(), "the alert for three failures did not fire")
        until(
            lambda: (
                {("PullbenchPullsFail", "broken"), ("PullbenchCertificateEnds", "concurrency-sweep")}
                <= prometheus.firing()
            ),
            "the alerts for failed pulls and for the certificate did not fire",
        )
        until(lambda: ("PullbenchMetricsMissing", "") not in prometheus.firing(), "metrics are said to be missing")
        for title, expr, _ in queries():
            everybodys = _for_everybody(expr)
            if "changes(" in expr:  # a note for a new run, and none has come yet
                assert prometheus.query(everybodys) == []
            else:
                until(lambda asked=everybodys: bool(prometheus.query(asked)), f"{title}: {expr} gives nothing")
        good = replace(BROKEN, run_id="broken-2", failure_rate=0.0, started_at=STARTED_AT + timedelta(days=7))
        synthetic.make(results, good)
        until(lambda: failures not in prometheus.firing(), "the alert did not end with the next good run")


def _for_everybody(expr: str) -> str:
    """A query of the dashboard with `All` in each of its variables."""
    return re.sub(r"\$\w+", ".*", expr)


def test_a_pushgateway_takes_each_benchmark_as_a_group_that_the_next_push_replaces(
    tmp_path: Path, results: Path
) -> None:
    with running_pushgateway(need("prometheus-pushgateway"), tmp_path) as url:
        assert push(url, results) == 0
        assert _pushed_runs(url) == {"concurrency-sweep": RUN_ID, "broken": "broken-1"}
        synthetic.make(results, replace(BROKEN, run_id="broken-2", started_at=STARTED_AT + timedelta(days=7)))
        assert push(url, results) == 0
        assert _pushed_runs(url) == {"concurrency-sweep": RUN_ID, "broken": "broken-2"}
        with pytest.raises(IncompleteError, match=r"404 Not Found.*is this a Pushgateway"):
            push(f"{url}/elsewhere", results, names=("broken",))
    with pytest.raises(IncompleteError, match=f"PUT {url}.*push again when it answers"):
        push(url, results, names=("broken",))


def test_a_pushgateway_that_wants_a_login_gets_the_one_of_the_environment_and_shows_it_to_nobody(
    tmp_path: Path, made: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GATE_USERNAME", USERNAME)
    monkeypatch.setenv("GATE_PASSWORD", PASSWORD)
    hashed = HTPASSWD.strip().partition(":")[2]
    with running_pushgateway(need("prometheus-pushgateway"), tmp_path, users={USERNAME: hashed}) as url:
        with pytest.raises(IncompleteError, match=r"401 Unauthorized.*may this user push") as refused:
            push(url, made, names=("broken",))
        assert push(url, made, names=("broken",), credentials="env:GATE") == 0
    assert PASSWORD not in str(refused.value) + "".join(capsys.readouterr())


def push(url: str, results: Path, *, names: tuple[str, ...] = (), credentials: str = "anonymous") -> int:
    return metrics.push(url, credentials=credentials, name=list(names), results=str(results))


def _pushed_runs(url: str) -> dict[str, str]:
    """By benchmark, the run that a Pushgateway holds; every group is whole and by its own labels."""
    answer = httpx.get(f"{url}/api/v1/metrics", trust_env=False).json()
    groups: list[dict[str, Any]] = answer["data"]
    runs = {}
    for group in groups:
        labels = group["labels"]
        assert labels["job"] == "pullbench"
        assert labels["vantage"] == "office"
        assert "pullbench_pull_duration_seconds" in group
        (info,) = group["pullbench_last_run_info"]["metrics"]
        assert info["labels"]["benchmark"] == labels["benchmark"]
        runs[labels["benchmark"]] = info["labels"]["run_id"]
    return runs
