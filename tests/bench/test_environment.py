"""The environment that is stored with a run."""

import json

from pullbench.bench.environment import client_ceiling, fingerprint, usable_cores
from pullbench.model.facts import EngineFacts


def test_the_fingerprint_names_what_a_comparison_must_know() -> None:
    document = json.loads(fingerprint([EngineFacts(name="wire", kind="wire", version="libcurl/8")], 1e9))
    assert document["engines"] == {"wire": "libcurl/8"}
    assert document["cores"] == usable_cores() >= 1
    assert document["memory_bytes"] > 0
    for key in ("pullbench", "python", "kernel", "cpu", "congestion_control", "nics", "hostname"):
        assert key in document
    assert document["packages"]["pycurl"]


def test_the_client_ceiling_is_a_rate_over_all_its_bytes() -> None:
    assert client_ceiling(size_bytes=4 << 20, streams=2) > 1e6
