"""The environment that is stored with a run."""

import json

from pullbench.bench.environment import fingerprint
from pullbench.engines.base import usable_cores
from pullbench.model.facts import EngineFacts


def test_the_fingerprint_names_what_a_comparison_must_know() -> None:
    engines = [EngineFacts(name="wire", kind="wire", version="libcurl/8")]
    document = json.loads(fingerprint(engines, {"discard": 1e9, "disk": 4e8}))
    assert document["engines"] == {"wire": "libcurl/8"}
    assert document["cores"] == usable_cores() >= 1
    assert document["memory_bytes"] > 0
    for key in ("pullbench", "python", "kernel", "cpu", "congestion_control", "nics", "hostname"):
        assert key in document
    assert document["packages"]["pycurl"]
    assert document["client_ceiling_bytes_per_s"] == 4e8, "the client is as fast as its slowest sink"
    assert document["client_ceiling_by_sink_bytes_per_s"] == {"discard": 1e9, "disk": 4e8}
    assert json.loads(fingerprint(engines, {}))["client_ceiling_bytes_per_s"] is None


def test_the_fingerprint_names_the_image_stores_of_daemons_and_their_download_limits() -> None:
    engines = [
        EngineFacts(name="wire", kind="wire"),
        EngineFacts(name="a", kind="docker", image_store="overlay2", max_concurrent_downloads=3),
        EngineFacts(name="b", kind="docker", image_store="containerd (overlayfs)"),
    ]
    document = json.loads(fingerprint(engines, {}))
    assert document["image_stores"] == {"a": "overlay2", "b": "containerd (overlayfs)"}
    assert document["max_concurrent_downloads"] == {"a": 3, "b": None}
