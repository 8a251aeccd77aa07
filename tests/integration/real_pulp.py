"""Pulp with its container plugin from PyPI, over a PostgreSQL of its own and behind nginx: `make test-pulp`."""

import contextlib
import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.integration.boxes import NGINX, Running, running
from tests.integration.conftest import missing
from tests.integration.ports import free_port
from tests.integration.real_products import program_of

USERNAME, PASSWORD = "admin", secrets.token_hex(8)
_POSTGRES = Path("/usr/lib/postgresql")
_READY_S = 180.0
_TASK_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulp:
    """A Pulp that runs; its user `admin` may do everything."""

    front: Running
    """The nginx in front of it, which logs every request."""
    folder: Path

    @property
    def url(self) -> str:
        return self.front.url

    def client(self) -> httpx.Client:
        """For Pulp's own API."""
        return httpx.Client(base_url=self.url, auth=(USERNAME, PASSWORD), timeout=60, trust_env=False)

    def pull_through(self, name: str, upstream: str) -> None:
        """Serve every repository of the registry at that URL as `NAME/…`, downloaded when it is first asked for."""
        with self.client() as client:
            remote = _made(client, "remotes/container/pull-through/", {"name": name, "url": upstream})
            wanted = {"name": name, "base_path": name, "remote": remote["pulp_href"]}
            _made(client, "distributions/container/pull-through/", wanted)


def _made(client: httpx.Client, kind: str, wanted: dict[str, str]) -> dict[str, Any]:
    """The object, once the task that makes it is over."""
    answer = client.post(f"/pulp/api/v3/{kind}", json=wanted)
    answer.raise_for_status()
    told: dict[str, Any] = answer.json()
    if "task" not in told:
        return told
    until = time.monotonic() + _TASK_S
    while True:
        task = client.get(told["task"]).raise_for_status().json()
        if task["state"] == "completed":
            return dict(client.get(task["created_resources"][0]).raise_for_status().json())
        if task["state"] in ("failed", "canceled") or time.monotonic() > until:
            raise RuntimeError(f"Pulp's task for {kind}: {task['state']}: {task.get('error')}")
        time.sleep(0.2)


@contextlib.contextmanager
def running_pulp() -> Iterator[Pulp]:
    """Install, migrate and start all its parts; some minutes the first time."""
    if os.geteuid() != 0:
        missing("only root can start PostgreSQL as its own user")
    if not _POSTGRES.is_dir():
        missing("postgresql is not installed")
    programs = Path(program_of("pulp", "pulpcore-manager")).parent
    with contextlib.ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="pullbench-pulp-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        folder.chmod(0o755)
        stack.enter_context(_postgres(folder / "postgres"))
        api, content = free_port(), free_port()
        lines = f"""access_log /dev/stdout combined; location / {{ proxy_pass http://127.0.0.1:{api}; }}
            location /pulp/content/ {{ proxy_pass http://127.0.0.1:{content}; }}
            location /pulp/container/ {{ proxy_pass http://127.0.0.1:{content}; }}"""
        front = stack.enter_context(running(NGINX, lines))
        environ = {
            **os.environ,
            "PULP_SETTINGS": str(_settings(folder, front.url)),
            "PATH": f"{programs}:{os.environ['PATH']}",
        }
        for arguments in (["migrate", "--noinput"], ["reset-admin-password", "--password", PASSWORD]):
            done = subprocess.run(
                [programs / "pulpcore-manager", *arguments], env=environ, capture_output=True, text=True, check=False
            )
            if done.returncode != 0:
                raise RuntimeError(f"pulpcore-manager {arguments[0]}: {done.stderr[-2000:]}")
        for name, arguments in {
            "pulpcore-api": ["--bind", f"127.0.0.1:{api}", "--workers", "2"],
            "pulpcore-content": ["--bind", f"127.0.0.1:{content}", "--workers", "2"],
            "pulpcore-worker": [],
        }.items():
            stack.enter_context(_process([str(programs / name), *arguments], folder / f"{name}.log", environ))
        pulp = Pulp(front=front, folder=folder)
        _wait(pulp)
        yield pulp


def _settings(folder: Path, url: str) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    (folder / "private.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (folder / "public.pem").write_bytes(public)
    (folder / "database-key").write_bytes(Fernet.generate_key())
    for name in ("media", "static", "work"):
        (folder / name).mkdir()
    settings = folder / "settings.py"
    settings.write_text(f"""
SECRET_KEY = {secrets.token_hex()!r}
CONTENT_ORIGIN = {url!r}
TOKEN_SERVER = {url + "/token/"!r}
TOKEN_SIGNATURE_ALGORITHM = "ES256"
PRIVATE_KEY_PATH = "{folder}/private.pem"
PUBLIC_KEY_PATH = "{folder}/public.pem"
DB_ENCRYPTION_KEY = "{folder}/database-key"
MEDIA_ROOT = "{folder}/media"
STATIC_ROOT = "{folder}/static"
WORKING_DIRECTORY = "{folder}/work"
FILE_UPLOAD_TEMP_DIR = "{folder}/work"
CACHE_ENABLED = False
DATABASES = {{"default": {{"ENGINE": "django.db.backends.postgresql", "NAME": "postgres", "USER": "postgres",
    "HOST": "{folder}/postgres", "PASSWORD": ""}}}}
""")
    return settings


@contextlib.contextmanager
def _postgres(folder: Path) -> Iterator[None]:
    """A PostgreSQL that listens on a socket in `folder` alone, as its own user: it refuses to be root's."""
    newest = max(_POSTGRES.iterdir(), key=lambda path: int(path.name)) / "bin"
    user = pwd.getpwnam("postgres")
    folder.mkdir()
    os.chown(folder, user.pw_uid, user.pw_gid)
    become: dict[str, Any] = {"user": user.pw_uid, "group": user.pw_gid, "cwd": folder}
    initdb = [str(newest / "initdb"), "--no-sync", "--auth=trust", "--username=postgres", str(folder / "data")]
    done = subprocess.run(initdb, capture_output=True, text=True, check=False, **become)
    if done.returncode != 0:
        raise RuntimeError(f"initdb: {done.stderr[-1000:]}")
    options = ["-c", "listen_addresses=", "-c", "fsync=off", "-k", str(folder), "-c", "max_connections=200"]
    with _process([str(newest / "postgres"), "-D", str(folder / "data"), *options], folder / "log", None, **become):
        _wait_for_postgres(newest, folder)
        yield


def _wait_for_postgres(programs: Path, folder: Path) -> None:
    until = time.monotonic() + _READY_S
    while subprocess.run([programs / "pg_isready", "-q", "-h", folder], check=False).returncode != 0:
        if time.monotonic() > until:
            raise RuntimeError(f"PostgreSQL does not start: {(folder / 'log').read_text()[-1000:]}")
        time.sleep(0.1)


@contextlib.contextmanager
def _process(command: list[str], log: Path, environ: dict[str, str] | None, **become: Any) -> Iterator[None]:
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, env=environ, **become
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(pulp: Pulp) -> None:
    """Until its API, its content server and its worker are there."""
    until = time.monotonic() + _READY_S
    with pulp.client() as client:
        while True:
            answer = client.get("/pulp/api/v3/status/")
            told = answer.json() if answer.is_success else {}
            if told.get("online_workers") and told.get("online_content_apps"):
                return
            if time.monotonic() > until:
                logs = "".join(path.read_text(errors="replace")[-1000:] for path in pulp.folder.glob("*.log"))
                raise RuntimeError(f"Pulp does not start: {answer.status_code}: {logs}")
            time.sleep(0.5)
