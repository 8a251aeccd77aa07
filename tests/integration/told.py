"""Whoever is on call, as a web server that writes down what it is told; and the Prefect block that tells it."""

import http.server
import json
import threading
import time
from types import TracebackType
from typing import Any, Self

from tests.integration.served import Served


class Listener:
    """Takes POSTed `{"subject": …, "body": …}`."""

    def __init__(self) -> None:
        self.told: dict[str, str] = {}
        told = self.told

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                document = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                told[document["subject"]] = document["body"]
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: Any) -> None: ...

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"

    def wait_for(self, messages: int) -> dict[str, str]:
        """Bodies by subject, as soon as there are so many, or after a minute whatever there is."""
        until = time.monotonic() + 60
        while len(self.told) < messages and time.monotonic() < until:
            time.sleep(0.1)
        return dict(self.told)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


def make_webhook_block(served: Served, name: str, url: str) -> None:
    """A block of the type custom-webhook, as a person makes it in the UI."""
    kind = served.api("/block_types/slug/custom-webhook")["id"]
    schema = served.api("/block_schemas/filter", {"block_schemas": {"block_type_id": {"any_": [kind]}}})[0]["id"]
    data = {"name": name, "url": url, "json_data": {"subject": "{{subject}}", "body": "{{body}}"}}
    served.api("/block_documents/", {"name": name, "block_type_id": kind, "block_schema_id": schema, "data": data})
