"""From a stored run to its report: the notebook is run in a process of its own, and its page takes the old one's place.

    OUT_DIR/RUN_ID/index.html                        the report: one file that opens anywhere
    OUT_DIR/RUN_ID/report.ipynb                      the notebook it came from, executed
    OUT_DIR/RUN_ID/run.json, cells.csv, …            its data (report/render/data_files.py)
    OUT_DIR/compare-BASELINE-CANDIDATE/index.html    two runs compared
    OUT_DIR/regional-ID/index.html                   one spec from several vantages
    OUT_DIR/trend-HASH/index.html                    a benchmark over its runs; a hash of its name

The process gets no environment but what Python needs, and folders of its own for Jupyter's and IPython's settings: what a
user configured there does not change a report, and no secret of the environment can get into one.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pullbench.errors import IncompleteError, UsageError
from pullbench.report.compare.runs import RunsCompared, compare_runs
from pullbench.report.core.stored import RESULTS_URL_VARIABLE, read_run
from pullbench.report.render.data_files import (
    write_comparison_beside,
    write_regional_beside,
    write_run_beside,
    write_trend_beside,
)
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
TIMEOUT_S = 900
_KEPT = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "SYSTEMROOT",
    "XDG_CACHE_HOME",
)
_STORAGE = ("AWS_", "AZURE_", "GOOGLE_", "FSSPEC_")
"""What fsspec's clients of object stores read; passed on only where the results are in one."""


def render_run_report(results_url: str, run_id: str, out_dir: Path, *, notebook: Path | None = None) -> Path:
    """Make the report of a stored run, by the notebook of its kind unless another is given, and return the path of its HTML; takes some 5 s.

    Raises UsageError where there is no such run, and IncompleteError that names the cell where the notebook failed, or
    the folder that cannot be written: the notebook so far is kept beside, an older HTML stays as it was.
    """
    store = ResultStore(_absolute(results_url))
    run = store.run(run_id)
    notebook = notebook or _NOTEBOOKS.get(run.kind, RUN_NOTEBOOK)
    title, again = f"{run.name} · {run_id} · pullbench", f"pullbench report {run_id}"
    parameters, folder = {"run_id": run_id}, out_dir.resolve() / run_id

    def write_data() -> None:
        write_run_beside(store, run_id, folder, page=PAGE)

    return _report(notebook, parameters, results_url, folder, title=title, again=again, meanwhile=write_data)


def render_comparison(
    results_url: str, baseline: str, candidate: str, out_dir: Path, *, found: RunsCompared | None = None
) -> Path:
    """Make the report that compares two stored runs, by their run_ids, and return the path of its HTML.

    `found` is what `compare_runs` made of them, where the caller has it already. Raises as `render_run_report` does.
    """
    store = ResultStore(_absolute(results_url))
    name = store.run(candidate).name
    folder = out_dir.resolve() / f"compare-{store.run(baseline).run_id}-{candidate}"
    title, again = f"{name} · comparison · pullbench", f"pullbench compare {baseline} {candidate}"
    parameters = {"baseline": baseline, "candidate": candidate}

    def write_data() -> None:
        compared = found or compare_runs(read_run(store, baseline), read_run(store, candidate))
        write_comparison_beside(compared, folder, page=PAGE)

    return _report(COMPARE_NOTEBOOK, parameters, results_url, folder, title=title, again=again, meanwhile=write_data)


def render_trend(
    results_url: str,
    name: str,
    last: int | None,
    out_dir: Path,
    *,
    vantage: str | None = None,
    found: Trend | None = None,
) -> Path:
    """Make the report of a benchmark over its runs and return the path of its HTML; raises as `render_run_report` does.

    `vantage` is that of the newest run unless given. `found` is what `trend_of` made of them, where the caller has it already.
    """
    store = ResultStore(_absolute(results_url))
    folder = trend_folder(out_dir, name, vantage)

    def write_data() -> None:
        write_trend_beside(found or trend_of(store, name, last=last, vantage=vantage), folder, page=PAGE)

    parameters = {"name": name, "last": last or 0, "vantage": vantage or ""}
    title = f"{name} · trend · pullbench"
    again = f"pullbench trend '{name}'" + (f" --vantage '{vantage}'" if vantage else "")
    return _report(TREND_NOTEBOOK, parameters, results_url, folder, title=title, again=again, meanwhile=write_data)


