"""Reads credentials: Docker's config.json and its helpers, environment variables, a Prefect Secret.

`Origin` describes where they are read from, without a secret.
"""

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pullbench.errors import ErrorCode, UsageError
from pullbench.model.addresses import DOCKER_HUB, DOCKER_HUB_HOSTS
from pullbench.model.route import Route
from pullbench.registry.attempts import Logins
from pullbench.registry.auth import TOKEN_USERNAME, Credentials

# Docker's config.json has one entry for Docker Hub, for all of its hosts.


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a source looks for one host's credentials. `Keychain.credentials` reads them."""

    source: str
    """The source in the spec: docker, env:PREFIX, block:NAME, anonymous."""
    config_path: str | None = None
    """docker: the path of config.json; None without a home directory."""
    config_exists: bool = False
    entry: str | None = None
    """docker: the host's key under `auths`, as written."""
    helper: str | None = None
    """docker: the helper program for this host, such as `docker-credential-pass`."""
    helper_path: str | None = None
    """The path of that program; None if it is not in PATH."""
    near: tuple[str, ...] = ()
    """docker: other keys for the same host name, such as one with another port."""
    variables: tuple[str, ...] = ()
    """env: the variables that are set, without their values."""


@dataclass(slots=True)
class _Source:
    """One source for one host: its credentials, or why it failed, once it was read."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    is_read: bool = False
    found: Credentials | None = field(default=None, repr=False)
    failure: str | None = None


class Keychain:
    """Reads a spec's `credentials`. Thread-safe; reads each source once per host.

    `environ` is the process's environment; `block` loads a Prefect Secret by name, and the flows provide it.
    """

    def __init__(self, *, environ: Mapping[str, str], block: Callable[[str], str] | None = None) -> None:
        self._environ = dict(environ)
        self._block = block
        self._lock = threading.Lock()
        self._sources: dict[tuple[str, str], _Source] = {}
        self.logins = Logins()
        """What servers said to these credentials; all clients share it."""

    def credentials(self, source: str, host: str) -> Credentials | None:
        """The credentials that `source` (docker, env:PREFIX, block:NAME, anonymous) has for a host such as `r.example.com:5000`.

        None means anonymous. Raises UsageError if the source fails; the text names the source and never contains a secret.
        """
        with self._lock:
            asked = self._sources.setdefault((source, host), _Source())
        with asked.lock:  # one lock per source: a slow helper blocks no other source
            if asked.failure is None and not asked.is_read:
                try:
                    asked.found, asked.is_read = self._load(source, host), True
                except UsageError as error:
                    asked.failure = str(error)
            if asked.failure is not None:
                raise UsageError(asked.failure)
            return asked.found

    def known(self) -> tuple[Credentials, ...]:
        """All credentials read so far, for redaction of a registry's messages."""
        with self._lock:
            return tuple(asked.found for asked in self._sources.values() if asked.found is not None)

    def login(self, route: Route) -> Credentials | None:
        """The credentials that the route's registry may receive; None means anonymous.

        Raises UsageError as `credentials` does, and if they would be sent in clear text and the spec does not allow it.
        """
        found = self.credentials(route.credentials, route.host)
        if found is not None and not route.may_send(route.url):
            raise UsageError(in_clear(route.credentials, route.url))
        return found

    def forward_login(self, route: Route) -> Credentials | None:
        """User and password for the route's forward proxy, sent as Basic (RFC 7617); None if it needs none.

        Raises UsageError as `login` does, and for a token without a user, which forward proxies do not accept.
        """
        if route.forward_url is None:
            return None
        source = route.forward_credentials
        found = self.credentials(source, urlsplit(route.forward_url).netloc)
        if found is not None and not found.password:
            raise UsageError(
                f"credentials '{source}': a forward proxy needs a user name and a password, not only a token"
            )
        if found is not None and not route.may_send_forward:
            raise UsageError(in_clear(source, route.forward_url))
        return found

    def _load(self, source: str, host: str) -> Credentials | None:
        kind, _, name = source.partition(":")
        if source == "anonymous":
            return None
        if source == "docker":
            return self._docker(host)
        if kind == "env" and name:
            return self._of_environment(source, name)
        if kind == "block" and name:
            return self._of_block(source, name)
        raise UsageError(f"credentials '{source}': use docker, env:PREFIX, block:NAME or anonymous")

    def _of_environment(self, source: str, prefix: str) -> Credentials:
        username, password, token = (
            self._environ.get(f"{prefix}_{part}", "") for part in ("USERNAME", "PASSWORD", "TOKEN")
        )
        found = _made_of(username, password, token)
        if found is None:
            missing = f"{prefix}_PASSWORD" if username else f"{prefix}_USERNAME"
            raise UsageError(
                f"credentials '{source}': {missing} is not set; "
                f"set {prefix}_USERNAME and {prefix}_PASSWORD, or {prefix}_TOKEN"
            )
        return found

    def _of_block(self, source: str, name: str) -> Credentials:
        if self._block is None:
            raise UsageError(f"credentials '{source}': Prefect Secrets work only in a flow; use docker or env:PREFIX")
        try:
            text = self._block(name)
        except UsageError:
            raise
        except Exception as error:  # noqa: BLE001  (whatever a Prefect server may raise; its text could quote the value)
            raise UsageError(
                f"credentials '{source}': cannot load the Secret '{name}' ({type(error).__name__}); "
                "list the Secrets with `prefect block ls`"
            ) from None
        found = _of_text(text)
        if found is None:
            raise UsageError(
                f"credentials '{source}': the Secret '{name}' must be one of "
                '{"username": …, "password": …}, {"token": …}, user:password'
            )
        return found

    def origin(self, source: str, host: str) -> Origin:
        """Where `source` looks for a host's credentials; runs no helper and contains no secret."""
        return origin(source, DOCKER_HUB if host in DOCKER_HUB_HOSTS else host, self._environ)

    def _docker(self, host: str) -> Credentials | None:
        path = docker_config_path(self._environ)
        if path is None or not path.exists():
            return None
        import docker.auth  # slow to import, and only this source needs it
        import docker.errors

        try:
            document = json.loads(path.read_bytes())
            if not isinstance(document, dict):
                raise ValueError("not a JSON object")
            if not document:
                return None
            config = docker.auth.load_config(config_dict=document, credstore_env=self._environ)
        except (OSError, ValueError, TypeError, AttributeError, docker.errors.DockerException) as error:
            raise UsageError(
                f"credentials 'docker': {path} cannot be read ({type(error).__name__}); "
                f"fix it, or create it again with `docker login {host}`"
            ) from None
        name = DOCKER_HUB if host in DOCKER_HUB_HOSTS else host
        helper = config.get_credential_store(name)
        if helper:
            try:
                server = docker.auth.INDEX_URL if name == DOCKER_HUB else name
                answer = ask_helper(f"docker-credential-{helper}", server, self._environ)
            except HelperError as error:
                raise UsageError(
                    f"credentials 'docker': the helper docker-credential-{helper} of {path} {error} for {host}; "
                    f"run `docker login {host}`, or use env:PREFIX"
                ) from None
            if answer is not None:
                username, secret = answer
                is_token = username == TOKEN_USERNAME
                return _made_of(username, "" if is_token else secret, secret if is_token else "")
        entry = docker.auth.AuthConfig({"auths": config.auths}).resolve_authconfig(name)
        found = {key.lower(): value for key, value in (entry or {}).items()}
        return _made_of(found.get("username") or "", found.get("password") or "", found.get("identitytoken") or "")


