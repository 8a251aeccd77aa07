"""The commands around Prefect's server: `serve` and `automations`."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()
automations_app = typer.Typer(help="What Prefect tells, and to whom: missed SLOs, failures in a row, regressions.")

_PROJECT_HELP = (
    "A checkout of pullbench, or what `pullbench init --project` wrote. Default: the current folder if it is one, else what "
    "is installed, with results and reports in the current folder."
)


@app.command()
def serve(
    project: Annotated[Path | None, typer.Option("--project", "--checkout", metavar="DIR", help=_PROJECT_HELP)] = None,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Where to listen. Prefect asks for no login: keep it to loopback.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="PORT", help="Of server and UI; 0 takes a free one.")
    ] = 4200,
    reports_port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="PORT", help="Of the reports; 0 takes a free one.")
    ] = 4201,
    database: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            envvar="PREFECT_SERVER_DATABASE_CONNECTION_URL",
            help="postgresql://USER:PASSWORD@HOST/NAME. Default: SQLite in Prefect's home.",
        ),
    ] = None,
    pool: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A work pool to work for; may be given again. Default: local."),
    ] = None,
) -> None:
    """Serve Prefect's UI, the deployments of prefect.yaml, a worker and the reports, until Ctrl-C."""
    from pullbench.cli.commands.serve import serve as serve_until_interrupted

    code = serve_until_interrupted(
        project=project,
        host=host,
        port=port,
        reports_port=reports_port,
        database=database,
        pools=pool or ["local"],
    )
    raise typer.Exit(code)


@automations_app.command("install")
def install(
    notify: Annotated[
        str | None,
        typer.Option(
            metavar="TYPE/NAME", help="The notification block that carries them, such as slack-webhook/on-call."
        ),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option("--from", metavar="DIR", help="Their files. Default: the project's monitoring/prefect."),
    ] = None,
) -> None:
    """Bring the automations of monitoring/prefect to the server that PREFECT_API_URL names; none is made twice."""
    from pullbench.cli.commands.automations import install_automations

    raise typer.Exit(install_automations(folder=folder, notify=notify))
