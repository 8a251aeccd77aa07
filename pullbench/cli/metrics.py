"""`metrics textfile`, `serve` and `push`: what stored runs measured, for Prometheus."""

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
) -> int:
    """Write the metrics as a file for node_exporter's textfile collector, replaced as a whole."""
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
        str, typer.Option(metavar="HOST:PORT", help="Where Prometheus scrapes; port 0 is any free one.")
    ] = "127.0.0.1:9464",
    every: Annotated[
        float, typer.Option(min=0.1, metavar="SECONDS", help="How often to look for runs that ended.")
    ] = 30.0,
    name: Names = None,
    most_series: MostSeries = _MOST_SERIES,
    results: Results = "results",
) -> int:
    """Serve the metrics to Prometheus until Ctrl-C; prints the URL to scrape."""
    from pullbench.monitor import export

    host, port = export.listen_address(listen)
    exporter = export.Exporter(_readings(results, name, most_series).families, every_s=every)
    try:
        url = exporter.start(host, port)
        print_line(url)
        print_notice(f"metrics of {results}, looked at again every {every:g} s; Ctrl-C ends it")
        signal.pause()
    except KeyboardInterrupt:
        exporter.stop()
    return 0


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
) -> int:
    """Push the metrics to a Pushgateway, a group for each benchmark at each vantage."""
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
        raise UsageError("URL: holds credentials: take them out, and name where they are with --credentials env:PREFIX")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise UsageError(f"URL: '{url}' is no Pushgateway's address, such as http://pushgateway.example.com:9091")
    return url.rstrip("/")


def _code(readings: "Readings") -> int:
    return 0 if readings.readable else IncompleteError.exit_code