def render_regional(results_url: str, regional_id: str, out_dir: Path) -> Path:
    """Make the report of a regional benchmark and return the path of its HTML; raises as `render_run_report` does."""
    store = ResultStore(_absolute(results_url))
    name = RegionalRecords(store).read(regional_id).name
    folder = out_dir.resolve() / f"{REGIONAL_PREFIX}{check_run_id(regional_id)}"

    def write_data() -> None:
        write_regional_beside(store, regional_id, folder, page=PAGE)

    title, again = f"{name} · regions · pullbench", f"pullbench report {REGIONAL_PREFIX}{regional_id}"
    return _report(
        REGIONAL_NOTEBOOK,
        {"regional_id": regional_id},
        results_url,
        folder,
        title=title,
        again=again,
        meanwhile=write_data,
    )


def trend_folder(out_dir: Path, name: str, vantage: str | None = None) -> Path:
    """Where the trend of a name goes, from the newest run's vantage or from the one given: people choose names, so they become no path."""
    key = name if vantage is None else json.dumps([name, vantage])
    return out_dir.resolve() / f"trend-{hashlib.sha256(key.encode()).hexdigest()[:12]}"


def _report(
    notebook: Path,
    asked: Mapping[str, Any],
    results_url: str,
    folder: Path,
    *,
    title: str,
    again: str,
    meanwhile: Callable[[], None],
) -> Path:
    results_url = _absolute(results_url)
    parameters = {"results_url": _without_secrets(results_url), **asked}
    check_parameters(notebook, parameters)
    with _writing(folder, again):
        folder.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(1) as beside:
            # The notebook runs in a process of its own, so the data is written while it does.
            written = beside.submit(meanwhile)
            page = _render(notebook, parameters, results_url, folder, title=title)
            written.result()
        return page


def _absolute(results_url: str) -> str:
    return results_url if "://" in results_url else str(Path(results_url).resolve())


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
            f"{out_dir}: no report can be written there: {error.strerror}; give another folder with `--reports`"
        ) from error


@contextmanager
def _writing(folder: Path, again: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise IncompleteError(
            f"{error.filename or folder}: the report cannot be written there: {error.strerror or error}; the results "
            f"are stored: `{again} --reports DIR` makes it elsewhere"
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


def _render(notebook: Path, parameters: Mapping[str, Any], results_url: str, folder: Path, *, title: str) -> Path:
    executed, page = folder / "report.ipynb", folder / PAGE
    with tempfile.TemporaryDirectory(prefix="pullbench-") as temporary:
        made, job = Path(temporary) / "page.html", Path(temporary) / "job.json"
        asked = {"notebook": str(notebook), "executed": str(executed), "page": str(made), "title": title}
        job.write_text(json.dumps(asked | {"parameters": dict(parameters)}), encoding="utf-8")
        _execute(job, environment(Path(temporary), results_url, os.environ), executed)
        # Beside the old page, so that the renaming is one step of the file system.
        waiting = folder / f".index-{os.getpid()}.html"
        try:
            waiting.write_bytes(made.read_bytes())
            waiting.replace(page)
        finally:
            waiting.unlink(missing_ok=True)
    return page


def _execute(job: Path, variables: Mapping[str, str], executed: Path) -> None:
    command = [sys.executable, "-m", "pullbench.report.render.execute", str(job)]
    kept = f"the notebook so far is {executed}, the results are stored"
    try:
        done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise IncompleteError(f"the report was not done after {TIMEOUT_S} s; {kept}") from error
    if done.returncode == 0:
        return
    try:
        failure = json.loads(done.stdout.strip().splitlines()[-1])
        where = f"cell [{failure['count']}], '{failure['cell']}': {_line(failure['error'])}"
    except (IndexError, ValueError, KeyError):
        where = _line((done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1])
    raise IncompleteError(f"the report failed in {where}; {kept}")


def environment(folder: Path, results_url: str, variables: Mapping[str, str]) -> dict[str, str]:
    """The variables of the process that makes a report: what Python needs, the whole URL of the results, and nothing else."""
    remote = urlsplit(results_url).scheme not in ("", "file")
    kept = {name: value for name, value in variables.items() if name in _KEPT or (remote and name.startswith(_STORAGE))}
    own = {
        name: str(folder / "jupyter")
        for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR", "XDG_CONFIG_HOME")
    }
    path = os.pathsep.join(filter(None, sys.path))  # so that it imports this same code, installed or not
    fixed = {"JUPYTER_RUNTIME_DIR": str(folder / "run"), "JUPYTER_NO_CONFIG": "1", "JUPYTER_PLATFORM_DIRS": "1"}
    fixed |= {RESULTS_URL_VARIABLE: results_url}
    return kept | own | fixed | {"PYTHONPATH": path, "PYTHONIOENCODING": "utf-8", "MPLBACKEND": "svg"}


def _line(text: str) -> str:
    first = text.strip().splitlines()[0] if text.strip() else "no reason was given"
    return first if len(first) <= 300 else first[:299] + "…"
