"""`automations install`: the automations of monitoring/prefect on a server."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    add_completion=False,
    help="What Prefect tells, and to whom: missed SLOs, failures in a row, regressions.",
)


@app.callback()
def _group() -> None:
    """Keeps `install` a sub-command although it is the only one."""


@app.command()
def install(
    notify: Annotated[
        str | None,
        typer.Option(
            metavar="TYPE/NAME", help="The notification block that carries them, such as slack-webhook/on-call."
        ),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option("--from", metavar="DIR", help="Their files. Default: the checkout's monitoring/prefect."),
    ] = None,
) -> int:
    """Bring the automations of monitoring/prefect to the server that PREFECT_API_URL names; none is made twice."""
    from pullbench.cli.commands.automations import install_automations

    return install_automations(folder=folder, notify=notify)
