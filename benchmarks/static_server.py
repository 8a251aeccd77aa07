"""A static HTTP/1.1 server as fast as the kernel allows (sendfile, a thread a connection), run as a process of its own.

`python -m benchmarks.static_server DIRECTORY` prints its port and serves the files of DIRECTORY by their last path segment.
If NAME.times exists next to a file NAME, it has a number: the content is then sent so many times, in one body.
"""

import contextlib
import os
import socket
import socketserver
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]


class _Connection(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):
            while line := self.rfile.readline():
                while self.rfile.readline() not in (b"\r\n", b""):
                    pass
                self._send(Path(sys.argv[1]) / Path(line.split()[1].decode()).name)

    def _send(self, path: Path) -> None:
        repeated = path.with_name(f"{path.name}.times")
        times = int(repeated.read_text()) if repeated.exists() else 1
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            self.connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {times * size}\r\n\r\n".encode())
            for _ in range(times):
                offset = 0
                while offset < size:
                    offset += os.sendfile(self.connection.fileno(), file.fileno(), offset, size - offset)


class _StaticServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = socket.SOMAXCONN


@contextlib.contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Serve a directory with a child process; yields the URL."""
    command = [sys.executable, "-m", "benchmarks.static_server", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as child:
        try:
            assert child.stdout is not None
            yield f"http://127.0.0.1:{child.stdout.readline().strip()}"
        finally:
            child.terminate()


if __name__ == "__main__":
    with _StaticServer(("127.0.0.1", 0), _Connection) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()
