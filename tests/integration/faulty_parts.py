"""Situations in which pulls fail, made of real registries, certificates, sockets and a server that spoils what it passes on."""

import contextlib
import gzip
import hashlib
import io
import ipaddress
import json
import os
import re
import socket
import tarfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from cryptography import x509

from benchmarks.debian_images import BuiltIndex, DebianBlob, DebianImage, DebianImages, push
from pullbench.model.manifest import OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST
from pullbench.model.platform import Platform
from tests.integration.conftest import PushImage, StartRegistry
from tests.integration.front import Answer, Fault, Front, refusal
from tests.integration.real_token_server import TokenServer
from tests.registry.sockets import authority, closed_port, listening


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What is pulled, from where; `route` has the fields of Route, `engine` the client's options."""

    url: str
    repository: str = "app"
    image: DebianImage | BuiltIndex
    platform: str = "linux/amd64"
    route: dict[str, Any] = field(default_factory=dict)
    engine: dict[str, Any] = field(default_factory=dict)
    free_bytes: int | None = None
    """How large the disk is that the client writes to, where it is to be a small one."""


_PAGE = "<html><head><title>Sign in</title></head><body>Welcome to this network</body></html>"
AT_A_PART: dict[str, Fault] = {
    "400": refusal(400, "UNSUPPORTED", "bad"),
    "400_text": Answer(status=400, body="Bad Request"),
    "401": refusal(401, "UNAUTHORIZED", "authentication required"),
    "402": refusal(402, "DENIED", "payment required"),
    "403": refusal(403, "DENIED", "denied"),
    "403_text": Answer(status=403, body="<html>Forbidden</html>"),
    "403_policy": refusal(403, "DENIED", "the scan found something"),
    "404": refusal(404, "NAME_UNKNOWN", "repository name not known to registry"),
    "404_text": Answer(status=404, body="404 page not found"),
    "405": Answer(status=405, body="<html>Not Allowed</html>"),
    "409": refusal(409, "UNKNOWN", "try later"),
    "412": refusal(412, "PROJECTPOLICYVIOLATION", "current image with 1 vulnerability cannot be pulled"),
    "423": refusal(423, "DENIED", "locked"),
    "429": refusal(429, "TOOMANYREQUESTS", "slow down"),
    "429_text": Answer(status=429, body="Too Many Requests", headers=(("Retry-After", "0"),)),
    "451": Answer(status=451, body="<html>Unavailable For Legal Reasons</html>"),
    "500": refusal(500, "UNKNOWN", "unknown error"),
    "500_text": Answer(status=500, body="oops"),
    "502": Answer(status=502, body="<html>Bad Gateway</html>"),
    "503": refusal(503, "UNAVAILABLE", "unavailable"),
    "504": Answer(status=504, body="<html>Gateway Time-out</html>"),
    "page": Answer(status=200, body=_PAGE),
    "nothing": Answer(status=200),
    "dead": Answer(status=307, headers=(("Location", "http://127.0.0.1:1/gone"),)),
    "close": "close",
    "cut": "cut",
    "truncate": "truncate",
    "reset": "reset",
    "corrupt": "corrupt",
}
"""What goes wrong with one part of an image: `manifest_429` is a situation, and so are `config_429` and `layer_429`."""


