"""The reports' folder as pages: what a report artifact in the UI links to."""

import errno
import functools
import http.server
import os
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pullbench.errors import UsageError


class ReportsServer:
    """Serves a folder's files, read-only, until the block ends.

    Raises UsageError where the port is taken or the folder cannot be made.
    """

    def __init__(self, folder: Path, host: str, port: int) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"{folder}: cannot be made: {error.strerror}; start it in a folder that you can write, or name one with --project"
            ) from error
        handler = functools.partial(_Files, directory=os.fspath(folder))
        try:
            self._server = http.server.ThreadingHTTPServer((host, port), handler)
        except OSError as error:
            why = "something listens there already" if error.errno == errno.EADDRINUSE else error.strerror
            raise UsageError(f"--reports-port {port}: {why}; give another, 0 takes a free one") from error
        self.port: int = self._server.server_address[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, name="reports", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Files(http.server.SimpleHTTPRequestHandler):
    """Says nothing on the terminal, and lets no browser keep a page that is rendered again."""

    server_version = "pullbench"

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-cache")
        self.send_header("X-Content-Type-Options", "nosniff")
        super().end_headers()

    def log_message(self, *_: Any) -> None: ...
