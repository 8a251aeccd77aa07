"""A calibration: a benchmark of a lab whose truth the run learns when nothing is left to measure."""

import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pullbench.app.run import Prepared, RunRequest
from pullbench.bench.specfile import as_yaml
from pullbench.lab.calibration import CalibrationLab
from pullbench.report.render.render import check_out_dir

_SEEDS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationRequest:
    """What a person asks for when a calibration is started; without a seed the truth is another each time."""

    seed: int | None = None
    quick: bool = False
    vantage: str = "local"
    results: str = "results"
    reports: Path = Path("reports")
    report: bool = True


@contextmanager
def prepared_lab(request: CalibrationRequest, block: Callable[[str], str] | None = None) -> Iterator[Prepared]:
    """The lab while it runs, and a benchmark of its spec, a file of names and addresses; raises as both do."""
    if request.report:
        check_out_dir(request.reports)
    seed = request.seed or 1 + secrets.randbelow(_SEEDS)
    with (
        tempfile.TemporaryDirectory(prefix="pullbench-calibration-") as folder,
        CalibrationLab.start(seed=seed, quick=request.quick) as lab,
    ):
        spec = Path(folder) / "calibration.yaml"
        spec.write_text(as_yaml(lab.spec()), encoding="utf-8")
        run = RunRequest(
            spec=spec,
            vantage=request.vantage,
            results=request.results,
            reports=request.reports,
            report=request.report,
            kind="calibration",
        )
        with Prepared(run, block=block, on_begin=lab.begin, truth=lab.end) as prepared:
            yield prepared
