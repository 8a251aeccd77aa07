"""Reads credentials from Docker's config.json and its helpers, by the rules of docker's own client (cli/config).

Unlike docker, one entry that cannot be read fails no other host.
"""

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pullbench.errors import UsageError
from pullbench.model.addresses import DOCKER_HUB_HOSTS
from pullbench.registry.auth import TOKEN_USERNAME, Credentials

HUB_ENTRY = "https://index.docker.io/v1/"
"""The entry that `docker login` writes for all of Docker Hub's hosts."""
_HUB_NAMES = ("index.docker.io", "docker.io")
_MOST_NEAR = 5


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
    entry_has_login: bool = False
    """docker: whether that entry has a login, which docker does not read if the helper answers."""
    helper: str | None = None
    """docker: the helper program for this host, such as `docker-credential-pass`."""
    helper_path: str | None = None
    """The path of that program; None if it is not in PATH."""
    near: tuple[str, ...] = ()
    """docker: other keys for the same host name, such as one with another port."""
    variables: tuple[str, ...] = ()
    """env: the variables that are set, without their values."""


def docker_credentials(host: str, environ: Mapping[str, str]) -> Credentials | None:
    """The login that docker's client has for a host; None means anonymous.

    If the file names a helper, the entry's user is used only where the helper fails, not where it has no login; the entry's
    registry token always is. Raises UsageError if the file or this host's entry cannot be read, or if the helper fails and the
    entry has no login.
    """
    path = docker_config_path(environ)
    if path is None or not path.exists():
        return None
    failure: HelperError | None = None
    found: Credentials | None = None
    try:
        document = _checked(json.loads(path.read_bytes()))
        helper, entry = _helper_of(document, host), document["auths"].get(_entry_key(document["auths"], host))
        if helper is not None:
            try:
                answer = ask_helper(helper, HUB_ENTRY if host in DOCKER_HUB_HOSTS else host, environ)
                return _with_registry_token(_of_helper(answer), entry)
            except HelperError as error:
                failure = error
        found = _login_in(entry)
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(
            f"credentials 'docker': {path} cannot be read ({type(error).__name__}); "
            f"fix it, or create it again with `docker login {host}`"
        ) from None
    if found is None and failure is not None:
        raise UsageError(
            f"credentials 'docker': the helper {helper} of {path} {failure} for {host}; "
            f"run `docker login {host}`, or use env:PREFIX"
        )
    return found


def _checked(document: object) -> dict[str, Any]:
    """The parts of the file about logins, of the right types; ValueError for others."""
    if not isinstance(document, dict):
        raise ValueError("not a JSON object")
    auths, helpers, store = (document.get(key) for key in ("auths", "credHelpers", "credsStore"))
    if not isinstance(auths or {}, dict) or not isinstance(helpers or {}, dict) or not isinstance(store or "", str):
        raise ValueError("not Docker's configuration")
    return {"auths": auths or {}, "credHelpers": helpers or {}, "credsStore": store or ""}


def _entry_key(auths: Mapping[str, object], host: str) -> str | None:
    """The key of a host's entry: the host itself, else a URL of it, as old clients wrote them."""
    if host in DOCKER_HUB_HOSTS:
        named = (key for key in auths if _host_of(key) in _HUB_NAMES)
        return HUB_ENTRY if HUB_ENTRY in auths else next(named, None)
    return host if host in auths else next((key for key in auths if _host_of(key) == host), None)


def _login_in(entry: object) -> Credentials | None:
    """The login in one entry of `auths`; None if it has none. ValueError if it cannot be read."""
    if entry is None:
        return None
    if not isinstance(entry, dict):
        raise ValueError("not a JSON object")
    # Go reads the names in any case.
    found = {str(key).lower(): value for key, value in entry.items()}
    texts = [found.get(key) or "" for key in ("auth", "username", "password", "identitytoken", "registrytoken")]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("not a text")
    auth, username, password, identity_token, registry_token = texts
    if auth:
        username, password = _decoded(auth)
    if not (identity_token or registry_token or (username and password)):
        return None
    return Credentials(
        username=username or TOKEN_USERNAME,
        password=password if username else "",
        identity_token=identity_token or None,
        registry_token=registry_token or None,
    )


