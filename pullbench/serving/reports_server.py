"""The reports directory as pages, with a home page: what an artifact in the UI links to."""

import errno
import functools
import html
import http.server
import io
import os
import threading
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pullbench.errors import UsageError

_PROBLEM = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>pullbench reports</title></head>
<body style="font:1rem/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem">
<h1>Reports</h1><p>The list of runs could not be built: {problem}</p><p>Fix that, then reload this page.</p></body></html>
"""


class ReportsServer:
    """Serves a directory's files, read-only, until the block ends.

    `refresh` builds the home page before it is served, and gives the reason where it cannot. Raises UsageError where the
    port is taken or the directory cannot be made.
    """

    def __init__(self, folder: Path, host: str, port: int, refresh: Callable[[], str | None]) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"{folder}: cannot be made: {error.strerror}; start it in a directory that you can write to, or name one "
                "with --project"
            ) from error
        handler = functools.partial(_Files, refresh=refresh, directory=os.fspath(folder))
        try:
            self._server = http.server.ThreadingHTTPServer((host, port), handler)
        except OSError as error:
            why = "another program uses it" if error.errno == errno.EADDRINUSE else error.strerror
            raise UsageError(f"--reports-port {port}: {why}; give another port, or 0 for a free one") from error
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
    """Files, and no listing of a directory. Logs nothing, and no browser keeps a page that may be rendered again."""

    server_version = "pullbench"

    def __init__(self, *arguments: Any, refresh: Callable[[], str | None], **options: Any) -> None:
        self._refresh = refresh
        super().__init__(*arguments, **options)  # which answers the request

    def send_head(self) -> Any:
        if self.path.partition("?")[0] in ("/", "/index.html") and (problem := self._refresh()) is not None:
            return self._page(HTTPStatus.SERVICE_UNAVAILABLE, _PROBLEM.format(problem=html.escape(problem)))
        return super().send_head()

    def list_directory(self, path: Any) -> Any:  # noqa: ARG002  (whatever directory it is)
        """There is no page of it: to the home page."""
        self.send_response(HTTPStatus.FOUND)
        self.send_header("Location", "/")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-cache")
        self.send_header("X-Content-Type-Options", "nosniff")
        super().end_headers()

    def log_message(self, *_: Any) -> None: ...

    def _page(self, status: HTTPStatus, text: str) -> io.BytesIO:
        content = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        return io.BytesIO(content)
