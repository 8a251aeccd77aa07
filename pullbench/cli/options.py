"""Arguments and options that several commands take, each with one help text."""

from pathlib import Path
from typing import Annotated

import typer

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
