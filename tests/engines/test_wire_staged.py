"""Staged pulls: the base images first and whole, then what the image has more, all of it inside the clock."""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from pullbench.engines.base import BaseImage, PullOutcome
from pullbench.errors import ErrorCode
from pullbench.model.reference import Reference
from tests.engines.scripted_server import Image, Incoming, answer, digest_of
from tests.engines.wire_bench import Bench, bench, setup

BASE = Image(layers=(os.urandom(3000), os.urandom(4000)), config=b'{"base":true}', repository="library/base")
OWN = (os.urandom(500), os.urandom(600))


def base_of(image: Image) -> BaseImage:
    reference = Reference.parse("library/base:1").pinned(digest_of(image.index))
    return BaseImage(reference=reference, expected=image.expected)


@contextmanager
def staged_bench(base: Image = BASE, image: Image | None = None, **options: Any) -> Iterator[Bench]:
    """An image of the base's layers and two of its own, pulled after the base."""
    engine = {"strategy": "base-first", "base_images": ["library/base:1"], **options.pop("engine", {})}
    image = image or Image(layers=(*BASE.layers, *OWN))
    with bench(image=image, engine=engine, opened=False, bases=(base_of(base),), **options) as b:
        base.serve(b.server)
        yield b


def pulled(b: Bench, **changes: Any) -> PullOutcome:
    b.engine.open_trial(setup(b.request))
    b.server.seen.clear()
    return b.engine.pull(replace(b.request, **changes))


def test_the_base_comes_whole_before_anything_of_the_image() -> None:
    with staged_bench() as b:
        outcome = pulled(b)
        assert outcome.ok, outcome.error
        paths = b.server.paths()
        of_the_base = [BASE.manifest_path(BASE.index), BASE.manifest_path(BASE.manifest)]
        assert paths[:2] == of_the_base
        assert set(paths[2:5]) == {BASE.blob_path(blob) for blob in (BASE.config, *BASE.layers)}
        assert paths[5:7] == [b.image.manifest_path(b.image.index), b.image.manifest_path(b.image.manifest)]
        assert set(paths[7:]) == {b.image.blob_path(blob) for blob in (b.image.config, *OWN)}


@pytest.mark.promise("whatever the fault", "No byte is counted twice")
def test_a_layer_of_both_is_fetched_once_and_every_byte_counts() -> None:
    with staged_bench() as b:
        outcome = pulled(b)
        digests = [row.digest for row in outcome.transfers if row.kind == "layer"]
        assert sorted(map(str, digests)) == sorted(digest_of(layer) for layer in (*BASE.layers, *OWN))
        assert outcome.layers == 4
        assert outcome.bytes == b.image.expected.manifest.size_bytes + len(BASE.config)


def test_the_phases_of_both_stages_are_summed_and_never_exceed_the_pull() -> None:
    with staged_bench(engine={"layer_concurrency": 1}) as b:
        b.engine.open_trial(setup(b.request))
        started = b.engine._clock.monotonic()
        outcome = b.pull()
        duration_s = b.engine._clock.monotonic() - started
        manifests = [row.total_s or 0 for row in outcome.transfers if row.kind == "manifest"]
        assert len(manifests) == 4
        assert sum(manifests) <= (outcome.resolve_s or 0) <= duration_s
        assert (outcome.auth_s or 0) + (outcome.resolve_s or 0) + (outcome.download_s or 0) <= duration_s


def test_a_base_is_asked_for_by_its_digest_and_by_nothing_before_the_clock() -> None:
    with staged_bench() as b:
        b.engine.open_trial(setup(b.request))
        assert b.server.seen == []
        assert b.pull().ok
        assert "/v2/library/base/manifests/1" not in b.server.paths()


def test_a_base_that_is_gone_fails_the_pull_with_its_code() -> None:
    with staged_bench() as b:
        b.server.on(BASE.manifest_path(BASE.index), answer(404))
        outcome = pulled(b)
        assert outcome.error_code is ErrorCode.NOT_FOUND and "library/base" in (outcome.error or "")


def test_a_base_without_the_platform_is_platform_missing() -> None:
    other = Image(layers=BASE.layers, config=BASE.config, repository="library/base")
    document = json.loads(other.index)
    document["manifests"][0]["platform"]["architecture"] = "s390x"
    other.index = json.dumps(document).encode()
    with staged_bench(other) as b:
        outcome = pulled(b)
        assert outcome.error_code is ErrorCode.PLATFORM_MISSING and "library/base" in (outcome.error or "")


def test_a_base_that_breaks_ends_the_pull_before_the_image_is_asked_for() -> None:
    with staged_bench() as b:
        b.server.on(BASE.blob_path(BASE.layers[0]), answer(404))
        outcome = pulled(b)
        assert outcome.error_code is ErrorCode.NOT_FOUND and outcome.layers is None
        assert b.image.manifest_path(b.image.index) not in b.server.paths()


def test_a_cancel_between_the_stages_is_no_success() -> None:
    with staged_bench() as b:
        last = threading.Event()

        def end(incoming: Incoming) -> None:
            last.set()
            b.engine.cancel()
            incoming.send(200, BASE.layers[1])

        b.server.on(BASE.blob_path(BASE.layers[1]), end)
        outcome = pulled(b)
        assert last.is_set()
        assert not outcome.ok and outcome.error_code is ErrorCode.CANCELLED


@pytest.mark.parametrize("auth", ["persisted", "per-pull"])
def test_a_mirror_is_asked_for_the_base_too(auth: str) -> None:
    with staged_bench(route={"proxy": "cache", "prefix": "hub", "headers": {"X-Dragonfly-Registry": "eu"}}) as b:
        for path, handlers in list(b.server._handlers.items()):
            b.server.on(path.replace("/v2/", "/v2/hub/"), handlers[0])
            del b.server._handlers[path]
        outcome = pulled(b, auth=auth)
        assert outcome.ok, outcome.error
        assert {incoming.headers.get("x-dragonfly-registry") for incoming in b.server.seen} == {"eu"}


def test_parts_and_stages_go_together() -> None:
    large = Image(layers=(os.urandom(200_000),), config=b'{"base":1}', repository="library/base")
    image = Image(layers=(*large.layers, OWN[0]))
    with staged_bench(large, image, engine={"chunk_bytes": 65_536}) as b:
        outcome = pulled(b)
        assert outcome.ok, outcome.error
        assert outcome.bytes == b.image.expected.manifest.size_bytes + len(large.config)
