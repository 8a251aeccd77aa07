"""Where credentials come from: the file, the helper or the variables that a source looks at, and never a secret."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pullbench.registry.auth import TOKEN_USERNAME

_HUB_KEY = "https://index.docker.io/v1/"
_MOST_NEAR = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What a source would ask for one host. What it then holds is `Keychain.credentials`' to say."""

    source: str
    """As in the spec: docker, env:PREFIX, block:NAME, anonymous."""
    config_path: str | None = None
    """docker: the config.json; None where no home folder is known."""
    config_exists: bool = False
    entry: str | None = None
    """docker: the key of the host under `auths`, as it stands there."""
    helper: str | None = None
    """docker: the program that is asked for this host, such as `docker-credential-pass`."""
    helper_path: str | None = None
    """Where that program is; None where PATH has none."""
    near: tuple[str, ...] = ()
    """docker: other keys of the same host name, such as one with another port."""
    variables: tuple[str, ...] = ()
    """env: the variables that are set, without their values."""


def origin(source: str, name: str, environ: Mapping[str, str]) -> Origin:
    """Look up where `source` keeps what it has for a host, by the name under which Docker files it."""
    kind, _, prefix = source.partition(":")
    if kind == "env":
        names = [f"{prefix}_{part}" for part in ("USERNAME", "PASSWORD", "TOKEN")]
        return Origin(source=source, variables=tuple(name for name in names if environ.get(name)))
    if source != "docker":
        return Origin(source=source)
    path = docker_config_path(environ)
    if path is None:
        return Origin(source=source)
    document = _read(path)
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
    """Docker's config.json as its client finds it; None where no home folder is known."""
    if folder := environ.get("DOCKER_CONFIG"):
        return Path(folder) / "config.json"
    home = environ.get("HOME") or environ.get("USERPROFILE")
    return Path(home) / ".docker" / "config.json" if home else None


def shown_user(username: str) -> str:
    """How a user is named for people: an identity token has no name."""
    return "an identity token" if username == TOKEN_USERNAME else f"user '{username}'"


def _read(path: Path) -> dict[str, Any]:
    """The document, empty where it cannot be read: `Keychain.credentials` says why."""
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _host_of(key: str) -> str:
    """Keys are hosts, or URLs of the time when Docker wrote those."""
    return (key.partition("://")[2] or key).partition("/")[0]


def _bare(host: str) -> str:
    return host if host.endswith("]") else host.rpartition(":")[0] or host
