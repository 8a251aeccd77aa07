"""The engine of kind `containerd`: `ctr images pull` with a separate containerd per trial.

With `transfer: local` ctr downloads, then unpacks. With `transfer: service` containerd does both, each layer as it comes.
Newer versions also download the metadata of all other platforms by default; the engine switches that off. They repeat a request
by themselves after a 503, and do not say so.

One containerd serves a trial, with root, state and socket in the trial's directory. Its namespaces share no content
(`content_sharing_policy`), so a namespace is a separate store: each pull downloads and unpacks everything, whatever other
pulls of the trial have stored.
"""

import contextlib
import json
import os
import re
import subprocess
from dataclasses import dataclass
from functools import reduce
from hashlib import sha256
from pathlib import Path

from pullbench.engines.base import Clock, PullRequest, TrialSetup
from pullbench.engines.command.containers_image import write_secret
from pullbench.engines.command.engine import SETUP_S, Brought, CommandEngine, CommandFailed
from pullbench.engines.command.process import GRACE_S, Command, environment, find_program, last_words
from pullbench.errors import ErrorCode, UsageError
from pullbench.model.image_config import platform_of
from pullbench.model.route import Route
from pullbench.model.spec import EngineEntry
from pullbench.registry.keychain import Keychain

_CONFIG = """\
version = 2
root = {root}
state = {state}
disabled_plugins = [
  "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime",
  "io.containerd.internal.v1.opt", "io.containerd.nri.v1.nri", "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
]
[grpc]
address = {address}
[debug]
level = "warn"
[plugins."io.containerd.metadata.v1.bolt"]
content_sharing_policy = "isolated"
"""
_UNPACKS = """\
[[plugins."io.containerd.transfer.v1.local".unpack_config]]
platform = {platform}
snapshotter = {snapshotter}
differ = "walking"
"""  # without the name of a differ it serves no platform but this machine's
_LONGEST_SOCKET = 107 - len(".ttrpc")  # unix(7), sun_path; containerd makes a second one with that ending
_LONGEST_LINE = 4000  # the longest line that a terminal accepts: termios(3), canonical mode
_NAP_S = 0.01
_UNPACKED = re.compile(r"^done: (?:(\d+)h)?(?:(\d+)m)?(?:([\d.]+)(s|ms|µs))?\s*$", re.MULTILINE)
_SECONDS = {"s": 1.0, "ms": 1e-3, "µs": 1e-6, None: 0.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Installed:
    """What the installed containerd can do here."""

    snapshotter: str
    transfer: str
    """What ctr does by default: `local` or `service`."""
    flags: frozenset[str]
    """Those of `ctr images pull` that differ between versions."""


class ContainerdEngine(CommandEngine):
    """Pulls with containerd's client ctr; the daemon stores and unpacks, and downloads too with `transfer: service`."""

    kind = "containerd"
    program = "ctr"
    package = "containerd"
    reads_config_again = False
    _daemon: subprocess.Popen[bytes] | None = None
    _installed: _Installed | None = None
    _version_text = ""

    def __init__(self, entry: EngineEntry, *, keychain: Keychain, clock: Clock) -> None:
        super().__init__(entry, keychain=keychain, clock=clock)
        self._chosen = entry.transfer

    def _missing(self) -> str | None:
        if (missing := super()._missing()) is not None:
            return missing
        if find_program("containerd") is None:
            return f"containerd is not installed: install {self.package} (`apt-get install {self.package}`)"
        if os.geteuid() != 0:
            return "containerd needs root to mount what it unpacks: run pullbench as root, or use another engine"
        return None

    def _version(self, folder: Path) -> str:
        output = self._output(Command(arguments=("containerd", "--version"), environment=environment(folder)))
        found = re.search(r"\bv?(\d+\.\d[^\s]*)", output)
        self._version_text = found[1] if found else output.strip()
        installed = self._examined(folder)
        how = [
            installed.snapshotter,
            *([f"transfer {self._transfer(installed)}"] if "local" in installed.flags else []),
        ]
        return f"{self._version_text} ({', '.join(how)})"

    def _refusal(self) -> str | None:
        if self._chosen != "service" or self._installed is None or "local" in self._installed.flags:
            return None
        return f"ctr {self._version_text} has no transfer service: install containerd 2, or remove `transfer: service`"

    def _transfer(self, installed: _Installed) -> str:
        return self._chosen or installed.transfer

    def _examined(self, folder: Path) -> _Installed:
        """What works here; tested once, with a containerd that ends again."""
        if self._installed is None:
            try:
                self._start(folder)
                plugins = self._output(self._ctr(folder, "plugins", "ls"))
                help_text = self._output(self._ctr(folder, "images", "pull", "--help"))
            finally:
                self._close()
            overlay = re.search(r"^\S+snapshotter\.v1\s+overlayfs\s.*\bok\s*$", plugins, re.MULTILINE)
            service = re.search(r"--local\b.*\(default: false\)", help_text)
            self._installed = _Installed(
                snapshotter="overlayfs" if overlay else "native",
                transfer="service" if service else "local",
                flags=frozenset(flag for flag in ("local", "skip-metadata") if f"--{flag}" in help_text),
            )
        return self._installed

    def _open(self, folder: Path, setup: TrialSetup) -> None:
        for host, route in {_registry(request.route): request.route for request in setup.requests}.items():
            self._check_secret(route)
            hosts = folder / "hosts" / host
            hosts.mkdir(parents=True, exist_ok=True)
            write_secret(hosts / "hosts.toml", _hosts_toml(route))
        installed = self._examined(folder)
        unpacks = "".join(
            _UNPACKS.format(platform=json.dumps(platform), snapshotter=json.dumps(installed.snapshotter))
            for platform in sorted({request.platform for request in setup.requests})
        )
        is_service = self._transfer(installed) == "service"
        # All requests of a trial take one route: its proxy is that of the service, too.
        self._start(folder, *((unpacks, setup.requests[0].route) if is_service else ()))

    def _start(self, folder: Path, more: str = "", route: Route | None = None) -> None:
        """Start containerd, with `more` in its configuration and the proxy of `route`, and wait until it answers."""
        address = folder / "s"
        if len(str(address)) > _LONGEST_SOCKET:
            raise CommandFailed(
                ErrorCode.ENGINE_UNAVAILABLE, f"the path {folder} is too long for a socket: set TMPDIR to a shorter one"
            )
        texts = {"root": folder / "root", "state": folder / "state", "address": address}
        config = folder / "config.toml"
        config.write_text(_CONFIG.format(**{key: json.dumps(str(value)) for key, value in texts.items()}) + more)
        with (folder / "log").open("wb") as log:
            self._daemon = subprocess.Popen(
                ("containerd", f"--config={config}"),
                env=environment(folder, route, None if route is None else self._keychain.forward_login(route)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._wait_until_it_answers(folder)

    def _wait_until_it_answers(self, folder: Path) -> None:
        assert self._daemon is not None
        until = self._clock.monotonic() + SETUP_S
        while True:
            with contextlib.suppress(CommandFailed):
                self._output(self._ctr(folder, "version"))
                return
            if self._daemon.poll() is not None or self._clock.monotonic() > until:
                output = last_words((folder / "log").read_text(errors="replace")) or "no output"
                raise CommandFailed(ErrorCode.ENGINE_UNAVAILABLE, f"containerd does not start: {output}")
            self._clock.sleep(_NAP_S)

    def _close(self) -> None:
        daemon, self._daemon = self._daemon, None
        if daemon is None:
            return
        daemon.terminate()
        try:
            daemon.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()

    def _make_store(self, store: Path) -> None:
        """Nothing to do: a namespace exists from its first content."""

    def _held(self, store: Path) -> frozenset[str]:
        listed = self._output(self._ctr(store.parent, f"--namespace={store.name}", "content", "ls", "--quiet"))
        return frozenset(listed.split())

    def _command(self, request: PullRequest, store: Path, timeout_s: float) -> Command:  # noqa: ARG002
        folder, route = store.parent, request.route
        known = self._keychain.login(route)
        installed = self._examined(folder)
        options = []
        if "local" in installed.flags:
            options.append(f"--local={str(self._transfer(installed) == 'local').lower()}")
        if "skip-metadata" in installed.flags:  # else ctr downloads manifests and configs of all platforms
            options.append("--skip-metadata")
        return self._ctr(
            folder,
            f"--namespace={store.name}",
            "images",
            "pull",
            *options,
            f"--hosts-dir={folder / 'hosts'}",
            f"--platform={request.platform}",
            f"--snapshotter={installed.snapshotter}",
            *(() if known is None else (f"--user={known.username}",)),
            _name(request),
            route=route,
            typed=None if known is None else known.password,
        )

    def _ctr(self, folder: Path, *arguments: str, route: Route | None = None, typed: str | None = None) -> Command:
        return Command(
            arguments=("ctr", f"--address={folder / 's'}", *arguments),
            environment=environment(folder, route, None if route is None else self._keychain.forward_login(route)),
            typed=typed,
        )

    def _check_secret(self, route: Route) -> None:
        """ctr accepts an identity token only on its command line; a password also from a terminal, as one line."""
        known = self._keychain.login(route)
        if known is None:
            return
        why = None
        if not known.password and known.registry_token is not None:
            why = "a registry token, which ctr does not accept"
        elif not known.password or ":" in known.username:
            why = "an identity token, which ctr accepts only on its command line, where other users can read it"
        elif len(known.password.encode()) > _LONGEST_LINE or not known.password.isprintable():
            why = f"a password that cannot be typed (over {_LONGEST_LINE} bytes, or with control characters)"
        if why is not None:
            raise UsageError(
                f"credentials '{route.credentials}': for {route.host} they are {why}; "
                "use a user name and a password, or another engine"
            )

    def _brought(self, request: PullRequest, store: Path) -> Brought:
        """The content store has each blob under its digest, verified by containerd; the namespace shows whose it is."""
        promised = request.expected.manifest
        held = self._held(store)
        # The transfer service takes these for a success: it pulled only the index, or what is no image.
        if held <= {request.reference.digest}:
            raise CommandFailed(ErrorCode.PLATFORM_MISSING, f"ctr found no image for {request.platform} in the index")
        blobs = store.parent / "root" / "io.containerd.content.v1.content" / "blobs"
        paths = {blob.digest: blobs / blob.digest.replace(":", "/") for blob in promised.blobs if blob.digest in held}
        try:
            config = json.loads(paths[promised.config.digest].read_bytes())
            platform = platform_of(config)
            sizes = {
                layer.digest: paths[layer.digest].stat().st_size for layer in promised.layers if layer.digest in held
            }
            diff_ids = [str(diff_id) for diff_id in (config.get("rootfs") or {}).get("diff_ids") or ()]
        except KeyError:
            raise CommandFailed(
                ErrorCode.DIGEST_MISMATCH, f"ctr pulled no image with the config {promised.config.digest}"
            ) from None
        except (OSError, ValueError, TypeError) as error:
            raise CommandFailed(ErrorCode.UNKNOWN, f"cannot read containerd's content: {error}") from None
        if promised.artifact is not None:
            raise CommandFailed(ErrorCode.PLATFORM_MISSING, f"ctr pulled {promised.artifact}, not an image")
        if request.expected.digest not in held:
            raise CommandFailed(ErrorCode.DIGEST_MISMATCH, f"ctr did not pull the manifest {request.expected.digest}")
        self._check_unpacked(store, diff_ids)
        return Brought(image_id=promised.config.digest, platform=platform, layers=sizes)

    def _check_unpacked(self, store: Path, diff_ids: list[str]) -> None:
        """containerd unpacks into snapshots that have chain IDs as names (OCI image spec, config, "Layer ChainID")."""
        if not diff_ids:
            return
        snapshotter = self._examined(store.parent).snapshotter
        listed = self._output(
            self._ctr(store.parent, f"--namespace={store.name}", "snapshots", f"--snapshotter={snapshotter}", "ls")
        )
        top = reduce(lambda below, diff_id: f"sha256:{sha256(f'{below} {diff_id}'.encode()).hexdigest()}", diff_ids)
        if top not in listed:
            raise CommandFailed(
                ErrorCode.ENGINE_UNAVAILABLE, f"ctr downloaded the image, but {snapshotter} has not unpacked it"
            )

    def _extract_s(self, stdout: str) -> float | None:
        """With `transfer: local` ctr unpacks after the download, and prints the time as a Go duration."""
        found = _UNPACKED.search(stdout.replace("\r", "\n").replace("\t", ""))
        if found is None:
            return None
        hours, minutes, number, unit = found.groups()
        return int(hours or 0) * 3600 + int(minutes or 0) * 60 + float(number or 0) * _SECONDS[unit]


def _name(request: PullRequest) -> str:
    return f"{_registry(request.route)}/{request.route.repository(request.reference)}@{request.reference.digest}"


def _registry(route: Route) -> str:
    """The host in the image's name. If it is not the server's, containerd sends it as ?ns=HOST with each request."""
    return route.namespace or route.host


def _hosts_toml(route: Route) -> str:
    """Only the server is used; containerd 1.6 requires a host entry too, so that one is for pushing."""
    server = json.dumps(route.url)
    lines = [f"server = {server}", 'capabilities = ["pull", "resolve"]']
    if route.ca_file is not None:
        lines.append(f"ca = {json.dumps(str(Path(route.ca_file).resolve()))}")
    if route.headers:
        lines += ["[header]", *(f"{json.dumps(name)} = {json.dumps(value)}" for name, value in route.headers.items())]
    return "\n".join([*lines, f"[host.{server}]", 'capabilities = ["push"]', ""])
