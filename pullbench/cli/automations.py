"""`automations install`: the automations of monitoring/prefect on a server."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    help="Install alerts in Prefect: missed SLOs, failures, regressions.",
)


@app.callback()
def _group() -> None:
    """Keeps `install` a sub-command: it is the only one."""


@app.command()
def install(
    notify: Annotated[
        str | None,
        typer.Option(
            metavar="TYPE/NAME", help="The notification block that sends them, such as slack-webhook/on-call."
        ),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="DIR", help="Directory of their files. Default: the project's monitoring/prefect."
        ),
    ] = None,
) -> int:
    """Install the alerts of monitoring/prefect.

    The server is that of PREFECT_API_URL. An alert that exists is updated.
    """
    from pullbench.cli.terminal.safe_text import print_line
    from pullbench.serving.automations import install_on_server

    done = install_on_server(folder=folder, notify=notify)
    for word, names in (("created", done.made), ("changed", done.changed), ("unchanged", done.unchanged)):
        for name in names:
            print_line(f"{word:9}  {name}")
    if done.idle:
        print_line(
            "Without an action they are switched off. `--notify TYPE/NAME`, such as slack-webhook/on-call, gives them one and "
            "switches them on."
        )
    return 0