def in_clear(source: str, url: str | None) -> str:
    """The error text if credentials are not sent over plain http."""
    return (
        f"credentials '{source}': not sent to {url}, because others can read plain http "
        f"[{ErrorCode.PLAIN_HTTP}]; use https, or `credentials: anonymous`, or allow it there: "
        "`plain_http_credentials: send` in a spec, `--plain-http-credentials` on a command line"
    )


def _made_of(username: str, password: str, token: str) -> Credentials | None:
    """A token with a user name is that user's password (as in GHCR and GitLab); alone, it is an identity token."""
    secret = password or token
    if username and username != TOKEN_USERNAME and secret:
        return Credentials(username=username, password=secret)
    if token:
        return Credentials(username=TOKEN_USERNAME, password="", identity_token=token)
    return None


def _of_text(text: object) -> Credentials | None:
    if not isinstance(text, str):
        return None
    try:
        document = json.loads(text)
    except ValueError:
        username, _, password = text.strip().partition(":")
        return _made_of(username, password, "")
    if not isinstance(document, dict):
        return None
    parts = [document.get(key, "") for key in ("username", "password", "token")]
    return _made_of(*parts) if all(isinstance(part, str) for part in parts) else None


_HUB_KEY = "https://index.docker.io/v1/"
_MOST_NEAR = 5


