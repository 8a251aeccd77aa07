"""`serve`: Prefect's server and UI, work pools, deployments, automations, workers and the reports' pages, until Ctrl-C."""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pullbench.errors import IncompleteError, UsageError
from pullbench.serving.flow import QUIET, reach_without_proxy
from pullbench.serving.lifeline import KeptProcess
from pullbench.serving.logs import last_words, log_file
from pullbench.serving.project import Project, find_project
from pullbench.serving.reports_home import ReportsHome
from pullbench.serving.reports_server import ReportsServer
from pullbench.serving.server import PrefectServer, bound

_EVERY_ADDRESS = ("0.0.0.0", "::")
_WORKER_ENDS_WITHIN_S = 20.0
_LOOK_EVERY_S = 0.5
_REPORTS_URL = "PULLBENCH_REPORTS_URL"
_DATABASE = "PREFECT_SERVER_DATABASE_CONNECTION_URL"
_SERVER_DEFAULTS = {
    "PREFECT_SERVER_UI_V2_ENABLED": "false",  # the newer UI contacts an outside host, even with analytics off
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
    "PREFECT__SERVER_FINAL": "1",
}


Note = Callable[[str], None]
"""Prints a line."""


def serve(
    *,
    project: Path | None,
    host: str,
    port: int,
    reports_port: int,
    database: str | None,
    pools: Sequence[str],
    note: Note,
) -> None:
    """Serve until Ctrl-C or SIGTERM. Raises UsageError before anything is started, IncompleteError if a part ends by itself."""
    found = find_project(project)
    database = None if database is None else database_url(database)
    listener = _listener(host, port)
    port = listener.getsockname()[1]
    shown = socket.gethostname() if host in _EVERY_ADDRESS else host
    with contextlib.ExitStack() as parts:
        parts.enter_context(listener)
        try:
            home = ReportsHome(found.results, found.reports, url=os.environ.get(_REPORTS_URL))
            reports = parts.enter_context(ReportsServer(found.reports, host, reports_port, home.refresh))
            threading.Thread(target=home.refresh, name="reports home", daemon=True).start()
            reports_url = f"http://{shown}:{reports.port}"
            _set_environment(shown=shown, host=host, port=port, reports_url=reports_url)
            server = _start_server(parts, "127.0.0.1" if host in _EVERY_ADDRESS else host, listener, database)
            workers = _set_up(parts, server, found, list(dict.fromkeys(pools)), note)
            _say(note, "UI", f"http://{shown}:{port}")
            _say(note, "reports", reports_url)
            _say(note, "other shells", f"export PREFECT_API_URL={os.environ['PREFECT_API_URL']}")
            note("Ctrl-C stops all of it")
            _watch({"server": server.process, **workers})
        except KeyboardInterrupt:
            note("stopping: running benchmarks are cancelled, what they measured is kept")


def database_url(text: str) -> str:
    """The URL in Prefect's form; UsageError, which does not repeat it, for what is neither PostgreSQL nor SQLite."""
    scheme, colon, rest = text.partition("://")
    drivers = {"postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg", "sqlite": "sqlite+aiosqlite"}
    driver = drivers.get(scheme, scheme)
    if not colon or driver not in drivers.values():
        raise UsageError(
            "--database: not a URL of PostgreSQL or SQLite: give postgresql://USER@HOST/NAME or sqlite:////PATH. "
            f"Give a password by {_DATABASE}: every user of the machine can see arguments"
        )
    return f"{driver}{colon}{rest}"


def _listener(host: str, port: int) -> socket.socket:
    try:
        return bound(host, port)
    except OSError as error:
        raise UsageError(
            f"--host {host} --port {port}: {error.strerror}; if another `pullbench serve` or Prefect server runs there, stop "
            "it, or give another --port (0 takes a free one)"
        ) from error


