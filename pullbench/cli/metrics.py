"""`metrics textfile`, `serve` and `push`: the newest results for Prometheus."""

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from pullbench.cli.options import Results
from pullbench.cli.terminal.safe_text import print_line, print_lines, print_notice
from pullbench.errors import IncompleteError, UsageError
from pullbench.model.route import is_private
from pullbench.registry.keychain import Keychain, in_clear

if TYPE_CHECKING:
    from pullbench.app.metrics import Readings
    from pullbench.monitor.metrics import Snapshot

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Export the newest results to Prometheus.",
)


Names = Annotated[
    list[str] | None,
    typer.Option("--name", metavar="GLOB", help="Only benchmarks with this name, such as 'prod-*'; repeatable."),
]
MostSeries = Annotated[
    int, typer.Option(min=1, metavar="N", help="The most series to export; it reports how many it leaves out.")
]
_MOST_SERIES = 10_000


@app.command()
def textfile(
    path: Annotated[str, typer.Argument(metavar="PATH", help="The .prom file that node_exporter reads; - is stdout.")],
    name: Names = None,
    most_series: MostSeries = _MOST_SERIES,
    results: Results = "results",
) -> int:
    """Write a file for node_exporter's textfile collector."""
    from pullbench.monitor import export

    file = None if path == "-" else export.textfile(Path(path))
    readings = _readings(results, name, most_series)
    families = readings.families()
    if file is None:
        print_lines(export.text(families).decode())
    else:
        export.write_textfile(file, families)
    return _code(readings)


@app.command()
def serve(
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="The address to scrape; port 0 is any free port.")
    ] = "127.0.0.1:9464",
    every: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="How often to look for new runs.")] = 30.0,
    name: Names = None,
    most_series: MostSeries = _MOST_SERIES,
    results: Results = "results",
) -> int:
    """Serve the metrics until Ctrl-C; print the URL to scrape."""
    from pullbench.monitor import export

    host, port = export.listen_address(listen)
    exporter = export.Exporter(_readings(results, name, most_series).families, every_s=every)
    try:
        url = exporter.start(host, port)
        print_line(url)
        print_notice(f"serving the metrics of {results}, refreshed every {every:g} s; Ctrl-C stops it")
        signal.pause()
    except KeyboardInterrupt:
        exporter.stop()
    return 0


@app.command()
def push(
    url: Annotated[str, typer.Argument(metavar="URL", help="A Pushgateway, such as http://127.0.0.1:9091.")],
    credentials: Annotated[
        str, typer.Option(metavar="SOURCE", help="anonymous, or env:PREFIX for Basic authentication.")
    ] = "anonymous",
    plain_http_credentials: Annotated[
        bool,
        typer.Option(
            "--plain-http-credentials",
            help="Send credentials over plain http to another machine, readable by all on the route.",
        ),
    ] = False,
    ca_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A PEM file: the CA of the gateway's certificate.")
    ] = None,
    name: Names = None,
    most_series: MostSeries = _MOST_SERIES,
    results: Results = "results",
) -> int:
    """Push the metrics to a Pushgateway.

    It pushes one group for each benchmark and vantage.
    """
    from pullbench.monitor import export

    gateway = _gateway(url)
    if ca_file is not None and not ca_file.is_file():
        raise UsageError(f"--ca-file {ca_file}: no such file; give the PEM file of the gateway's CA")
    login = Keychain(environ=os.environ).credentials(credentials, gateway)
    if login is not None and not plain_http_credentials and not is_private(gateway):
        raise UsageError(in_clear(credentials, gateway))
    readings = _readings(results, name, most_series)
    groups: dict[tuple[str, str], list[Snapshot]] = {}
    for snapshot in readings.snapshots():
        groups.setdefault((snapshot.run.name, snapshot.run.vantage), []).append(snapshot)
    for (benchmark, vantage), snapshots in groups.items():
        export.push(
            gateway,
            {"benchmark": benchmark, "vantage": vantage},
            readings.expose(snapshots, own=False),
            login=login,
            ca_file=None if ca_file is None else str(ca_file),
        )
    if groups:
        print_notice(f"{len(groups)} groups pushed to {gateway}")
    return _code(readings)


def _readings(results: str, names: list[str] | None, most_series: int) -> "Readings":
    from pullbench.app.metrics import Readings, Scope

    return Readings(Scope(results=results, names=tuple(names or ()), most_series=most_series), print_notice)


def _gateway(url: str) -> str:
    if "@" in url:
        raise UsageError("URL: has credentials in it; remove them and name their source: --credentials env:PREFIX")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise UsageError(f"URL: '{url}' is not the URL of a Pushgateway, such as http://pushgateway.example.com:9091")
    return url.rstrip("/")


def _code(readings: "Readings") -> int:
    return 0 if readings.readable else IncompleteError.exit_code
