"""`python -m benchmarks.pictures [DIRECTORY]`: the pictures of README.md and docs/, from demo runs made on this machine.

The run is `pullbench demo` itself. Comparison, trend and site show a history of runs over the lab's far line, which has four
times the delay in the second half of them. The pictures show what pullbench measured of that. Needs about five minutes and a
Chromium; other work on the machine is visible in the pictures.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from pullbench.bench.active_run import ActiveRun
from pullbench.bench.specfile import as_yaml, load_spec
from pullbench.bench.workbench import Workbench
from pullbench.lab.embedded import FAR, EmbeddedLab
from pullbench.lab.link import LinkShape
from pullbench.report.render.render import render_comparison, render_run_report, render_trend
from pullbench.report.site.build import build_site
from pullbench.store.dataset import ResultStore

IMAGES = Path(__file__).parents[1] / "docs" / "images"
RUNS_OF_A_HALF = 6
SLOWER = LinkShape(delay_s=4 * FAR.delay_s, rate_bytes_per_s=FAR.rate_bytes_per_s)
HISTORY = "nightly"
_WIDTH, _MOST_HEIGHT, _COLOURS = 1120, 1150, 128


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="pullbench-pictures-") as temporary:
        results, reports = str(Path(temporary) / "results"), Path(temporary) / "reports"
        demo = [sys.executable, "-m", "pullbench", "demo", "--results", results, "--reports", str(reports)]
        subprocess.run(demo, check=True)
        store = ResultStore(results)
        pages = {"report": reports / store.runs()[0].run_id / "index.html"}
        run_ids = history(store, Path(temporary))
        before, after = run_ids[RUNS_OF_A_HALF - 1], run_ids[-1]
        pages["comparison"] = render_comparison(results, before, after, reports)
        pages["trend"] = render_trend(results, HISTORY, None, reports)
        for run_id in (before, after):
            render_run_report(results, run_id, reports)
        pages["site"] = build_site(store, reports).page
        with _browser() as tab:
            for name, page in pages.items():
                take(tab, page, folder / f"{name}.png")


def history(store: ResultStore, folder: Path) -> list[str]:
    """Runs against the far registry, oldest first: half with the lab as it is, half with a slower line."""
    run_ids = []
    for half, far in enumerate((FAR, SLOWER)):
        with EmbeddedLab.start(links={"us": far}) as lab:
            spec = folder / f"{HISTORY}-{half}.yaml"
            given = lab.spec(quick=True) | {"name": HISTORY, "labels": {"lab": "quick"}, "repetitions": 5}
            given["matrix"] |= {"registries": ["us"], "proxies": ["direct"], "concurrency": [1, 2, 4]}
            spec.write_text(as_yaml(given), encoding="utf-8")
            for _ in range(RUNS_OF_A_HALF):
                run_ids.append(measure(spec, store))
                print(f"run {len(run_ids)} of {2 * RUNS_OF_A_HALF}: {run_ids[-1]}")
    return run_ids


def measure(spec: Path, store: ResultStore) -> str:
    """One run without Prefect, and its run_id."""
    environ = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    with Workbench(load_spec(spec), vantage="lab", environ=environ) as bench:
        active = ActiveRun.begin(bench, store, bench.gather())
        active.preflight()
        for trial in active.plan.trials:
            active.run_trial(trial)
        active.finish("complete")
        return active.run_id


@contextmanager
def _browser() -> Iterator[Page]:
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        raise SystemExit("pictures: no chromium is installed; `apt-get install chromium` installs it")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        yield browser.new_page(viewport={"width": _WIDTH, "height": 800}, color_scheme="light")
        browser.close()


def take(tab: Page, page: Path, picture: Path) -> None:
    """The top of a page, down to the last section that fits, as a PNG of few colours."""
    tab.goto(page.as_uri())
    ends = tab.evaluate(
        "[...document.querySelectorAll('h2, body')].map(each => each.tagName == 'BODY' ? each.scrollHeight"
        " : each.getBoundingClientRect().top + scrollY - 16)"
    )
    fitting = [end for end in ends if end <= _MOST_HEIGHT]
    height = max(fitting) if fitting else _MOST_HEIGHT
    tab.screenshot(path=picture, full_page=True, clip={"x": 0, "y": 0, "width": _WIDTH, "height": height})
    with Image.open(picture) as taken:
        taken.convert("RGB").quantize(_COLOURS).save(picture, optimize=True)
    print(f"{picture}: {picture.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES)
