"""A Docker daemon through the SDK's low-level client: its info and images, pulls, and removals.

Every exception of the SDK becomes a RegistryError with a code of errors.py.
"""

import contextlib
import io
import json
import os
import re
import socket
import tarfile
import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pullbench.daemon.context import DaemonEndpoint, endpoint_of
from pullbench.errors import ErrorCode, RegistryError, Responder, classify, code_of_status

if TYPE_CHECKING:  # the SDK takes 0.1 s to import; a run without a daemon does not need it
    import requests
    from docker.api.client import APIClient

    from pullbench.daemon.pull_stream import PullStream

_CONTROL_TIMEOUT_S = 120  # removing a large image on a slow disk takes long; nothing else does
_TELLING_STATUS = frozenset({401, 403, 404, 429})
_COUNTS_IMAGES = (1, 42)
"""From this Engine API on, the disk usage of images alone can be requested."""
_LISTS_PLATFORMS = (1, 48)
_COUNTS_ON_REQUEST = (1, 52)
"""From this Engine API on, the disk usage has the single images only if that is requested."""


class DockerDaemon:
    """One daemon, contacted on first use; thread-safe.

    `host` is the daemon's socket (unix:// or tcp://). None means the daemon of the `docker` command: DOCKER_HOST with its TLS
    variables, else the current Docker context, else the default socket.
    Every method raises RegistryError: `engine_unavailable` where no daemon answers.
    """

    def __init__(self, host: str | None = None) -> None:
        self._endpoint = endpoint_of(host, os.environ)
        self.host = self._endpoint.host
        self._lock = threading.Lock()
        self._client: APIClient | None = None

    def version(self) -> str:
        """The daemon's version, such as `20.10.24`."""
        with self._translated():
            return str(self._control().version(api_version=False)["Version"])

    def info(self) -> Mapping[str, Any]:
        """The output of `docker info`, as the Engine API's SystemInfo."""
        with self._translated():
            found: dict[str, Any] = self._control().info()
            return found

    @property
    def api_version(self) -> tuple[int, int]:
        """The version of the Engine API that both sides speak, such as (1, 51)."""
        with self._translated():
            major, _, minor = str(self._control().api_version).partition(".")
            return int(major), int(minor)

    @property
    def identity(self) -> str:
        """The daemon's ID, which stays the same when its address changes."""
        return str(self.info().get("ID") or self.host)

    def image_ids(self) -> frozenset[str]:
        """IDs of all images in the store."""
        with self._translated():
            return frozenset(self._control().images(quiet=True, all=True))

    def images(self) -> list[Mapping[str, Any]]:
        """All images, as the Engine API's ImageSummary; from API 1.48 on with `Manifests` in containerd's image store."""
        more = {"manifests": 1} if self.api_version >= _LISTS_PLATFORMS else {}
        found: list[Mapping[str, Any]] = self._call("get", "/images/json", params={"all": 1, **more}).json()
        return found

    def disk_usage(self) -> Mapping[str, Any]:
        """The images in `docker system df -v`, as the Engine API's SystemDataUsageResponse."""
        more: dict[str, object] = {"type": "image"} if self.api_version >= _COUNTS_IMAGES else {}
        more |= {"verbose": 1} if self.api_version >= _COUNTS_ON_REQUEST else {}
        found: dict[str, Any] = self._call("get", "/system/df", params=more).json()
        return found

    def containers(self) -> list[Mapping[str, Any]]:
        """All containers, including stopped ones, as the Engine API's ContainerSummary."""
        with self._translated():
            found: list[Mapping[str, Any]] = self._control().containers(all=True)
            return found

    def used_image_ids(self) -> list[str]:
        """The image of each container, including stopped ones."""
        return [str(container["ImageID"]) for container in self.containers()]

    def inspect(self, reference: str, **more: object) -> Mapping[str, Any]:
        """An image by ID or reference, as the Engine API's ImageInspect; `not_found` if the store lacks it.

        `more` are parameters of newer Engine APIs: `manifests=1` (1.48), or `platform` as JSON (1.49).
        """
        found: dict[str, Any] = self._call("get", "/images/{0}/json", reference, params=more).json()
        return found

    def find(self, reference: str) -> Mapping[str, Any] | None:
        """The result of `inspect`, or None if the store lacks the image."""
        try:
            return self.inspect(reference)
        except RegistryError as error:
            if error.code is ErrorCode.NOT_FOUND:
                return None
            raise

    def remove(self, image: str, *, force: bool = False) -> None:
        """Remove an image by ID, or one of its names; without `force` the daemon refuses images in use.

        Untagged parents stay: they may belong to others.
        """
        with self._translated(image):
            self._control().remove_image(image, force=force, noprune=True)

    def remove_platform(self, image: str, platform: str) -> None:
        """Remove the content of one platform of an image (Engine API 1.50), given as JSON; its names stay.

        The daemon looks neither for containers nor for other images with the same layers.
        """
        self._call("delete", "/images/{0}", image, params={"platforms": platform, "force": 1})

    def import_empty(self, label: str) -> None:
        """Create an image without a name and content, with this label (`key=value`)."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w"):
            pass
        self._call(
            "post",
            "/images/create",
            params={"fromSrc": "-", "changes": f"LABEL {label}"},
            data=packed.getvalue(),
            headers={"Content-Type": "application/x-tar"},
        )

    def prune_labelled(self, label: str) -> None:
        """Remove images without a name that have this label, and the leases of stopped pulls."""
        filters = json.dumps({"dangling": ["true"], "label": [label]})
        self._call("post", "/images/prune", params={"filters": filters})

    def pull(self, reference: str, *, platform: str, auth_config: Mapping[str, str]) -> "PullStream":
        """Prepare a pull; iterating the stream starts it. An empty `auth_config` pulls anonymously."""
        from pullbench.daemon.pull_stream import PullStream

        with self._translated():
            version = self._control().api_version
            client = self._new_client(version=version)
        return PullStream(
            client,
            reference,
            platform=platform,
            auth_config=dict(auth_config),
            translate=lambda error: self._translate(error, reference),
        )

    def _call(self, method: str, path: str, *names: str, **options: Any) -> "requests.Response":
        """A request that the SDK has no method or no parameter for; `names` fill the path, quoted."""
        with self._translated(*names):
            client: Any = self._control()
            answer: requests.Response = getattr(client, f"_{method}")(client._url(path, *names), **options)
            client._raise_for_status(answer)
            return answer

    def close(self) -> None:
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def _control(self) -> "APIClient":
        with self._lock:
            if self._client is None:
                self._client = self._new_client()
            return self._client

    def _new_client(self, version: str | None = None) -> "APIClient":
        from pullbench.daemon.pull_stream import DirectClient

        if self._endpoint.problem:
            problem = self._endpoint.problem
            raise RegistryError(ErrorCode.ENGINE_UNAVAILABLE, "docker", problem, answered_by=Responder.DAEMON)
        if self.host.startswith("unix://"):
            with socket.socket(socket.AF_UNIX) as probe:  # the SDK leaks the socket of a failed connect
                probe.connect(self.host.removeprefix("unix://"))
        return DirectClient(**_connection(self._endpoint), version=version, timeout=_CONTROL_TIMEOUT_S)

    @contextlib.contextmanager
    def _translated(self, what: str = "") -> Iterator[None]:
        from pullbench.daemon.pull_stream import STREAM_ERRORS

        try:
            yield
        except STREAM_ERRORS as error:
            raise self._translate(error, what) from error

    def _translate(self, error: Exception, what: str) -> RegistryError:
        from docker.errors import APIError

        where = f"docker {self.host}" + (f" {what}" if what else "")
        if isinstance(error, APIError):
            status = error.status_code
            detail = one_line(str(error.explanation or error))
            code = classify(detail)
            if code is ErrorCode.UNKNOWN and status in _TELLING_STATUS:
                code = code_of_status(status)
            return RegistryError(code, where, detail, status=status)
        cause = _system_error(error)
        reason = (cause.strerror or str(cause)) if cause is not None else str(error)
        if isinstance(cause, PermissionError):
            reason += " (add this user to the group `docker`, or run as root)"
        text = f"no answer from the daemon: {one_line(reason)}"
        return RegistryError(ErrorCode.ENGINE_UNAVAILABLE, where, text, answered_by=Responder.DAEMON)


def _connection(endpoint: DaemonEndpoint) -> dict[str, Any]:
    """What the SDK takes: the address, and TLS by the context's files or by the environment's variables."""
    from docker.tls import TLSConfig
    from docker.utils import kwargs_from_env

    if endpoint.context is None:
        found: dict[str, Any] = {**kwargs_from_env(environment={**os.environ, "DOCKER_HOST": endpoint.host})}
        if not endpoint.host.startswith(("tcp://", "https://")):
            found.pop("tls", None)
        return found
    directory = endpoint.tls_directory
    if directory is None or not endpoint.host.startswith(("tcp://", "https://")):
        return {"base_url": endpoint.host}
    ca, certificate, key = (directory / f"{name}.pem" for name in ("ca", "cert", "key"))
    tls = TLSConfig(
        client_cert=(str(certificate), str(key)) if certificate.is_file() and key.is_file() else None,
        ca_cert=str(ca) if ca.is_file() else None,
        verify=not endpoint.skips_verification,
    )
    return {"base_url": endpoint.host.replace("tcp://", "https://", 1), "tls": tls}


def one_line(text: str) -> str:
    """A foreign text for a record: one line, bounded, and without URL queries, which may contain signatures."""
    return re.sub(r"\?[^\s\"']+", "?…", " ".join(text.split()))[:1000]


def _system_error(error: BaseException | None) -> OSError | None:
    """The system error at the root of an exception of the SDK and its HTTP library."""
    seen: set[int] = set()
    pending = [error]
    while pending:
        current = pending.pop()
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        if isinstance(current, OSError) and current.errno is not None:
            return current
        pending += [current.__cause__, current.__context__]
        pending += [argument for argument in current.args if isinstance(argument, BaseException)]
    return None


def try_removal(daemon: DockerDaemon, image: str, *, force: bool = False) -> str | None:
    """Remove an image by ID or name. Returns the daemon's reason if it refuses, None if the image or name is gone."""
    try:
        daemon.remove(image, force=force)
    except RegistryError as error:
        if error.code is ErrorCode.ENGINE_UNAVAILABLE:
            raise
        return None if error.code is ErrorCode.NOT_FOUND else error.detail
    return None


def names_of(image: Mapping[str, Any]) -> frozenset[str]:
    """All names of an inspected image: tags, and `repository@digest`."""
    names = (*(image.get("RepoTags") or ()), *(image.get("RepoDigests") or ()))
    return frozenset(name for name in names if "<none>" not in name)
