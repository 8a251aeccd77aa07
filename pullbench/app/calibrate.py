"""A calibration as a benchmark of a lab: what flow and command share. Free of Prefect."""

import functools
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pullbench.app.run import Prepared, Request
from pullbench.bench.calibration import CalibrationSession
from pullbench.bench.specfile import as_yaml
from pullbench.lab.calibration import CalibrationLab
from pullbench.report.render.render import check_out_dir

_SEEDS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a person asks for when a calibration is started; without a seed the truth is another each time."""

    seed: int | None = None
    quick: bool = False
    vantage: str = "local"
    results: str = "results"
    reports: Path = Path("reports")
    report: bool = True


@contextmanager
def prepared_lab(asked: Asked, block: Callable[[str], str] | None = None) -> Iterator[Prepared]:
    """The lab while it runs, and a benchmark of its spec, a file of names and addresses; raises as both do."""
    if asked.report:
        check_out_dir(asked.reports)
    seed = asked.seed or 1 + secrets.randbelow(_SEEDS)
    with (
        tempfile.TemporaryDirectory(prefix="pullbench-calibration-") as folder,
        CalibrationLab.start(seed=seed, quick=asked.quick) as lab,
    ):
        spec = Path(folder) / "calibration.yaml"
        spec.write_text(as_yaml(lab.spec()), encoding="utf-8")
        request = Request(
            spec=spec,
            vantage=asked.vantage,
            results=asked.results,
            reports=asked.reports,
            report=asked.report,
            kind="calibration",
        )
        session = functools.partial(CalibrationSession, on_begin=lab.begin, truth=lab.end)
        yield Prepared(request, block=block, session=session)
