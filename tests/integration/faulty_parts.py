"""Situations in which pulls fail, made of real registries, certificates, sockets and a server that spoils what it passes on."""

import contextlib
import gzip
import hashlib
import io
import ipaddress
import json
import os
import socket
import tarfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
from cryptography import x509

from benchmarks.debian_images import BuiltIndex, DebianBlob, DebianImage, DebianImages, push
from pullbench.errors import ErrorCode
from pullbench.model.manifest import OCI_CONFIG, OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST
from pullbench.model.platform import Platform
from tests.integration import schema_1
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
    digest: str | None = None
    """The digest that is requested, if it is not that of the image's manifest."""
    timeout_s: float = 60.0
    free_bytes: int | None = None
    """How large the disk is that the client writes to, where it is to be a small one."""


_EMPTY = hashlib.sha256(b"").hexdigest()
_PAGE = "<html><head><title>Sign in</title></head><body>Welcome to this network</body></html>"
_UNSAFE = "current image with 1 vulnerability cannot be pulled due to configured policy in 'Prevent vulnerable images from running'"
E = ErrorCode  # of one letter, for the table
AT_A_PART: dict[str, tuple[Fault, tuple[ErrorCode, ...]]] = {
    "400": (refusal(400, "UNSUPPORTED", "bad"), (E.SERVER_ERROR,)),
    "400_text": (Answer(status=400, body="Bad Request"), (E.SERVER_ERROR,)),
    "401": (refusal(401, "UNAUTHORIZED", "authentication required"), (E.UNAUTHORIZED,)),
    "402": (refusal(402, "DENIED", "payment required"), (E.FORBIDDEN,)),
    "403": (refusal(403, "DENIED", "denied"), (E.FORBIDDEN,)),
    "403_text": (Answer(status=403, body="<html>Forbidden</html>"), (E.FORBIDDEN,)),
    # A registry's free words, of which docker on containerd's store prints nothing else.
    "403_words": (refusal(403, "DENIED", "the scan found something"), (E.FORBIDDEN, E.SERVER_ERROR)),
    "404": (refusal(404, "NAME_UNKNOWN", "repository name not known to registry"), (E.NOT_FOUND,)),
    "404_text": (Answer(status=404, body="404 page not found"), (E.NOT_FOUND,)),
    "405": (Answer(status=405, body="<html>Not Allowed</html>"), (E.SERVER_ERROR,)),
    "409": (refusal(409, "UNKNOWN", "try later"), (E.SERVER_ERROR,)),
    "412": (refusal(412, "PROJECTPOLICYVIOLATION", _UNSAFE), (E.FORBIDDEN,)),
    "423": (refusal(423, "DENIED", "locked"), (E.FORBIDDEN, E.SERVER_ERROR)),
    "429": (refusal(429, "TOOMANYREQUESTS", "slow down"), (E.RATE_LIMITED,)),
    "429_text": (
        Answer(status=429, body="Too Many Requests", headers=(("Retry-After", "0"),)),
        (E.RATE_LIMITED,),
    ),
    "451": (Answer(status=451, body="<html>Unavailable For Legal Reasons</html>"), (E.FORBIDDEN,)),
    "500": (refusal(500, "UNKNOWN", "unknown error"), (E.SERVER_ERROR,)),
    "500_text": (Answer(status=500, body="oops"), (E.SERVER_ERROR,)),
    "502": (Answer(status=502, body="<html>Bad Gateway</html>"), (E.SERVER_ERROR,)),
    "503": (refusal(503, "UNAVAILABLE", "unavailable"), (E.SERVER_ERROR,)),
    "504": (Answer(status=504, body="<html>Gateway Time-out</html>"), (E.SERVER_ERROR,)),
    # What came is another content, or less of it: each client looks at something else first.
    "page": (Answer(status=200, body=_PAGE), (E.NOT_A_REGISTRY, E.DIGEST_MISMATCH, E.TRUNCATED)),
    "nothing": (Answer(status=200), (E.TRUNCATED, E.DIGEST_MISMATCH, E.NOT_A_REGISTRY)),
    "corrupt": ("corrupt", (E.DIGEST_MISMATCH, E.NOT_A_REGISTRY)),
    "truncate": ("truncate", (E.TRUNCATED,)),
    "reset": ("reset", (E.RESET,)),
    # containerd 2 asks for a manifest as a blob after that, and says what became of the blob.
    "close": ("close", (E.RESET, E.NOT_FOUND)),
    "cut": ("cut", (E.RESET, E.NOT_FOUND)),
    "dead": (
        Answer(status=307, headers=(("Location", "http://127.0.0.1:1/gone"),)),
        (E.CONNECT_REFUSED, E.NOT_FOUND),
    ),
}
"""What goes wrong with one part of an image, and its codes: the first is what went wrong, the others are what is left of it where
a client says less. `manifest_429` is a situation, and so is `layer_429`."""


