"""Asks a route who serves it, for engines that hide what they were told; never inside a measurement.

Before a trial nothing is asked that could change what it finds: some caches fetch the whole for a HEAD. So its layers are
asked for only where the mirror was warmed with them, and else the endpoint alone. After it they are asked for by HEAD.
"""

import contextlib
from collections.abc import Sequence
from functools import partial

from pullbench.engines.base import Clock, PullRequest
from pullbench.engines.wire.record import server_text
from pullbench.errors import PullbenchError
from pullbench.model.cache_evidence import Sighting
from pullbench.model.route import Route
from pullbench.registry.answer import Answer
from pullbench.registry.client import RegistryClient
from pullbench.registry.keychain import Keychain

MOST_LAYERS = 20
"""The largest ones of a trial are asked for."""
_CONNECT_S, _READ_S = 5.0, 10.0


class Probe:
    """Asks by a connection of its own; what fails is left out, for a probe is no measurement."""

    def __init__(self, keychain: Keychain, clock: Clock) -> None:
        self._keychain = keychain
        self._clock = clock

    def endpoint(self, route: Route) -> tuple[Sighting, ...]:
        """Who answers `/v2/`, which touches no content."""
        return self._ask(route, [("GET", "/v2/", None)])

    def layers(self, route: Route, requests: Sequence[PullRequest]) -> tuple[Sighting, ...]:
        """Who answers for the trial's layers, the largest first."""
        found = {
            layer.digest: (layer.size_bytes, route.repository(request.reference))
            for request in requests
            for layer in request.expected.manifest.layers
        }
        largest = sorted(found, key=lambda digest: -found[digest][0])[:MOST_LAYERS]
        asked = [("HEAD", f"/v2/{found[digest][1]}/blobs/{digest}", found[digest][1]) for digest in largest]
        return self._ask(route, asked)

    def _ask(self, route: Route, asked: Sequence[tuple[str, str, str | None]]) -> tuple[Sighting, ...]:
        seen: list[Sighting] = []
        client = partial(RegistryClient, route, self._keychain, connect_timeout_s=_CONNECT_S, read_timeout_s=_READ_S)
        # One that does not answer now will hardly answer the next; credentials that cannot be read are the pull's to tell.
        with contextlib.suppress(PullbenchError), client() as asking:
            for method, path, repository in asked:
                seen += self._see(asking.ask(method, path, repository=repository, limit_bytes=64 * 1024))
        return tuple(seen)

    def _see(self, answer: Answer) -> list[Sighting]:
        if answer.address is None:
            return []
        return [Sighting(served_by=server_text(answer.address, answer.headers), at_s=self._clock.monotonic())]


def served_by_text(before: Sequence[Sighting], after: Sequence[Sighting]) -> str | None:
    """What the column `served_by` says of a probed route, marked as such; None where nobody answered."""
    told = [f"{when} {seen[0].served_by}" for when, seen in (("before:", before), ("after:", after)) if seen]
    return f"probe {'; '.join(told)}" if told else None
