"""The commands `metrics …`: what pullbench/cli/main.py is for the others."""

from pathlib import Path
from typing import Annotated

import typer

from pullbench.cli.options import Results

app = typer.Typer(
    no_args_is_help=True,
    help="What stored runs measured, for Prometheus: the newest run of each benchmark and vantage.",
)

Names = Annotated[
    list[str] | None,
    typer.Option("--name", metavar="GLOB", help="Only benchmarks so named, such as 'prod-*'; may be given again."),
]
MostSeries = Annotated[
    int, typer.Option(min=1, metavar="N", help="The limit on series; what it leaves out is told and counted.")
]
_MOST_SERIES = 10_000


@app.command()
def textfile(
    path: Annotated[str, typer.Argument(metavar="PATH", help="A .prom file that node_exporter reads; - is stdout.")],
    name: Names = None,
    most_series: MostSeries = _MOST_SERIES,
    results: Results = "results",
) -> None:
    """Write the metrics as a file for node_exporter's textfile collector, replaced as a whole."""
    from pullbench.cli.commands import metrics

    scope = metrics.Scope(results=results, names=tuple(name or ()), most_series=most_series)
    raise typer.Exit(metrics.write_textfile(path, scope))


@app.command()
def serve(
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where Prometheus scrapes; port 0 is any free one.")
    ] = "127.0.0.1:9464",
    every: Annotated[
        float, typer.Option(min=0.1, metavar="SECONDS", help="How often to look for runs that ended.")
    ] = 30.0,
    name: Names = None,
    most_series: MostSeries = _MOST_SERIES,
    results: Results = "results",
) -> None:
    """Serve the metrics to Prometheus until Ctrl-C; prints the URL to scrape."""
    from pullbench.cli.commands import metrics

    scope = metrics.Scope(results=results, names=tuple(name or ()), most_series=most_series)
    raise typer.Exit(metrics.serve(listen, scope, every_s=every))


@app.command()
def push(
    url: Annotated[str, typer.Argument(metavar="URL", help="A Pushgateway, such as http://127.0.0.1:9091.")],
    credentials: Annotated[
        str, typer.Option(metavar="SOURCE", help="anonymous, or env:PREFIX for Basic authentication, as in a spec.")
    ] = "anonymous",
    plain_http_credentials: Annotated[
        bool,
        typer.Option(
            "--plain-http-credentials", help="Send them over plain http to another machine too: readable by all."
        ),
    ] = False,
    ca_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="PEM file of the CA that signed its certificate.")
    ] = None,
    name: Names = None,
    most_series: MostSeries = _MOST_SERIES,
    results: Results = "results",
) -> None:
    """Push the metrics to a Pushgateway, a group for each benchmark at each vantage."""
    from pullbench.cli.commands import metrics

    scope = metrics.Scope(results=results, names=tuple(name or ()), most_series=most_series)
    raise typer.Exit(
        metrics.push(url, scope, credentials=credentials, sends_in_clear=plain_http_credentials, ca_file=ca_file)
    )
