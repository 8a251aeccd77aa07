"""Arguments and options that several commands take, each with one help text."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from pullbench.errors import UsageError

SpecFile = Annotated[Path, typer.Argument(metavar="SPEC", help="The spec file (YAML).")]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Change the spec, such as matrix.concurrency=[1,4]; may be given again."
    ),
]
Results = Annotated[str, typer.Option(metavar="DIR", help="Where results are stored: a folder or an fsspec URL.")]
Reports = Annotated[Path, typer.Option(metavar="DIR", help="Where HTML reports go.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout; everything else goes to stderr.")]
LogJson = Annotated[
    Path | None,
    typer.Option(
        "--log-json",
        metavar="FILE",
        envvar="PULLBENCH_LOG_JSON",
        help="Append log lines (ECS JSON), a line a failed pull.",
    ),
]
Resume = Annotated[str | None, typer.Option(metavar="RUN_ID", help="Go on with an incomplete run.")]
Vantage = Annotated[str, typer.Option(help="Label of the place where this client stands.")]
SkipPreflight = Annotated[bool, typer.Option("--skip-preflight", help="Send load without checking first.")]
NoReport = Annotated[bool, typer.Option("--no-report", help="Store the results, render nothing.")]
RunId = Annotated[
    str, typer.Argument(metavar="RUN_ID", help="A run, as `pullbench runs` lists it; 'latest'; a label; or a name.")
]

_AGE_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def read_age(text: str) -> timedelta:
    """`90m`, `24h`, `7d` or `2w`; raises UsageError with what would be right."""
    found = re.fullmatch(r"(\d{1,5})([mhdw])", text.strip())
    if found is None:
        raise UsageError(f"--older-than: '{text}' is no age: a whole number with m, h, d or w, such as 7d")
    return timedelta(**{_AGE_UNITS[found[2]]: int(found[1])})


Prefect = Annotated[
    bool,
    typer.Option(
        "--prefect", help="Run through the Prefect flow, shown in the UI. Default: only where PREFECT_API_URL is set."
    ),
]
