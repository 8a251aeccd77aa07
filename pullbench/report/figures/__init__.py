"""The figures of the report; each gives a `<figure>`, or nothing where the run has nothing of its kind to show."""

from pullbench.report.figures.break_even import break_even
from pullbench.report.figures.calibration import calibrated
from pullbench.report.figures.concurrency import concurrency
from pullbench.report.figures.contrast import contrast
from pullbench.report.figures.ecdf import ecdf
from pullbench.report.figures.fleet import spread
from pullbench.report.figures.heat import heat
from pullbench.report.figures.overview import overview
from pullbench.report.figures.panel import panel
from pullbench.report.figures.ratios import ratios
from pullbench.report.figures.regional import regions
from pullbench.report.figures.timeline import timeline
from pullbench.report.figures.trend import trend
from pullbench.report.figures.waterfall import waterfalls

__all__ = [
    "break_even",
    "calibrated",
    "concurrency",
    "contrast",
    "ecdf",
    "heat",
    "overview",
    "panel",
    "ratios",
    "regions",
    "spread",
    "timeline",
    "trend",
    "waterfalls",
]
