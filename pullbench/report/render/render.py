"""From a stored run to its report: the notebook is run in a process of its own, and its page takes the old one's place.

OUT_DIR/RUN_ID/index.html                        the report: one file that opens anywhere
OUT_DIR/RUN_ID/report.ipynb                      the notebook it came from, executed
OUT_DIR/RUN_ID/run.json, cells.csv, …            its data (report/render/data_files.py)
OUT_DIR/compare-BASELINE-CANDIDATE/index.html    two runs compared
OUT_DIR/regional-ID/index.html                   one spec from several vantages
OUT_DIR/trend-HASH/index.html                    a benchmark over its runs; a hash of its name
"""

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pullbench.errors import IncompleteError, UsageError
from pullbench.report.compare.runs import RunsCompared, compare_runs
from pullbench.report.core.stored import read_run
from pullbench.report.render.data_files import (
    write_comparison_beside,
    write_regional_beside,
    write_run_beside,
    write_trend_beside,
)
from pullbench.report.render.home_link import shown
from pullbench.report.render.renderer import Renderer, absolute_url
from pullbench.report.trend.changes import Trend, trend_of
from pullbench.store.dataset import ResultStore, check_run_id
from pullbench.store.regional import RegionalRecords
from pullbench.store.shipped import shipped

RUN_NOTEBOOK = shipped("notebooks/run_report.ipynb")
STRESS_NOTEBOOK = shipped("notebooks/stress_report.ipynb")
FLEET_NOTEBOOK = shipped("notebooks/fleet_report.ipynb")
CALIBRATION_NOTEBOOK = shipped("notebooks/calibration_report.ipynb")
COMPARE_NOTEBOOK = shipped("notebooks/compare_runs.ipynb")
TREND_NOTEBOOK = shipped("notebooks/trend.ipynb")
REGIONAL_NOTEBOOK = shipped("notebooks/regional_report.ipynb")
_NOTEBOOKS = {"stress": STRESS_NOTEBOOK, "fleet": FLEET_NOTEBOOK, "calibration": CALIBRATION_NOTEBOOK}
"""Of the kinds of run that have a report of their own."""
PAGE = "index.html"
REGIONAL_PREFIX = "regional-"
"""What tells the name of a regional benchmark from a run's, in folders and on the command line."""


def render_run_report(
    results_url: str,
    run_id: str,
    out_dir: Path,
    *,
    notebook: Path | None = None,
    document: Mapping[str, Any] | None = None,
    renderer: Renderer | None = None,
) -> Path:
    """Make the report of a stored run, by the notebook of its kind unless another is given, and return the path of its HTML.

    `document` is the run's, where the caller has it already. A `renderer` of these results makes several reports, or was
    started early; without one a process is started for this report, which takes some 3 s. Raises UsageError where there is no such run, and IncompleteError that names the cell where the notebook failed, or
    the folder that cannot be written: the notebook so far is kept beside, an older HTML stays as it was.
    """
    store = ResultStore(absolute_url(results_url))
    run = store.run(run_id)
    notebook = notebook or _NOTEBOOKS.get(run.kind, RUN_NOTEBOOK)
    title, again = f"{run.name} · {run_id} · pullbench", f"pullbench report {run_id}"
    parameters, folder = {"run_id": run_id}, out_dir.resolve() / run_id

    def write_data() -> None:
        write_run_beside(store, run_id, folder, page=PAGE, document=document)

    target = ReportTarget(folder=folder, title=title, again=again)
    return _report(notebook, parameters, results_url, target, meanwhile=write_data, renderer=renderer)


def render_comparison(
    results_url: str,
    baseline: str,
    candidate: str,
    out_dir: Path,
    *,
    found: RunsCompared | None = None,
    renderer: Renderer | None = None,
) -> Path:
    """Make the report that compares two stored runs, by their run_ids, and return the path of its HTML.

    `found` is what `compare_runs` made of them, where the caller has it already. Raises as `render_run_report` does.
    """
    store = ResultStore(absolute_url(results_url))
    name = store.run(candidate).name
    folder = out_dir.resolve() / f"compare-{store.run(baseline).run_id}-{candidate}"
    title, again = f"{name} · comparison · pullbench", f"pullbench compare {baseline} {candidate}"
    parameters = {"baseline": baseline, "candidate": candidate}

    def write_data() -> None:
        compared = found or compare_runs(read_run(store, baseline), read_run(store, candidate))
        write_comparison_beside(compared, folder, page=PAGE)

    target = ReportTarget(folder=folder, title=title, again=again)
    return _report(COMPARE_NOTEBOOK, parameters, results_url, target, meanwhile=write_data, renderer=renderer)


def render_trend(
    results_url: str,
    name: str,
    last: int | None,
    out_dir: Path,
    *,
    vantage: str | None = None,
    found: Trend | None = None,
    renderer: Renderer | None = None,
) -> Path:
    """Make the report of a benchmark over its runs and return the path of its HTML; raises as `render_run_report` does.

    `vantage` is that of the newest run unless given. `found` is what `trend_of` made of them, where the caller has it already.
    """
    store = ResultStore(absolute_url(results_url))
    folder = trend_folder(out_dir, name, vantage)

    def write_data() -> None:
        write_trend_beside(found or trend_of(store, name, last=last, vantage=vantage), folder, page=PAGE)

    parameters = {"name": name, "last": last or 0, "vantage": vantage or ""}
    title = f"{name} · trend · pullbench"
    again = f"pullbench trend '{name}'" + (f" --vantage '{vantage}'" if vantage else "")
    target = ReportTarget(folder=folder, title=title, again=again)
    return _report(TREND_NOTEBOOK, parameters, results_url, target, meanwhile=write_data, renderer=renderer)