def _with_registry_token(found: Credentials | None, entry: object) -> Credentials | None:
    """A helper's login with the registry token of the entry, if that has one: helpers keep none."""
    try:
        token = getattr(_login_in(entry), "registry_token", None)
    except ValueError:
        return found
    if token is None:
        return found
    return replace(found or Credentials(username=TOKEN_USERNAME, password=""), registry_token=token)


def _has_login(entry: object) -> bool:
    try:
        return _login_in(entry) is not None
    except ValueError:
        return False


def _decoded(auth: str) -> tuple[str, str]:
    """User name and password of `auth`: base64 of `user:password`."""
    text = base64.b64decode(auth.replace("\n", "").replace("\r", ""), validate=True).decode()
    username, colon, password = text.partition(":")
    if not username or not colon:
        raise ValueError("not a user and a password")
    return username, password.strip("\0")


def _helper_of(document: Mapping[str, Any], host: str) -> str | None:
    """The helper program for a host; None if the file names none."""
    keys = (HUB_ENTRY, *_HUB_NAMES) if host in DOCKER_HUB_HOSTS else (host,)
    suffix = next((document["credHelpers"][key] for key in keys if document["credHelpers"].get(key)), None)
    suffix = suffix or document["credsStore"]
    return f"docker-credential-{suffix}" if isinstance(suffix, str) and suffix else None


def _of_helper(answer: tuple[str, str] | None) -> Credentials | None:
    username, secret = answer or ("", "")
    if not username or not secret:
        return None
    if username == TOKEN_USERNAME:
        return Credentials(username=username, password="", identity_token=secret)
    return Credentials(username=username, password=secret)


def origin(source: str, host: str, environ: Mapping[str, str]) -> Origin:
    """Find where `source` has the credentials of a host."""
    kind, _, prefix = source.partition(":")
    if kind == "env":
        names = [f"{prefix}_{part}" for part in ("USERNAME", "PASSWORD", "TOKEN")]
        return Origin(source=source, variables=tuple(name for name in names if environ.get(name)))
    path = docker_config_path(environ)
    if source != "docker" or path is None:
        return Origin(source=source)
    try:
        document = _checked(json.loads(path.read_bytes()))
    except (OSError, ValueError, RecursionError):  # `docker_credentials` reports why
        document = _checked({})
    auths, helper = document["auths"], _helper_of(document, host)
    entry = _entry_key(auths, host)
    return Origin(
        source=source,
        config_path=str(path),
        config_exists=path.exists(),
        entry=entry,
        entry_has_login=entry is not None and _has_login(auths[entry]),
        helper=helper,
        helper_path=shutil.which(helper, path=environ.get("PATH")) if helper else None,
        near=_near([key for key in auths if key != entry], host),
    )


def _near(keys: Sequence[str], host: str) -> tuple[str, ...]:
    """The keys of the same host name with another port; for Docker Hub, those of its other names."""
    if host in DOCKER_HUB_HOSTS:
        return tuple(key for key in keys if _host_of(key) in DOCKER_HUB_HOSTS.difference(_HUB_NAMES))[:_MOST_NEAR]
    found = (key for key in keys if _host_of(key) != host and _bare(_host_of(key)) == _bare(host))
    return tuple(found)[:_MOST_NEAR]


def docker_config_path(environ: Mapping[str, str]) -> Path | None:
    """The path of Docker's config.json, as its client finds it; None without a home directory."""
    if folder := environ.get("DOCKER_CONFIG"):
        return Path(folder) / "config.json"
    home = environ.get("HOME") or environ.get("USERPROFILE")
    return Path(home) / ".docker" / "config.json" if home else None


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
