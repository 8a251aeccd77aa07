"""Reads credentials: Docker's config.json and its helpers, environment variables, a Prefect Secret.

`Origin` describes where they are read from, without a secret; `docker_config` reads Docker's file.
"""

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from pullbench.errors import ErrorCode, UsageError
from pullbench.model.route import Route
from pullbench.registry.attempts import Logins
from pullbench.registry.auth import TOKEN_USERNAME, Credentials
from pullbench.registry.docker_config import Origin, docker_credentials, origin


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
            return docker_credentials(host, self._environ)
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
        return origin(source, host, self._environ)


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


def shown_user(username: str) -> str:
    """The user name for display; an identity token has none."""
    return "an identity token" if username == TOKEN_USERNAME else f"user '{username}'"