def image_of(size_bytes: int) -> DebianImage:
    """An image of one layer with random content of that size, such as every client can unpack."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        entry = tarfile.TarInfo("content")
        entry.size = size_bytes
        tar.addfile(entry, io.BytesIO(os.urandom(size_bytes)))
    rootfs = {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(packed.getvalue()).hexdigest()}"]}
    config = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs}
    blobs = (
        DebianBlob.of(OCI_CONFIG, json.dumps(config).encode()),
        DebianBlob.of(OCI_LAYER_GZIP, gzip.compress(packed.getvalue(), compresslevel=0)),
    )
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": blobs[0].descriptor(),
        "layers": [blobs[1].descriptor()],
    }
    manifest = DebianBlob.of(OCI_MANIFEST, json.dumps(document).encode())
    return DebianImage(platform=Platform.parse("linux/amd64"), manifest=manifest, blobs=blobs)


class Parts:
    """The real registries of this module and what was pushed to them; faults are made when they are asked for."""

    def __init__(self, stack: contextlib.ExitStack, folder: Path, start: StartRegistry, push_image: PushImage) -> None:
        self._stack = stack
        self._folder = folder
        self._start = start
        self._push = push_image
        self._made: dict[str, Ask] = {}
        self.image = image_of(900_000)
        self.index = DebianImages.small("provoked")
        self.plain = start()
        push_image(self.plain, "app", "1.0", self.image)
        push_image(self.plain, "index", "1.0", self.index)

    def ask(self, situation: str) -> Ask:
        """The situation that a method of this class is named after, made once."""
        if situation not in self._made:
            part, _, fault = situation.partition("_")
            places = {
                "ping": "/v2/?$",
                "manifest": "/manifests/",
                "config": self.image.blobs[0].digest,
                "layer": self.image.blobs[1].digest,
            }
            if part in places and fault in AT_A_PART:
                self._made[situation] = self._fronted(AT_A_PART[fault], places[part])
            else:
                make: Callable[[], Ask] = getattr(self, situation)
                self._made[situation] = make()
        return self._made[situation]

    def _somewhere(self, url: str, **more: Any) -> Ask:
        return Ask(url=url, image=self.image, **more)

    def refused(self) -> Ask:
        return self._somewhere(f"http://127.0.0.1:{closed_port()}")

    def unknown_image(self) -> Ask:
        return self._somewhere(self.plain.url, repository="index")

    def unknown_repository(self) -> Ask:
        return self._somewhere(self.plain.url, repository="nobody/knows")

    def missing_platform(self) -> Ask:
        return Ask(url=self.plain.url, repository="index", image=self.index, platform="linux/s390x")

    def unknown_host(self) -> Ask:
        return self._somewhere("http://nowhere.invalid:5000")  # RFC 6761, section 6.4: it never resolves

    def not_tls(self) -> Ask:
        """By an address for which Docker does not fall back to plain HTTP, as it does for 127.0.0.0/8."""
        return self._somewhere(_elsewhere(self.plain.url.replace("http:", "https:")))

    def untrusted(self) -> Ask:
        registry = self._start(tls=True)
        return self._somewhere(_elsewhere(registry.url))

    def expired(self) -> Ask:
        return self._badly_certified(starts=-5, ends=-1, host=x509.IPAddress(ipaddress.ip_address("0.0.0.0")))

    def other_host(self) -> Ask:
        return self._badly_certified(host=x509.DNSName("other.example.com"))

    def _badly_certified(self, **options: Any) -> Ask:
        folder = self._folder / f"ca-{len(self._made)}"
        folder.mkdir()
        ca = authority(folder)
        port = self._stack.enter_context(listening(lambda connection: None, ca.server(folder, **options)))
        return self._somewhere(f"https://0.0.0.0:{port}", route={"ca_file": str(ca.ca_file)})

    def no_handshake(self) -> Ask:
        """A port that takes connections and never says a word."""
        over = threading.Event()

        def hold(_: socket.socket) -> None:
            over.wait(60)

        port = self._stack.enter_context(listening(hold))
        self._stack.callback(over.set)
        return self._somewhere(f"https://0.0.0.0:{port}", engine={"connect_timeout_s": 0.5})

    def dropped(self) -> Ask:
        """A port whose queue of connections is full, so that the kernel drops every further one (listen(2))."""
        listener = self._stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            waiting = self._stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        return self._somewhere(f"https://0.0.0.0:{listener.getsockname()[1]}", engine={"connect_timeout_s": 0.5})

    def proxy_down(self) -> Ask:
        forward = {"proxy": "squid", "forward_url": f"http://127.0.0.1:{closed_port()}"}
        return self._somewhere("https://registry.example.com", route=forward)

    def no_login(self) -> Ask:
        return self._protected("anonymous")

    def wrong_login(self) -> Ask:
        return self._protected("env:BAD")

    def _protected(self, credentials: str) -> Ask:
        registry = self._start(htpasswd=True)
        self._push(registry, "app", "1.0", self.image)
        return self._somewhere(registry.url, route={"credentials": credentials})

    def no_token(self) -> Ask:
        return self._guarded("app", "env:BAD")

    def no_right(self) -> Ask:
        return self._guarded("closed/app", "env:GOOD")

    def _guarded(self, repository: str, credentials: str) -> Ask:
        folder = self._folder / f"guarded-{len(self._made)}"
        tokens = self._stack.enter_context(TokenServer(folder))
        registry = self._start(changes={"auth": tokens.settings})
        headers = {"Authorization": f"Bearer {tokens.token_to_push(repository)}"}
        with httpx.Client(base_url=registry.url, headers=headers, trust_env=False) as client:
            push(client, repository, "1.0", self.image)
        return self._somewhere(registry.url, repository=repository, route={"credentials": credentials})

    def corrupt_layer(self) -> Ask:
        return self._fronted("corrupt", self._layer)

    def truncated_layer(self) -> Ask:
        return self._fronted("truncate", self._layer)

    def reset_layer(self) -> Ask:
        return self._fronted("reset", self._layer)

    def lost_layer(self) -> Ask:
        return self._fronted("lose", self._layer)

    def overloaded(self) -> Ask:
        return self._fronted("overload", "/manifests/")

    def throttled(self) -> Ask:
        return self._fronted("throttle", "/manifests/")

    def throttled_layer(self) -> Ask:
        return self._fronted("throttle", self._layer)

    def denied(self) -> Ask:
        return self._fronted("deny", "/manifests/")

    def stalled(self) -> Ask:
        return self._fronted("stall", self._layer, engine={"stall_timeout_s": 0.5})

    @property
    def _layer(self) -> str:
        return self.image.blobs[1].digest

    def _fronted(self, fault: Fault, part: str, **more: Any) -> Ask:
        def wrong(_method: str, path: str) -> Fault | None:
            return fault if re.search(part, path) else None

        return self._somewhere(self._stack.enter_context(Front(self.plain.url, wrong)).url, **more)

    def full_disk(self) -> Ask:
        image = image_of(40_000_000)
        self._push(self.plain, "large", "1.0", image)
        return Ask(url=self.plain.url, repository="large", image=image, engine={"sink": "disk"}, free_bytes=16_000_000)


def _elsewhere(url: str) -> str:
    """The same by another address, which is none of 127.0.0.0/8."""
    return url.replace("127.0.0.1", "0.0.0.0")