def image_of(size_bytes: int, layers: int = 1) -> DebianImage:
    """An image of one layer with random content of that size, such as every client can unpack; or of that layer several times."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        entry = tarfile.TarInfo("content")
        entry.size = size_bytes
        tar.addfile(entry, io.BytesIO(os.urandom(size_bytes)))
    rootfs = {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(packed.getvalue()).hexdigest()}"] * layers}
    config = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs}
    blobs = (
        DebianBlob.of(OCI_CONFIG, json.dumps(config).encode()),
        DebianBlob.of(OCI_LAYER_GZIP, gzip.compress(packed.getvalue(), compresslevel=0)),
    )
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": blobs[0].descriptor(),
        "layers": [blobs[1].descriptor()] * layers,
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
            if part in ("manifest", "layer") and fault in AT_A_PART:
                self._made[situation] = self._at(part, AT_A_PART[fault][0])
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

    def stalled(self) -> Ask:
        return self._at("layer", "stall", engine={"stall_timeout_s": 0.5})

    def _at(self, part: str, fault: Fault, **more: Any) -> Ask:
        """An image that no store has yet, of which every request for one part goes wrong."""
        image = image_of(900_000)
        self._push(self.plain, "app", "1.0", image)
        of = {"manifest": "/manifests/", "layer": image.blobs[1].digest}[part]
        return self._fronted(lambda path: fault if of in path else None, image, **more)

    def _fronted(self, wrong: Callable[[str], Fault | None], image: DebianImage, **more: Any) -> Ask:
        front = self._stack.enter_context(Front(self.plain.url, lambda _method, path: wrong(path)))
        return Ask(url=front.url, image=image, **more)

    def schema_1(self) -> Ask:
        body, digest = schema_1.signed(self.image.blobs[1].digest)
        return self._odd(body, schema_1.MEDIA_TYPE, digest)

    def cut_manifest(self) -> Ask:
        """Its digest and its length are right, and it ends in the middle."""
        return self._odd(self.image.manifest.content[:200].decode())

    def zero_byte_layer(self) -> Ask:
        return self._odd(self._with_layers(lambda layer: [{**layer, "digest": f"sha256:{_EMPTY}", "size": 0}]))

    def larger_layer(self) -> Ask:
        """The manifest says more bytes than there are."""
        return self._odd(self._with_layers(lambda layer: [{**layer, "size": layer["size"] + 1000}]))

    def smaller_layer(self) -> Ask:
        return self._odd(self._with_layers(lambda layer: [{**layer, "size": layer["size"] - 1000}]))

    def more_layers_than_the_config(self) -> Ask:
        return self._odd(self._with_layers(lambda layer: [layer, layer]))

    def too_deep(self) -> Ask:
        """More layers than overlay2 stacks."""
        image = image_of(1000, layers=130)
        self._push(self.plain, "deep", "1.0", image)
        return Ask(url=self.plain.url, repository="deep", image=image, timeout_s=300.0)  # overlay2 takes its time

    def large_manifest(self) -> Ask:
        document = self._with_layers(lambda layer: [layer])
        return self._odd(document | {"annotations": {"org.example.note": "x" * 5_000_000}})

    def helm_chart(self) -> Ask:
        document = self._with_layers(
            lambda layer: [{**layer, "mediaType": "application/vnd.cncf.helm.chart.content.v1.tar+gzip"}]
        )
        config = document["config"] | {"mediaType": "application/vnd.cncf.helm.config.v1+json"}
        return self._odd(document | {"config": config})

    def nested_index(self) -> Ask:
        return replace(self._odd(self._index(self.index.index.descriptor()), OCI_INDEX), repository="index")

    def empty_index(self) -> Ask:
        return self._odd(self._index(), OCI_INDEX)

    def _index(self, *entries: dict[str, Any]) -> dict[str, Any]:
        platform = {"platform": {"architecture": "amd64", "os": "linux"}}
        return {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry | platform for entry in entries]}

    def _with_layers(self, change: Callable[[dict[str, Any]], list[dict[str, Any]]]) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.image.manifest.content)
        return document | {"layers": change(document["layers"][0])}

    def _odd(self, document: dict[str, Any] | str, media_type: str = OCI_MANIFEST, digest: str | None = None) -> Ask:
        """An image with this manifest, which a registry may refuse to take."""
        body = document if isinstance(document, str) else json.dumps(document)
        digest = digest or f"sha256:{hashlib.sha256(body.encode()).hexdigest()}"
        headers = (("Content-Type", media_type), ("Docker-Content-Digest", digest))
        answers = {digest: Answer(status=200, body=body, headers=headers), f"sha256:{_EMPTY}": Answer(status=200)}

        def wrong(path: str) -> Fault | None:
            return answers.get(path.rpartition("/")[2])

        return replace(self._fronted(wrong, self.image), digest=digest)

    def full_disk(self) -> Ask:
        image = image_of(40_000_000)
        self._push(self.plain, "large", "1.0", image)
        return Ask(url=self.plain.url, repository="large", image=image, engine={"sink": "disk"}, free_bytes=16_000_000)


def _elsewhere(url: str) -> str:
    """The same by another address, which is none of 127.0.0.0/8."""
    return url.replace("127.0.0.1", "0.0.0.0")
