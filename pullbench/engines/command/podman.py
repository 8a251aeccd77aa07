"""The engine of kind `podman`: `podman pull` into a separate store per pull, unpacked by podman.

Podman retries network errors itself: three times, with waits from one second. The engine makes and counts the attempts
itself, so it turns this off (`--retry`, podman 5), and ends an older podman when it prints that it will retry.

With `partial_pulls` podman downloads layers of zstd:chunked images in parts, by Range requests. It does not report how many
bytes it fetched, so the bytes of such a pull are unknown.
"""

import base64
import json
import os
import re
from pathlib import Path
from typing import Any

from pullbench.engines.base import Clock, PullRequest, TrialSetup
from pullbench.engines.command.containers_image import (
    AUTH,
    POLICY,
    REGISTRIES,
    certificates,
    image_name,
    known_sizes,
    write_configuration,
)
from pullbench.engines.command.engine import Brought, CommandEngine, CommandFailed
from pullbench.engines.command.process import Command, environment
from pullbench.errors import ErrorCode
from pullbench.model.image_config import platform_of
from pullbench.model.platform import Platform
from pullbench.model.spec import EngineEntry
from pullbench.registry.keychain import Keychain

_DRIVERS = ("overlay", "vfs")  # vfs works everywhere, but copies every layer
_CONTAINERS_CONF = """\
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
lock_type = "file"
"""
_PARTIAL_PULLS = """\
[storage.options]
pull_options = {enable_partial_images = "true", use_hard_links = "false", ostree_repos = ""}
"""
_FIRST_PARTIAL = 5  # podman 4.3 accepts the option, and downloads the layers whole


