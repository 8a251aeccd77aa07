"""Web servers and caches of Debian in front of a registry, each a process of the test with a configuration of a few lines."""

import contextlib
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.integration.conftest import need
from tests.integration.ports import free_port, listens

_START_S = 30.0
_TRIES = 3
_MODULES = "mpm_event authz_core headers setenvif filter deflate proxy proxy_http cache cache_disk"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a box runs and what it is in front of."""

    folder: Path
    port: int
    upstream: str
    """HOST:PORT"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A program that runs, and its folder: what it says is in the file `out` there."""

    url: str
    folder: Path

    @property
    def host(self) -> str:
        return self.url.partition("://")[2]

    def said(self) -> str:
        return (self.folder / "out").read_text(errors="replace")


@dataclass(frozen=True, slots=True, kw_only=True)
class Software:
    """A program, how it is started with the file `conf` in its folder, and what frames a configuration."""

    program: str
    frame: Callable[[Place, str], str]
    command: Callable[[Place], Sequence[str]]


def _nginx(place: Place, lines: str) -> str:
    folder = place.folder
    paths = " ".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "fastcgi", "uwsgi", "scgi", "proxy")
    )
    return f"""user root; daemon off; worker_processes 1; pid {folder}/pid; events {{}}
http {{ access_log off; {paths} proxy_cache_path {folder}/cache keys_zone=blobs:1m;
limit_req_zone $binary_remote_addr zone=slow:1m rate=2r/s; server {{ listen 127.0.0.1:{place.port}; client_max_body_size 0;
proxy_set_header Host $http_host; {lines} }} }}"""


def _haproxy(place: Place, lines: str) -> str:
    return f"""defaults
 mode http
 retries 0
 timeout connect 5s
 timeout client 30s
 timeout server 30s
frontend front
 bind 127.0.0.1:{place.port}
 default_backend registry
{lines}
"""


def _apache(place: Place, lines: str) -> str:
    loads = "\n".join(f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so" for name in _MODULES.split())
    return f"""ServerRoot {place.folder}
{loads}
User www-data
Group www-data
ServerName localhost
Listen 127.0.0.1:{place.port}
DefaultRuntimeDir {place.folder}
PidFile {place.folder}/pid
ErrorLog {place.folder}/log
CacheRoot {place.folder}
ProxyPass / http://{place.upstream}/
{lines}
"""


def _squid(place: Place, lines: str) -> str:
    host, port = place.upstream.split(":")
    return f"""http_port 127.0.0.1:{place.port} accel defaultsite={place.upstream} no-vhost
cache_peer {host} parent {port} 0 no-query originserver no-digest
http_access allow all
visible_hostname squid.test
pid_filename {place.folder}/pid
access_log none
cache_log {place.folder}/log
cache_mem 64 MB
maximum_object_size_in_memory 32 MB
memory_cache_shared off
pinger_enable off
shutdown_lifetime 0 seconds
{lines}
"""


def _varnish(place: Place, lines: str) -> str:
    host, port = place.upstream.split(":")
    return f'vcl 4.1;\nbackend registry {{ .host = "{host}"; .port = "{port}"; }}\n{lines}\n'


NGINX = Software(
    program="nginx",
    frame=_nginx,
    command=lambda place: ["-p", str(place.folder), "-c", str(place.folder / "conf"), "-e", str(place.folder / "log")],
)
NGINX_CACHES = (
    "location / { proxy_pass http://{upstream}; proxy_cache blobs; proxy_cache_valid 200 10m; "
    "add_header X-Cache-Status $upstream_cache_status; }"
)
HAPROXY = Software(program="haproxy", frame=_haproxy, command=lambda place: ["-db", "-f", str(place.folder / "conf")])
APACHE = Software(
    program="apache2", frame=_apache, command=lambda place: ["-f", str(place.folder / "conf"), "-DFOREGROUND"]
)
SQUID = Software(program="squid", frame=_squid, command=lambda place: ["-N", "-f", str(place.folder / "conf")])
VARNISH = Software(
    program="varnishd",
    frame=_varnish,
    command=lambda place: [
        *("-F", "-j", "none", "-n", str(place.folder / "work"), "-a", f"127.0.0.1:{place.port}"),
        *("-T", "none", "-s", "malloc,64m", "-f", str(place.folder / "conf")),
        *("-p", "timeout_idle=0.5"),  # it is silent to TLS, which skopeo and podman try first
    ],
)


@contextlib.contextmanager
def box_before(upstream: str, software: Software, lines: str) -> Iterator[str]:
    """The URL of a box in front of the registry at `upstream`; `{upstream}` in its lines is HOST:PORT."""
    with running(software, lines, upstream=upstream) as box:
        yield box.url


@contextlib.contextmanager
def running(software: Software, lines: str = "", *, upstream: str = "") -> Iterator[Running]:
    """A program with these lines in its configuration, on a free port, until the block ends."""
    program, host = need(software.program), upstream.partition("://")[2]
    with tempfile.TemporaryDirectory(prefix="pullbench-box-") as name:
        folder = Path(name)
        folder.chmod(0o777)  # as root, squid and apache become other users
        for _ in range(_TRIES):  # somebody else may take a free port first
            place = Place(folder=folder, port=free_port(), upstream=host)
            (folder / "conf").write_text(software.frame(place, lines.replace("{upstream}", host)))
            with (folder / "out").open("ab") as out:
                process = subprocess.Popen(
                    [program, *software.command(place)], stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=folder
                )
            try:
                if listens(place.port, process, _START_S):
                    yield Running(url=f"http://127.0.0.1:{place.port}", folder=folder)
                    return
            finally:
                _end(process)
        said = "".join(path.read_text()[-1000:] for path in (folder / "out", folder / "log") if path.exists())
        raise RuntimeError(f"{software.program} does not listen: {said}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
