"""A wire engine with a server to pull from, for the tests of the wire engine."""

import hashlib
import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pullbench.engines.base import PullOutcome, PullRequest, SystemClock, TrialSetup
from pullbench.engines.wire.engine import WireEngine
from pullbench.model.record import Transfer
from pullbench.model.reference import Reference
from pullbench.model.route import Route
from pullbench.model.spec import EngineEntry
from pullbench.registry.keychain import Keychain
from tests.engines.scripted_server import Image, Incoming, ScriptedServer, digest_of

CLOCK = SystemClock()
_LAYERS = tuple(os.urandom(size) for size in (40_000, 200_000, 300))


@dataclass
class Bench:
    """One engine in one open trial, one server, one image."""

    server: ScriptedServer
    image: Image
    engine: WireEngine
    request: PullRequest

    def pull(self) -> PullOutcome:
        return self.engine.pull(self.request)


@contextmanager
def bench(
    *,
    image: Image | None = None,
    engine: dict[str, Any] | None = None,
    route: dict[str, Any] | None = None,
    concurrency: int = 1,
    environ: dict[str, str] | None = None,
    opened: bool = True,
    context: ssl.SSLContext | None = None,
    **options: Any,
) -> Iterator[Bench]:
    """A bench on loopback; `options` are the PullRequest's."""
    image = image or Image(layers=_LAYERS)
    server = ScriptedServer(context)
    image.serve(server)
    try:
        request = pull_request(server, image, route or {}, options)
        wire = WireEngine(
            EngineEntry.model_validate({"name": "wire", "kind": "wire", **(engine or {})}),
            keychain=Keychain(environ=environ or {}),
            clock=CLOCK,
        )
        try:
            if opened:
                wire.open_trial(setup(request, concurrency))
            yield Bench(server, image, wire, request)
        finally:
            server.stopping.set()
            wire.close()
    finally:
        server.close()


def setup(request: PullRequest, concurrency: int = 1) -> TrialSetup:
    return TrialSetup(
        trial=0,
        concurrency=concurrency,
        cache="cold",
        cache_reset="own",
        requests=(request,) * concurrency,
        before_pulls=lambda names: None,
    )


def pull_request(server: ScriptedServer, image: Image, route: dict[str, Any], options: dict[str, Any]) -> PullRequest:
    given: dict[str, Any] = {
        "pull": 3,
        "image": f"{image.repository}:1",
        "reference": Reference.parse(f"{image.repository}:1").pinned(digest_of(image.index)),
        "is_index": True,
        "expected": image.expected,
        "platform": "linux/amd64",
        "auth": "persisted",
        "timeout_s": 30.0,
        "retries": 0,
    }
    return PullRequest(route=Route(**{"registry": "eu", "url": server.url, **route}), **{**given, **options})


def row_of(outcome: PullOutcome, content: bytes, attempt: int = 1) -> Transfer:
    """The one row of a content's attempt."""
    (row,) = [t for t in outcome.transfers if t.digest == digest_of(content) and t.attempt == attempt]
    return row


def pull_generated(megabytes: int) -> None:
    """Pull one layer that is never in memory as a whole, neither here nor at the server."""
    block = bytes(range(256)) * 4096
    digest = hashlib.sha256()
    for _ in range(megabytes):
        digest.update(block)
    image = Image(layers=(b"stand-in",))
    stand_in = digest_of(b"stand-in")
    size = f'"size": {len(block) * megabytes}'
    image.manifest = image.manifest.replace(stand_in.encode(), b"sha256:" + digest.hexdigest().encode())
    image.manifest = image.manifest.replace(b'"size": 8', size.encode())
    pinned = Reference.parse("team/app").pinned(digest_of(image.manifest))
    with bench(image=image, reference=pinned, is_index=False) as b:

        def generate(incoming: Incoming) -> None:
            incoming.send(200, length=len(block) * megabytes)
            for _ in range(megabytes):
                incoming.connection.sendall(block)

        b.server.on(f"/v2/team/app/blobs/sha256:{digest.hexdigest()}", generate)
        outcome = b.pull()
        assert outcome.ok and outcome.bytes == len(block) * megabytes + len(image.config), outcome.error
