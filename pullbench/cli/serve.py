"""`serve`: Prefect's server and UI."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_PROJECT_HELP = (
    "A checkout of pullbench, or what `pullbench init --project` wrote. Default: the current directory if it is one; "
    "otherwise the installed project, with results and reports in the current directory."
)


@app.command()
def serve(
    project: Annotated[Path | None, typer.Option("--project", "--checkout", metavar="DIR", help=_PROJECT_HELP)] = None,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Where to listen. Prefect has no login, so keep it on loopback.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="PORT", help="Port of server and UI; 0 takes a free one.")
    ] = 4200,
    reports_port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="PORT", help="Port of the reports; 0 takes a free one.")
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
        typer.Option(metavar="NAME", help="Start a worker for this work pool; repeatable. Default: local."),
    ] = None,
) -> int:
    """Serve Prefect's UI, a worker and the reports until Ctrl-C.

    The deployments are those of prefect.yaml: benchmarks from a form, or on a schedule.
    """
    from pullbench.cli.terminal.safe_text import print_line
    from pullbench.serving.serve import serve as serve_until_interrupted

    serve_until_interrupted(
        project=project,
        host=host,
        port=port,
        reports_port=reports_port,
        database=database,
        pools=pool or ["local"],
        note=print_line,
    )
    return 0
