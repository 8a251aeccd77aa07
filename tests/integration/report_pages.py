"""One set of reports for the tests of their pages: a run with failures and every factor, a hostile one, a comparison, a trend, a site."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from pullbench.model.finding import Finding, Status
from pullbench.report.render.render import render_comparison, render_run_report, render_trend
from pullbench.report.site.build import build_site
from pullbench.store.dataset import ResultStore
from tests.report import synthetic
from tests.report.synthetic import RUN_ID, STARTED_AT, Recipe

HOSTILE = '</td><script>alert("x")</script><img src=http://evil.example/x onerror=alert(1)> \u202egnp\x1b[31m '
LONG = HOSTILE + "y" * 10_000
LATER, NIGHTLY, EVIL = "20261124T161500Z-later", "nightly", "20261125T000000Z-evil"
FULL = Recipe(concurrency=(1, 4), pulls=5, blocks=3, proxy_cache=("cold", "warm"), failure_rate=0.15)
SMALL = Recipe(engines=("wire", "docker"), concurrency=(1, 2), blocks=3, pulls=4, failure_rate=0.4)


@dataclass(frozen=True)
class Reports:
    """The pages, by kind, and the store that they were made from."""

    store: ResultStore
    pages: dict[str, Path]


def make_reports(folder: Path) -> Reports:
    """Render every kind of page, two at a time."""
    store = synthetic.make(folder / "results", FULL)
    later = replace(FULL, run_id=LATER, started_at=STARTED_AT + timedelta(days=1), slower=1.4, seed=8)
    synthetic.make(folder / "results", replace(later, warmup=0, labels={"commit": "9a1b2c3"}))
    for night in range(14):
        at = STARTED_AT + timedelta(days=20 * (night - 15))
        made = replace(SMALL, name=NIGHTLY, run_id=f"night-{night}", started_at=at, seed=night, warmup=0)
        made = replace(made, concurrency=(1,), engines=("wire",), routes=(("eu", "direct"),), failure_rate=0.0)
        synthetic.make(folder / "results", replace(made, slower=1.0 if night < 8 else 1.5))
    _hostile(folder / "results")
    reports = folder / "reports"
    with ThreadPoolExecutor(2) as two:
        waiting = {
            "run": two.submit(render_run_report, store.url, RUN_ID, reports),
            "hostile": two.submit(render_run_report, store.url, EVIL, reports),
            "comparison": two.submit(render_comparison, store.url, RUN_ID, LATER, reports),
            "trend": two.submit(render_trend, store.url, NIGHTLY, None, reports),
        }
        pages = {kind: page.result() for kind, page in waiting.items()}
    return Reports(store=store, pages=pages | {"site": build_site(store, reports).page})


def _hostile(results: Path) -> None:
    """A run whose images, errors, headers, checks, labels and machine say what a page must not obey."""
    images = (LONG, f"\"{HOSTILE}'", "镜像" * 100, "d" * 10_000)
    at = STARTED_AT + timedelta(days=2)
    recipe = replace(SMALL, run_id=EVIL, started_at=at, name=LONG, images=images, error_text=LONG, labels={LONG: LONG})
    store = synthetic.make(results, recipe)
    evidence = json.dumps({"headers": {"server": LONG, HOSTILE: "x"}})
    checks = [
        Finding(
            check="api",
            target=f"eu {LONG}",
            status=status,
            observed=LONG,
            expected=HOSTILE,
            remedy=LONG,
            evidence=evidence,
        )
        for status in (Status.FAIL, Status.WARN, Status.PASS, Status.SKIP)
    ] + [Finding(check="dns", target=f"us {LONG}", status=Status.PASS, observed=HOSTILE)]
    store.write_checks(EVIL, LONG, checks, at)
    run = store.run(EVIL)
    environment = json.loads(run.environment) | {"cpu": LONG, HOSTILE: LONG, "engines": {"wire": {"version": LONG}}}
    planned_out = [{"cell": {"engine": LONG, "registry": HOSTILE}, "reason": LONG}]
    store.write_run(
        replace(run, vantage=LONG, environment=json.dumps(environment), planned_out=json.dumps(planned_out))
    )
