"""`metrics`: what stored runs measured, for Prometheus: as a file, an exporter, or pushed."""

import os
import signal
from pathlib import Path
from urllib.parse import urlsplit

from pullbench.app.metrics import Readings
from pullbench.app.metrics import Scope as Scope
from pullbench.cli.terminal.safe_text import say, tell, tell_document
from pullbench.errors import IncompleteError, UsageError
from pullbench.model.route import is_private
from pullbench.monitor import export
from pullbench.monitor.metrics import Snapshot
from pullbench.registry.keychain import Keychain, in_clear


def write_textfile(path: str, scope: Scope) -> int:
    """Write the file of node_exporter's textfile collector, or print it for `-`; exit 3 where a run could not be read."""
    file = None if path == "-" else export.textfile(Path(path))
    readings = Readings(scope, say)
    families = readings.families()
    if file is None:
        tell_document(export.text(families).decode())
    else:
        export.write_textfile(file, families)
    return _code(readings)


def serve(listen: str, scope: Scope, *, every_s: float) -> int:
    """Serve until SIGINT or SIGTERM, which are the way to end it: exit 0."""
    host, port = export.listen_address(listen)
    exporter = export.Exporter(Readings(scope, say).families, every_s=every_s)
    try:
        url = exporter.start(host, port)
        tell(url)
        say(f"metrics of {scope.results}, looked at again every {every_s:g} s; Ctrl-C ends it")
        signal.pause()
    except KeyboardInterrupt:
        exporter.stop()
    return 0


def push(url: str, scope: Scope, *, credentials: str, sends_in_clear: bool = False, ca_file: Path | None) -> int:
    """Push each benchmark at each vantage as a group of its own; exit 3 where a run could not be read."""
    gateway = _gateway(url)
    if ca_file is not None and not ca_file.is_file():
        raise UsageError(f"--ca-file {ca_file}: no such file; give the PEM file of the gateway's CA")
    login = Keychain(environ=os.environ).credentials(credentials, gateway)
    if login is not None and not sends_in_clear and not is_private(gateway):
        raise UsageError(in_clear(credentials, gateway))
    readings = Readings(scope, say)
    groups: dict[tuple[str, str], list[Snapshot]] = {}
    for snapshot in readings.snapshots():
        groups.setdefault((snapshot.run.name, snapshot.run.vantage), []).append(snapshot)
    for (name, vantage), snapshots in groups.items():
        export.push(
            gateway,
            {"benchmark": name, "vantage": vantage},
            readings.expose(snapshots, own=False),
            login=login,
            ca_file=None if ca_file is None else str(ca_file),
        )
    if groups:
        say(f"{len(groups)} groups pushed to {gateway}")
    return _code(readings)


def _gateway(url: str) -> str:
    if "@" in url:
        raise UsageError("URL: holds credentials: take them out, and name where they are with --credentials env:PREFIX")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise UsageError(f"URL: '{url}' is no Pushgateway's address, such as http://pushgateway.example.com:9091")
    return url.rstrip("/")


def _code(readings: Readings) -> int:
    return 0 if readings.readable else IncompleteError.exit_code
