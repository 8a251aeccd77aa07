"""Arguments and options that several commands take, each with one help text."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from pullbench.errors import UsageError


def complete_runs(incomplete: str) -> list[str]:
    """For a shell's completion: the runs stored in ./results that start so, and `latest`."""
    try:
        stored = sorted((path.name for path in Path("results/runs").iterdir()), reverse=True)
    except OSError:
        stored = []
    return [name for name in ("latest", *stored) if name.startswith(incomplete)]


SpecFile = Annotated[Path, typer.Argument(metavar="SPEC", help="The spec file (YAML).")]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change one value of the spec, such as 'matrix.concurrency=[1,4]'; repeatable.",
    ),
]
Results = Annotated[str, typer.Option(metavar="DIR", help="Where results are stored: a directory or an fsspec URL.")]
Reports = Annotated[Path, typer.Option(metavar="DIR", help="The directory for HTML reports.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout; all else goes to stderr.")]
LogJson = Annotated[
    Path | None,
    typer.Option(
        "--log-json",
        metavar="FILE",
        envvar="PULLBENCH_LOG_JSON",
        help="Append log lines in ECS JSON, one for each failed pull.",
    ),
]
Resume = Annotated[str | None, typer.Option(metavar="RUN_ID", help="Continue an incomplete run; or 'latest'.")]
Vantage = Annotated[str, typer.Option(metavar="NAME", help="A label for where the client runs.")]
SkipPreflight = Annotated[bool, typer.Option("--skip-preflight", help="Send load without checking first.")]
Only = Annotated[
    list[str] | None,
    typer.Option(metavar="ID", help="Run only this check or group of checks; repeatable."),
]
Skip = Annotated[list[str] | None, typer.Option(metavar="ID", help="Skip this check or group of checks; repeatable.")]
NoReport = Annotated[bool, typer.Option("--no-report", help="Store the results, write no report.")]
RunId = Annotated[
    str,
    typer.Argument(
        autocompletion=complete_runs,
        metavar="RUN_ID",
        help="A run_id from `pullbench runs`, 'latest', a label such as commit=3f4ff3c, or a name.",
    ),
]

_AGE_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def read_age(text: str) -> timedelta:
    """`90m`, `24h`, `7d` or `2w`; raises UsageError with what would be right."""
    found = re.fullmatch(r"(\d{1,5})([mhdw])", text.strip())
    if found is None:
        raise UsageError(f"--older-than: '{text}' is not an age: give a whole number with m, h, d or w, such as 7d")
    return timedelta(**{_AGE_UNITS[found[2]]: int(found[1])})


Prefect = Annotated[
    bool,
    typer.Option(
        "--prefect", help="Run through the Prefect flow, visible in its UI. Default: if PREFECT_API_URL is set."
    ),
]