def _set_environment(*, shown: str, host: str, port: int, reports_url: str) -> None:
    """Settings for server, workers and runs. The user's own settings stay, unless they name another server."""
    for name, value in QUIET.items():
        if name not in ("PREFECT_LOGGING_LEVEL", "PREFECT_SERVER_LOGGING_LEVEL"):  # the UI shows what runs log
            os.environ.setdefault(name, value)
    os.environ.setdefault(_REPORTS_URL, reports_url)
    os.environ.setdefault("PREFECT_UI_API_URL", f"http://{shown}:{port}/api")
    # By default Prefect answers the pages of any site, and it has no login.
    origins = dict.fromkeys(f"http://{name}:{port}" for name in (shown, "127.0.0.1", "localhost"))
    os.environ.setdefault("PREFECT_SERVER_CORS_ALLOWED_ORIGINS", ",".join(origins))
    os.environ["PREFECT_API_URL"] = f"http://{'127.0.0.1' if host in _EVERY_ADDRESS else host}:{port}/api"
    os.environ["PREFECT_SERVER_API_HOST"], os.environ["PREFECT_SERVER_API_PORT"] = host, str(port)
    os.environ["PREFECT_RUNNER_AUTO_INSTALL_DEPENDENCIES"] = "false"
    reach_without_proxy(os.environ["PREFECT_API_URL"])


def _start_server(
    parts: contextlib.ExitStack, reach: str, listener: socket.socket, database: str | None
) -> PrefectServer:
    """Start it; it is healthy when `wait` returns. Only the server gets the database's URL, which may hold a password."""
    defaults = {name: value for name, value in _SERVER_DEFAULTS.items() if name not in os.environ}
    os.environ.pop(_DATABASE, None)
    environment = defaults if database is None else {**defaults, _DATABASE: database}
    server = PrefectServer(listener, environment=environment, log=log_file("server"), reach=reach)
    parts.callback(server.process.end)
    return server


def _set_up(
    parts: contextlib.ExitStack, server: PrefectServer, project: Project, pools: list[str], note: Note
) -> dict[str, KeptProcess]:
    """Set the server up as the project says, and start the workers; returns these by name."""
    note("starting Prefect")
    from prefect.client.orchestration import get_client

    from pullbench.serving.setup import set_up, take_over

    try:
        server.wait()
    except RuntimeError as error:
        raise IncompleteError(f"Prefect did not start: {error}: {last_words('server')}") from error
    environment = {"PYTHONPATH": _python_path(project)}
    name = f"serve at {socket.gethostname()}"
    with get_client(sync_client=True) as client:
        for label, text in set_up(client, project, pools, environment):
            _say(note, label, text)
        for text in take_over(client, pools, name):
            _say(note, "cleaned up", text)
    return {f"worker of {pool}": _start_worker(parts, pool, name, environment, note) for pool in pools}


def _start_worker(
    parts: contextlib.ExitStack, pool: str, name: str, environment: Mapping[str, str], note: Note
) -> KeptProcess:
    log = log_file(f"worker-{pool}")
    worker = KeptProcess("pullbench.serving.worker", pool, name, environment=environment, log=log)
    parts.callback(worker.end, _WORKER_ENDS_WITHIN_S)
    parts.callback(_cancel_runs, worker)
    _say(note, "worker", f"pool {pool}, log {log}")
    return worker


def _cancel_runs(worker: KeptProcess) -> None:
    from prefect.client.orchestration import get_client

    from pullbench.serving.flow_runs import cancel_runs

    with contextlib.suppress(Exception), get_client(sync_client=True) as client:  # the server may be what ended
        cancel_runs(client, worker.pid)


def _python_path(project: Project) -> str:
    return os.pathsep.join(filter(None, (str(project.folder), os.environ.get("PYTHONPATH"))))


def _watch(processes: Mapping[str, KeptProcess]) -> None:
    """Wait until one of them ends, which is an error."""
    while True:
        for name, process in processes.items():
            if process.exit_code is not None:
                log = name.replace("worker of ", "worker-")
                raise IncompleteError(f"the {name} ended with exit code {process.exit_code}: {last_words(log)}")
        time.sleep(_LOOK_EVERY_S)


def _say(note: Note, label: str, text: str) -> None:
    note(f"{label:12}  {text}")