def origin(source: str, name: str, environ: Mapping[str, str]) -> Origin:
    """Find where `source` has the credentials of a host, by the name that Docker uses for the host."""
    kind, _, prefix = source.partition(":")
    if kind == "env":
        names = [f"{prefix}_{part}" for part in ("USERNAME", "PASSWORD", "TOKEN")]
        return Origin(source=source, variables=tuple(name for name in names if environ.get(name)))
    if source != "docker":
        return Origin(source=source)
    path = docker_config_path(environ)
    if path is None:
        return Origin(source=source)
    document = _config_document(path)
    auths, helpers, store = (document.get(key) for key in ("auths", "credHelpers", "credsStore"))
    keys = [str(key) for key in auths] if isinstance(auths, Mapping) else []
    known_as = ("docker.io", "index.docker.io") if name == "docker.io" else (name,)
    suffix = (helpers.get(_HUB_KEY if name == "docker.io" else name) if isinstance(helpers, Mapping) else None) or store
    helper = f"docker-credential-{suffix}" if isinstance(suffix, str) and suffix else None
    hosts = {key: _host_of(key) for key in keys}
    return Origin(
        source=source,
        config_path=str(path),
        config_exists=path.exists(),
        entry=next((key for key, host in hosts.items() if host in known_as), None),
        helper=helper,
        helper_path=shutil.which(helper, path=environ.get("PATH")) if helper else None,
        near=tuple(key for key, host in hosts.items() if host not in known_as and _bare(host) == _bare(name))[
            :_MOST_NEAR
        ],
    )


def docker_config_path(environ: Mapping[str, str]) -> Path | None:
    """The path of Docker's config.json, as its client finds it; None without a home directory."""
    if folder := environ.get("DOCKER_CONFIG"):
        return Path(folder) / "config.json"
    home = environ.get("HOME") or environ.get("USERPROFILE")
    return Path(home) / ".docker" / "config.json" if home else None


def shown_user(username: str) -> str:
    """The user name for display; an identity token has none."""
    return "an identity token" if username == TOKEN_USERNAME else f"user '{username}'"


def _config_document(path: Path) -> dict[str, Any]:
    """The document; empty if it cannot be read (`Keychain.credentials` reports why)."""
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _host_of(key: str) -> str:
    """The host of a key: keys are hosts, or URLs in old files."""
    return (key.partition("://")[2] or key).partition("/")[0]


def _bare(host: str) -> str:
    return host if host.endswith("]") else host.rpartition(":")[0] or host


PATIENCE_S = 60.0
"""A helper may ask the user for a passphrase first."""
_NOTHING_THERE = "credentials not found in native keychain"


class HelperError(Exception):
    """The helper's failure, as text after its name; never the helper's own output, which may contain the secret."""


def ask_helper(program: str, server: str, environ: Mapping[str, str]) -> tuple[str, str] | None:
    """User name and secret for a server; None if the helper has none; HelperError if it fails.

    Follows the docker-credential-helpers protocol: `docker-credential-NAME get` with the server's name on stdin, and a JSON
    object with Username and Secret on stdout. The time limit is PATIENCE_S.
    """
    path = shutil.which(program, path=environ.get("PATH"))
    if path is None:
        raise HelperError("is not on PATH")
    try:
        done = subprocess.run(
            [path, "get"],
            input=server.encode(),
            stdout=subprocess.PIPE,
            env={**os.environ, **environ},
            timeout=PATIENCE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise HelperError(f"did not answer within {PATIENCE_S:g} s") from None
    except OSError as error:
        raise HelperError(f"cannot start ({error.strerror})") from None
    if done.returncode != 0:
        if _NOTHING_THERE in done.stdout.decode(errors="replace"):
            return None
        raise HelperError("failed")
    return _helper_answer(done.stdout)


def _helper_answer(answer: bytes) -> tuple[str, str] | None:
    try:
        found = json.loads(answer)
        username, secret = found["Username"], found["Secret"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise HelperError("failed") from None
    if not isinstance(username, str) or not isinstance(secret, str):
        raise HelperError("failed")
    return (username, secret) if username or secret else None  # docker-credential-pass answers so for a missing entry
