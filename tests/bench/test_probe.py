"""Probes: who serves a route, asked so that nothing of a mirror changes."""

from pathlib import Path

import pytest

from pullbench.bench.facts import gather_facts
from pullbench.bench.proxy_cache import Probe, served_by_text
from pullbench.bench.trial import pull_requests
from pullbench.engines.base import PullRequest, SystemClock
from pullbench.lab.registry import Registry
from pullbench.model.cache_evidence import Sighting, cache_word
from pullbench.model.plan import plan, routes
from pullbench.model.route import Route
from pullbench.registry.keychain import Keychain
from tests.bench.test_proxy_cache import make_spec, run

pytestmark = pytest.mark.usefixtures("no_waiting")


def asked(origin: Registry, mirror: Registry) -> tuple[PullRequest, ...]:
    spec = make_spec(origin, mirror, "any")
    facts = gather_facts(spec, {}, keychain=Keychain(environ={}), brought=lambda _: frozenset())
    return pull_requests(plan(spec, facts).trials[0], spec, facts, routes(spec)["up", "cache"])


@pytest.fixture
def probe() -> Probe:
    return Probe(Keychain(environ={}), SystemClock())


def test_before_a_trial_no_content_is_asked_for(origin: Registry, mirror: Registry, probe: Probe) -> None:
    (seen,) = probe.endpoint(Route(registry="up", proxy="cache", url=mirror.url))
    assert seen.served_by == mirror.url.removeprefix("http://")
    assert mirror.counters.as_dict()["requests"] == {"ping": 1}
    assert origin.counters.as_dict()["requests"] == {}


def test_layers_are_asked_for_by_head_and_stay_where_they_are(
    origin: Registry, mirror: Registry, probe: Probe, tmp_path: Path
) -> None:
    requests = asked(origin, mirror)
    layers = {layer.digest for request in requests for layer in request.expected.manifest.layers}
    seen = probe.layers(requests[0].route, requests)
    assert [cache_word(each.served_by) for each in seen] == ["miss"] * len(layers)
    assert "blob_get" not in origin.counters.as_dict()["requests"]
    run(make_spec(origin, mirror, "any"), tmp_path)
    seen = probe.layers(requests[0].route, requests)
    assert {cache_word(each.served_by) for each in seen} == {"hit"}


def test_a_probe_that_fails_says_nothing(probe: Probe) -> None:
    nobody = Route(registry="up", url="http://127.0.0.1:1")
    assert probe.endpoint(nobody) == ()
    unread = Route(registry="up", url="http://127.0.0.1:1", credentials="env:NOT_SET")
    assert probe.endpoint(unread) == ()


def test_what_a_probe_saw_is_marked_as_such() -> None:
    one, other = Sighting(served_by="a", at_s=0.0), Sighting(served_by="b x-cache=HIT", at_s=1.0)
    assert served_by_text([one], [other, one]) == "probe before: a; after: b x-cache=HIT"
    assert served_by_text([], [other]) == "probe after: b x-cache=HIT"
    assert served_by_text([], []) is None
