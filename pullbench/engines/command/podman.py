"""The engine of kind `podman`: `podman pull` into a separate store per pull, unpacked by podman.

Podman retries network errors itself: three times, with waits from one second. The engine makes and counts the attempts
itself, so it turns this off (`--retry`, podman 5), and ends an older podman when it prints that it will retry.
"""

import json
import os
import re
from pathlib import Path
from typing import Any

from pullbench.engines.base import PullRequest, TrialSetup
from pullbench.engines.command.containers_image import (
    AUTH,
    POLICY,
    REGISTRIES,
    certificates,
    image_name,
    write_configuration,
)
from pullbench.engines.command.engine import Brought, CommandEngine, CommandFailed
from pullbench.engines.command.process import Command, environment
from pullbench.errors import ErrorCode
from pullbench.model.platform import Platform

_DRIVERS = ("overlay", "vfs")  # vfs works everywhere, but copies every layer
_CONTAINERS_CONF = """\
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
lock_type = "file"
"""


class PodmanEngine(CommandEngine):
    """Pulls with podman. Stores are not shared with other pulls or with the machine's own podman."""

    kind = "podman"
    program = "podman"
    package = "podman"
    reads_config_again = True
    _driver: str | None = None
    _own_retries: tuple[str, ...] = ()

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
        return f"{re.sub(r'^podman version ', '', output.strip())} ({driver})"

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
        )
        self._output(self._podman(store, "images", "--quiet"))

    def _held(self, store: Path) -> frozenset[str]:
        return frozenset(self._sizes(store))

    def _sizes(self, store: Path) -> dict[str, int | None]:
        """The compressed size by digest of the layers in a store (containers/storage, layers.json)."""
        path = store / "root" / f"{self._driver}-layers" / "layers.json"
        try:
            found: list[dict[str, Any]] = json.loads(path.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise CommandFailed(ErrorCode.UNKNOWN, f"cannot read podman's list of layers: {error}") from None
        return {
            layer["compressed-diff-digest"]: layer.get("compressed-size")
            for layer in found
            if "compressed-diff-digest" in layer
        }

    def _command(self, request: PullRequest, store: Path, timeout_s: float) -> Command:  # noqa: ARG002
        route, platform, folder = request.route, Platform.parse(request.platform), store.parent
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
        platform = Platform(os=os_name, architecture=architecture)
        return Brought(image_id=f"sha256:{image_id}", platform=platform, layers=self._sizes(store))
