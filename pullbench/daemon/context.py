"""Which Docker daemon the `docker` command would use: DOCKER_HOST, else the current context, else the default socket.

A context is what `docker context create` writes below Docker's configuration directory:

    contexts/meta/SHA256-OF-NAME/meta.json              {"Name": …, "Endpoints": {"docker": {"Host": …, "SkipTLSVerify": …}}}
    contexts/tls/SHA256-OF-NAME/docker/{ca,cert,key}.pem
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DEFAULT_HOST = "unix:///var/run/docker.sock"
_DEFAULT_CONTEXT = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonEndpoint:
    """A daemon's address, and the TLS files of its context."""

    host: str
    context: str | None = None
    """The name of the context; None where the address comes from elsewhere."""
    tls_directory: Path | None = None
    """Where ca.pem, cert.pem and key.pem are, as many as the context has; None where it has none."""
    skips_verification: bool = False
    problem: str = ""
    """Why the context cannot be used, and what to do; empty where it can."""


def endpoint_of(host: str | None, environ: Mapping[str, str]) -> DaemonEndpoint:
    """The daemon that a person means by a host, or by none; nothing is contacted."""
    if host is not None or (host := environ.get("DOCKER_HOST")):
        return DaemonEndpoint(host=host)
    directory = _directory(environ)
    if directory is None:
        return DaemonEndpoint(host=DEFAULT_HOST)
    name = environ.get("DOCKER_CONTEXT") or str(_json(directory / "config.json").get("currentContext") or "")
    if name in ("", _DEFAULT_CONTEXT):
        return DaemonEndpoint(host=DEFAULT_HOST)
    return _of_context(name, directory / "contexts")


def _of_context(name: str, contexts: Path) -> DaemonEndpoint:
    key = hashlib.sha256(name.encode()).hexdigest()
    endpoints = _json(contexts / "meta" / key / "meta.json").get("Endpoints")
    endpoint = endpoints.get("docker") if isinstance(endpoints, Mapping) else None
    found: Mapping[str, Any] = endpoint if isinstance(endpoint, Mapping) else {}
    host = found.get("Host")
    if not isinstance(host, str) or not host:
        problem = f"Docker context '{name}' is not found or has no host: see `docker context ls`, or set DOCKER_HOST"
        return DaemonEndpoint(host=f"context {name}", context=name, problem=problem)
    tls = contexts / "tls" / key / "docker"
    return DaemonEndpoint(
        host=host,
        context=name,
        tls_directory=tls if tls.is_dir() else None,
        skips_verification=bool(found.get("SkipTLSVerify")),
    )


def _directory(environ: Mapping[str, str]) -> Path | None:
    if named := environ.get("DOCKER_CONFIG"):
        return Path(named)
    home = environ.get("HOME") or environ.get("USERPROFILE")
    return Path(home) / ".docker" if home else None


def _json(path: Path) -> dict[str, Any]:
    """The document; empty where it cannot be read."""
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}
