"""The containers/image configuration of skopeo and podman, in files of the trial.

The machine's own configuration (mirrors, stores, helpers, policies) is ignored, so that a route is exactly as in the spec.
Over plain HTTP the library tries TLS first, as it always does.
"""

import base64
import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from pullbench.engines.base import PullRequest
from pullbench.errors import UsageError
from pullbench.model.manifest import Manifest
from pullbench.model.route import Route
from pullbench.registry.auth import Credentials
from pullbench.registry.keychain import Keychain

AUTH, REGISTRIES, POLICY = "auth.json", "registries.conf", "policy.json"


def write_configuration(folder: Path, requests: Iterable[PullRequest], keychain: Keychain) -> None:
    """Write the trial's `auth.json` (readable only by this user), `registries.conf`, `policy.json` and CAs.

    Raises UsageError if credentials or a CA file cannot be read.
    """
    known: dict[str, Credentials] = {}
    repositories: dict[str, Route] = {}
    for request in requests:
        route = request.route
        repositories[repository(request)] = route
        found = keychain.login(route)
        if found is not None and found.registry_token and not found.password:
            raise UsageError(
                f"credentials '{route.credentials}': for {route.host} they are a registry token, which podman and skopeo do not "
                "accept; use a user name and a password, or another engine"
            )
        if found is not None:
            known[route.host] = found
        if route.ca_file is not None:
            _copy_ca(route.ca_file, certificates(folder, route.ca_file))
    write_secret(folder / AUTH, json.dumps({"auths": {host: _auth(found) for host, found in known.items()}}))
    entries = (_registry(name, route) for name, route in repositories.items())
    (folder / REGISTRIES).write_text("unqualified-search-registries = []\n" + "".join(entries))
    (folder / POLICY).write_text(json.dumps({"default": [{"type": "insecureAcceptAnything"}]}))


def repository(request: PullRequest) -> str:
    """The repository with its host, such as `r.io:5000/app`."""
    return f"{request.route.host}/{request.route.repository(request.reference)}"


def image_name(request: PullRequest) -> str:
    """The image to request: the repository with the planned digest."""
    return f"{repository(request)}@{request.reference.digest}"


def certificates(folder: Path, ca_file: str) -> Path:
    """The directory that contains this CA, for `--cert-dir`; it is trusted in addition to the machine's CAs."""
    return folder / f"certs-{hashlib.sha256(ca_file.encode()).hexdigest()[:16]}"


def write_secret(path: Path, text: str) -> None:
    """Create a new file that only this user can ever read."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def _copy_ca(ca_file: str, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    try:
        shutil.copyfile(ca_file, folder / "ca.crt")
    except OSError as error:
        raise UsageError(
            f"ca_file: {ca_file} cannot be used: {error.strerror}; set it to the PEM file of the registry's CA"
        ) from None


def _registry(name: str, route: Route) -> str:
    """The whole repository is the prefix, so no other configuration is more specific."""
    insecure = str(route.plain_http).lower()
    return f'[[registry]]\nprefix = "{name}"\nlocation = "{name}"\ninsecure = {insecure}\n'


def _auth(found: Credentials) -> dict[str, str]:
    pair = base64.b64encode(f"{found.username}:{found.password}".encode()).decode()
    return {"auth": pair} | ({"identitytoken": found.identity_token} if found.identity_token else {})


def known_sizes(manifest: Manifest, sizes: Mapping[str, int | None]) -> dict[str, int | None]:
    """The downloaded bytes by the digest of the layer; None for a layer that the manifest lists more than once.

    podman and skopeo may download such a layer as often as it is listed, and do not report how often they did.
    """
    listed = Counter(layer.digest for layer in manifest.layers)
    return {digest: None if listed[digest] > 1 else size for digest, size in sizes.items()}
