"""`serve`: Prefect's server and UI."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False)

_CHECKOUT_HELP = "A checkout of pullbench. Default: the current folder if it is one, else the one that is installed."


@app.command()
def serve(
    checkout: Annotated[Path | None, typer.Option(metavar="DIR", help=_CHECKOUT_HELP)] = None,
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
) -> int:
    """Serve Prefect's UI, the deployments of prefect.yaml, a worker and the reports, until Ctrl-C."""
    from pullbench.cli.commands.serve import serve as serve_until_interrupted

    return serve_until_interrupted(
        checkout=checkout,
        host=host,
        port=port,
        reports_port=reports_port,
        database=database,
        pools=pool or ["local"],
    )