class PodmanEngine(CommandEngine):
    """Pulls with podman. Stores are not shared with other pulls or with the machine's own podman."""

    kind = "podman"
    program = "podman"
    package = "podman"
    reads_config_again = True
    _driver: str | None = None
    _own_retries: tuple[str, ...] = ()
    _version_text = ""

    def __init__(self, entry: EngineEntry, *, keychain: Keychain, clock: Clock) -> None:
        super().__init__(entry, keychain=keychain, clock=clock)
        self._partial_pulls = entry.partial_pulls

    def _missing(self) -> str | None:
        if (missing := super()._missing()) is not None:
            return missing
        if os.geteuid() != 0:
            return (
                "rootless podman unpacks files with other users' IDs, which pullbench cannot remove: "
                "run pullbench as root, or use skopeo"
            )
        return None

    def _version(self, folder: Path) -> str:
        output = self._output(Command(arguments=("podman", "--version"), environment=environment(folder)))
        (folder / "containers.conf").write_text(_CONTAINERS_CONF)
        driver = self._working_driver(folder)
        self._version_text = re.sub(r"^podman version ", "", output.strip())
        return f"{self._version_text} ({driver}{', partial pulls' if self._partial_pulls else ''})"

    def _refusal(self) -> str | None:
        major = re.match(r"\d+", self._version_text)
        if not self._partial_pulls:
            return None
        if major is None or int(major[0]) < _FIRST_PARTIAL:
            why, cure = f"podman {self._version_text} downloads zstd:chunked layers whole", "install podman 5"
        elif self._driver != "overlay":
            why, cure = f"podman's driver {self._driver} takes only whole layers", "use a file system with overlay"
        else:
            return None
        return f"{why}: {cure}, or remove `partial_pulls`"

    def _working_driver(self, folder: Path) -> str:
        """The first storage driver that works here; tested once."""
        if self._driver is None:
            help_text = self._output(Command(arguments=("podman", "pull", "--help"), environment=environment(folder)))
            self._own_retries = ("--retry=0",) if re.search(r"--retry\b", help_text) else ()
            for driver in _DRIVERS:
                self._driver = driver
                try:
                    self._make_store(folder / driver)
                    break
                except CommandFailed:
                    if driver == _DRIVERS[-1]:
                        self._driver = None
                        raise
        assert self._driver is not None
        return self._driver

    def _open(self, folder: Path, setup: TrialSetup) -> None:
        write_configuration(folder, setup.requests, self._keychain)
        (folder / "containers.conf").write_text(_CONTAINERS_CONF)
        self._working_driver(folder)

    def _make_store(self, store: Path) -> None:
        """Podman's first command in a store creates its directories and database, and tests the file system."""
        store.mkdir()
        (store / "storage.conf").write_text(
            f'[storage]\ndriver = "{self._driver}"\ngraphroot = "{store / "root"}"\nrunroot = "{store / "r"}"\n'
            + (_PARTIAL_PULLS if self._partial_pulls else "")
        )
        self._output(self._podman(store, "images", "--quiet"))

    def _held(self, store: Path) -> frozenset[str]:
        return frozenset(self._sizes(store))

    def _sizes(self, store: Path) -> dict[str, int | None]:
        """The compressed size by digest of the layers in a store; None for layers that came in parts.

        Those have only the digest of their content (containers/storage, layers.json); manifest and config say whose it is.
        """
        try:
            layers = self._listed(store, "layers")
            whole: dict[str, int | None] = {
                layer["compressed-diff-digest"]: layer.get("compressed-size")
                for layer in layers
                if "compressed-diff-digest" in layer
            }
            in_parts = {layer.get("diff-digest") for layer in layers if "toc-digest" in layer}
            came = self._diff_ids(store).items() if in_parts else ()
            return dict.fromkeys(digest for digest, diff_id in came if diff_id in in_parts) | whole
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CommandFailed(ErrorCode.UNKNOWN, f"cannot read podman's list of layers: {error!r}") from None

    def _diff_ids(self, store: Path) -> dict[str, str]:
        """The digest of each layer's content by the layer's digest, of all images in a store."""
        found: dict[str, str] = {}
        for image in self._listed(store, "images"):
            folder = store / "root" / f"{self._driver}-images" / image["id"]
            config_name = base64.b64encode(f"sha256:{image['id']}".encode()).decode()
            config = json.loads((folder / f"={config_name}").read_bytes())
            manifest = json.loads((folder / "manifest").read_bytes())
            digests = [layer["digest"] for layer in manifest["layers"]]
            found.update(zip(digests, config["rootfs"]["diff_ids"], strict=True))
        return found

    def _listed(self, store: Path, kind: str) -> list[dict[str, Any]]:
        path = store / "root" / f"{self._driver}-{kind}" / f"{kind}.json"
        found: list[dict[str, Any]] = json.loads(path.read_bytes()) if path.exists() else []
        return found

    def _command(self, request: PullRequest, store: Path, timeout_s: float) -> Command:  # noqa: ARG002
        route, platform, folder = request.route, Platform.parse(request.platform).normal(), store.parent
        chosen = [f"--os={platform.os}", f"--arch={platform.architecture}"]
        if platform.variant:
            chosen.append(f"--variant={platform.variant}")
        if not route.plain_http and route.ca_file is not None:
            chosen.append(f"--cert-dir={certificates(folder, route.ca_file)}")
        return self._podman(
            store,
            "pull",
            "--quiet",
            *self._own_retries,
            f"--authfile={folder / AUTH}",
            f"--signature-policy={folder / POLICY}",
            *chosen,
            image_name(request),
            request=request,
        )

    def _podman(self, store: Path, *arguments: str, request: PullRequest | None = None) -> Command:
        folder = store.parent
        return Command(
            arguments=(
                "podman",
                f"--root={store / 'root'}",
                f"--runroot={store / 'r'}",
                f"--tmpdir={store / 'tmp'}",
                f"--storage-driver={self._driver}",
                *arguments,
            ),
            trying_again=None if request is None else "Failed, retrying in",
            environment=environment(
                folder,
                None if request is None else request.route,
                None if request is None else self._keychain.forward_login(request.route),
                CONTAINERS_CONF=str(folder / "containers.conf"),
                CONTAINERS_STORAGE_CONF=str(store / "storage.conf"),
                CONTAINERS_REGISTRIES_CONF=str(folder / REGISTRIES),
            ),
        )

    def _brought(self, request: PullRequest, store: Path) -> Brought:
        """Only the needed fields are requested: a whole inspect grows with the image's history. It has no variant."""
        fields = "{{.Id}} {{.Os}} {{.Architecture}}"
        output = self._output(self._podman(store, "image", "inspect", f"--format={fields}", image_name(request)))
        try:
            image_id, os_name, architecture = output.rstrip("\n").split(" ")
        except ValueError:
            shown = " ".join(output[:200].split())
            raise CommandFailed(
                ErrorCode.UNKNOWN, f"`podman image inspect` printed no ID and platform: {shown}"
            ) from None
        platform = platform_of({"os": os_name, "architecture": architecture})
        sizes = known_sizes(request.expected.manifest, self._sizes(store))
        return Brought(image_id=f"sha256:{image_id}", platform=platform, layers=sizes)