def render_regional(results_url: str, regional_id: str, out_dir: Path, *, renderer: Renderer | None = None) -> Path:
    """Make the report of a regional benchmark and return the path of its HTML; raises as `render_run_report` does."""
    store = ResultStore(absolute_url(results_url))
    name = RegionalRecords(store).read(regional_id).name
    folder = out_dir.resolve() / f"{REGIONAL_PREFIX}{check_run_id(regional_id)}"

    def write_data() -> None:
        write_regional_beside(store, regional_id, folder, page=PAGE)

    title, again = f"{name} · regions · pullbench", f"pullbench report {REGIONAL_PREFIX}{regional_id}"
    target, parameters = ReportTarget(folder=folder, title=title, again=again), {"regional_id": regional_id}
    return _report(REGIONAL_NOTEBOOK, parameters, results_url, target, meanwhile=write_data, renderer=renderer)


def trend_folder(out_dir: Path, name: str, vantage: str | None = None) -> Path:
    """Where the trend of a name goes, from the newest run's vantage or from the one given: people choose names, so they become no path."""
    key = name if vantage is None else json.dumps([name, vantage])
    return out_dir.resolve() / f"trend-{hashlib.sha256(key.encode()).hexdigest()[:12]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportTarget:
    """Where a report goes, its title, and the command that makes it again."""

    folder: Path
    title: str
    again: str


def _report(
    notebook: Path,
    asked: Mapping[str, Any],
    results_url: str,
    target: ReportTarget,
    *,
    meanwhile: Callable[[], None],
    renderer: Renderer | None,
) -> Path:
    results_url = absolute_url(results_url)
    parameters = {"results_url": _without_secrets(results_url), **asked}
    check_parameters(notebook, parameters)
    if renderer is not None and renderer.results_url != results_url:
        raise ValueError("a renderer makes the reports of one results store")
    with _writing(target), nullcontext(renderer) if renderer is not None else Renderer(results_url) as made_by:
        target.folder.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(1) as beside:
            # The notebook runs in a process of its own, so the data is written while it does.
            written = beside.submit(meanwhile)
            page = _render(made_by, notebook, parameters, target)
            written.result()
        return page


def find_report(reports: Path, run_id: str) -> Path | None:
    """The HTML that an earlier call made of a run under a reports folder, as `render_run_report` named it."""
    page = reports.resolve() / check_run_id(run_id) / PAGE
    with suppress(OSError):
        return page if page.is_file() else None
    return None


def check_out_dir(out_dir: Path) -> None:
    """See, before anything is measured, that reports can be written to a folder that may not be there yet.

    A trial folder is made in the nearest folder that is there, and removed. Raises UsageError in one line.
    """
    try:
        nearest = next(path for path in (out_dir.resolve(), *out_dir.resolve().parents) if path.exists())
        with tempfile.TemporaryDirectory(prefix=".pullbench-", dir=nearest):
            pass
    except OSError as error:
        raise UsageError(
            f"{out_dir}: no report can be written there: {error.strerror}; name another directory with `--reports`"
        ) from error


@contextmanager
def _writing(target: ReportTarget) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise IncompleteError(
            f"{error.filename or target.folder}: the report cannot be written there: {error.strerror or error}; the results "
            f"are stored: `{target.again} --reports DIR` makes it elsewhere"
        ) from error


def _without_secrets(results_url: str) -> str:
    """What a notebook may keep of a URL: no user, no password, no query; a path as it is."""
    if "://" not in results_url:
        return results_url
    parts = (part.partition("?")[0].partition("#")[0] for part in results_url.split("::"))
    # A password may hold a slash that nobody escaped: up to the last @ where the host would have a port that is none.
    return "::".join(re.sub(r"://(?:[^/]*:(?!\d+/).*@|[^/]*@)", "://", part) for part in parts)


def check_parameters(notebook: Path, parameters: Mapping[str, Any]) -> None:
    """See that a notebook has just these parameters, of which papermill would only warn; raises UsageError."""
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(f"{notebook}: no notebook that can be read ({error}); take it from the repository") from error
    tagged = [cell for cell in cells if "parameters" in cell.get("metadata", {}).get("tags", [])]
    lines = "".join("".join(cell["source"]) + "\n" for cell in tagged).splitlines()
    known = {line.partition("=")[0].partition(":")[0].strip() for line in lines if "=" in line}
    if known != set(parameters):
        wanted, there = ", ".join(sorted(parameters)), ", ".join(sorted(known)) or "none"
        raise UsageError(f"{notebook}: its cell tagged `parameters` sets {there}; it must set {wanted}")


def _render(renderer: Renderer, notebook: Path, parameters: Mapping[str, Any], target: ReportTarget) -> Path:
    page = target.folder / PAGE
    made = renderer.page(notebook, parameters, target.folder / "report.ipynb", title=target.title)
    if (target.folder.parent / PAGE).is_file():
        made = shown(made)
    # Beside the old page, so that the renaming is one step of the file system.
    waiting = target.folder / f".index-{os.getpid()}.html"
    try:
        waiting.write_bytes(made)
        waiting.replace(page)
    finally:
        waiting.unlink(missing_ok=True)
    return page
