"""A real nginx before a registry, with a test's own directives, on a free port of loopback."""

import os
import pwd
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.integration.ports import free_port

_START_S = 60.0
_CONFIG = """
user {user}; daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 128; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    proxy_cache_path {folder}/cache keys_zone=blobs:1m;
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass {upstream}; proxy_set_header Host $http_host; {directives} }}
        {locations}
    }}
}}
"""


@contextmanager
def nginx_before(
    upstream: str, folder: Path, program: str, *, directives: str = "", locations: str = ""
) -> Iterator[str]:
    """The URL of an nginx that passes everything to `upstream`, with `directives` there and more `locations` beside."""
    folder.mkdir(parents=True)
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(
        _CONFIG.format(
            user=pwd.getpwuid(os.geteuid()).pw_name,  # else root's nginx works as nobody, who may not read the folder
            folder=folder,
            port=port,
            upstream=upstream,
            directives=directives,
            locations=locations,
        )
    )
    url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        [program, "-p", str(folder), "-c", str(config), "-e", str(folder / "error.log")],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait(url, process, folder)
        yield url
    finally:
        process.terminate()
        process.wait(10)


def _wait(url: str, process: subprocess.Popen[bytes], folder: Path) -> None:
    until = time.monotonic() + _START_S
    while True:
        try:
            httpx.get(url, trust_env=False)
            return
        except httpx.TransportError:
            if process.poll() is not None or time.monotonic() > until:
                log = folder / "error.log"
                said = log.read_text()[-500:] if log.exists() else ""
                raise RuntimeError(f"nginx does not answer: {said}") from None
            time.sleep(0.02)
