"""A docker engine on a real daemon, beside a real registry."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import docker

from benchmarks.debian_images import BuiltIndex, DebianImage
from pullbench.daemon.docker import DockerDaemon
from pullbench.daemon.image_store import image_store
from pullbench.engines.base import PullOutcome, PullRequest, SystemClock, TrialSetup
from pullbench.engines.docker.engine import DockerEngine
from pullbench.model.platform import Platform
from pullbench.model.spec import EngineEntry
from pullbench.registry.keychain import Keychain
from tests.integration import asked
from tests.integration.asked import ENVIRON, manifest_of
from tests.integration.conftest import PushImage
from tests.integration.real_registry import RealRegistry

HOST = str(Platform.of_machine(os.uname().machine))


class DockerBench:
    """An engine on the real daemon, and what trials on it told and brought."""

    def __init__(self, host: str, registry: RealRegistry, push_image: PushImage) -> None:
        keychain = Keychain(environ=ENVIRON)
        self.engine = DockerEngine(
            EngineEntry(name="docker", kind="docker", host=host), keychain=keychain, clock=SystemClock()
        )
        self.daemon = DockerDaemon(host)
        self.api = docker.APIClient(base_url=host)
        self.registry = registry
        self._push = push_image
        self.told: list[str] = []

    def push(self, repository: str, image: DebianImage | BuiltIndex, registry: RealRegistry | None = None) -> str:
        return self._push(registry or self.registry, repository, "1.0", image)

    def name(self, repository: str, tag: str = "1.0") -> str:
        return f"{self.registry.host}/{repository}:{tag}"

    def trial(self, *requests: PullRequest, cache: str = "cold", reset: str = "own") -> list[PullOutcome]:
        self.open(requests, cache, reset)
        with ThreadPoolExecutor(len(requests)) as pool:
            outcomes = list(pool.map(self.engine.pull, requests))
        self.engine.close_trial()
        return outcomes

    def open(self, requests: Sequence[PullRequest], cache: str = "cold", reset: str = "own") -> None:
        self.engine.open_trial(
            TrialSetup(
                trial=0,
                concurrency=len(requests),
                cache=cache,  # type: ignore[arg-type]
                cache_reset=reset,
                requests=tuple(requests),
                before_pulls=self.told.extend,
                brought=frozenset(self.told),
            )
        )

    def clean(self) -> None:
        image_store(self.daemon).remove_brought([name for name in self.told if name.startswith("sha256:")], self.told)

    def close(self) -> None:
        self.clean()
        self.engine.close()
        self.daemon.close()
        self.api.close()


def image_id(image: DebianImage) -> str:
    return manifest_of(image).config.digest


def request(
    bench: DockerBench,
    repository: str,
    image: DebianImage | BuiltIndex,
    *,
    url: str | None = None,
    platform: str = HOST,
    **options: Any,
) -> PullRequest:
    """From the bench's registry, for this machine, unless told otherwise."""
    return asked.request(repository, image, url or bench.registry.url, platform=platform, **options)
