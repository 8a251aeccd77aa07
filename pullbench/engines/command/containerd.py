"""The engine of kind `containerd`: `ctr images pull` with a separate containerd per trial.

One containerd serves a trial, with root, state and socket in the trial's directory. Its namespaces share no content
(`content_sharing_policy`), so a namespace is a separate store: each pull downloads and unpacks everything, whatever other
pulls of the trial have stored.
"""

import contextlib
import json
import os
import re
import subprocess
from pathlib import Path

from pullbench.engines.base import PullRequest, TrialSetup
from pullbench.engines.command.containers_image import write_secret
from pullbench.engines.command.engine import SETUP_S, Brought, CommandEngine, CommandFailed
from pullbench.engines.command.process import GRACE_S, Command, environment, find_program, last_words
from pullbench.errors import ErrorCode, UsageError
from pullbench.model.image_config import platform_of
from pullbench.model.route import Route

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
_LONGEST_SOCKET = 107 - len(".ttrpc")  # unix(7), sun_path; containerd makes a second one with that ending
_LONGEST_LINE = 4000  # the longest line that a terminal accepts: termios(3), canonical mode
_NAP_S = 0.01
_UNPACKED = re.compile(r"^done: (?:(\d+)h)?(?:(\d+)m)?(?:([\d.]+)(s|ms|µs))?\s*$", re.MULTILINE)
_SECONDS = {"s": 1.0, "ms": 1e-3, "µs": 1e-6, None: 0.0}


class ContainerdEngine(CommandEngine):
    """Pulls with containerd's client ctr, which downloads; the daemon stores and unpacks."""

    kind = "containerd"
    program = "ctr"
    package = "containerd"
    reads_config_again = False
    _daemon: subprocess.Popen[bytes] | None = None
    _snapshotter = ""
    _options: tuple[str, ...] = ()

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
        try:
            self._start(folder)
        finally:
            self._close()
        version = re.search(r"\bv?(\d+\.\d[^\s]*)", output)
        return f"{version[1] if version else output.strip()} ({self._snapshotter})"

    def _open(self, folder: Path, setup: TrialSetup) -> None:
        for route in {request.route.host: request.route for request in setup.requests}.values():
            self._check_secret(route)
            hosts = folder / "hosts" / route.host
            hosts.mkdir(parents=True, exist_ok=True)
            write_secret(hosts / "hosts.toml", _hosts_toml(route))
        self._start(folder)

    def _start(self, folder: Path) -> None:
        """Start containerd, wait until it answers, and find a snapshotter that works."""
        address = folder / "s"
        if len(str(address)) > _LONGEST_SOCKET:
            raise CommandFailed(
                ErrorCode.ENGINE_UNAVAILABLE, f"the path {folder} is too long for a socket: set TMPDIR to a shorter one"
            )
        texts = {"root": folder / "root", "state": folder / "state", "address": address}
        config = folder / "config.toml"
        config.write_text(_CONFIG.format(**{key: json.dumps(str(value)) for key, value in texts.items()}))
        with (folder / "log").open("wb") as log:
            self._daemon = subprocess.Popen(
                ("containerd", f"--config={config}"),
                env=environment(folder),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._wait_until_it_answers(folder)
        plugins = self._output(self._ctr(folder, "plugins", "ls"))
        overlay = re.search(r"^\S+snapshotter\.v1\s+overlayfs\s.*\bok\s*$", plugins, re.MULTILINE)
        self._snapshotter = "overlayfs" if overlay else "native"
        help_text = self._output(self._ctr(folder, "images", "pull", "--help"))
        # By default newer versions let the daemon download, which ignores this client's proxy.
        self._options = ("--local",) if re.search(r"--local\b", help_text) else ()

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
        return self._ctr(
            folder,
            f"--namespace={store.name}",
            "images",
            "pull",
            *self._options,
            f"--hosts-dir={folder / 'hosts'}",
            f"--platform={request.platform}",
            f"--snapshotter={self._snapshotter}",
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
        if known.identity_token is not None or ":" in known.username:
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
        blobs = store.parent / "root" / "io.containerd.content.v1.content" / "blobs"
        paths = {blob.digest: blobs / blob.digest.replace(":", "/") for blob in promised.blobs if blob.digest in held}
        try:
            config = json.loads(paths[promised.config.digest].read_bytes())
            platform = platform_of(config)
            sizes = {
                layer.digest: paths[layer.digest].stat().st_size for layer in promised.layers if layer.digest in held
            }
        except KeyError:
            raise CommandFailed(
                ErrorCode.DIGEST_MISMATCH, f"ctr pulled no image with the config {promised.config.digest}"
            ) from None
        except (OSError, ValueError) as error:
            raise CommandFailed(ErrorCode.UNKNOWN, f"cannot read containerd's content: {error}") from None
        return Brought(image_id=promised.config.digest, platform=platform, layers=sizes)

    def _extract_s(self, stdout: str) -> float | None:
        """ctr unpacks after the download, and prints the time as a Go duration."""
        found = _UNPACKED.search(stdout.replace("\r", "\n").replace("\t", ""))
        if found is None:
            return None
        hours, minutes, number, unit = found.groups()
        return int(hours or 0) * 3600 + int(minutes or 0) * 60 + float(number or 0) * _SECONDS[unit]


def _name(request: PullRequest) -> str:
    return f"{request.route.host}/{request.route.repository(request.reference)}@{request.reference.digest}"


def _hosts_toml(route: Route) -> str:
    """Only the server is used; containerd 1.6 requires a host entry too, so that one is for pushing."""
    server = json.dumps(route.url)
    lines = [f"server = {server}", 'capabilities = ["pull", "resolve"]']
    if route.ca_file is not None:
        lines.append(f"ca = {json.dumps(str(Path(route.ca_file).resolve()))}")
    if route.headers:
        lines += ["[header]", *(f"{json.dumps(name)} = {json.dumps(value)}" for name, value in route.headers.items())]
    return "\n".join([*lines, f"[host.{server}]", 'capabilities = ["push"]', ""])
