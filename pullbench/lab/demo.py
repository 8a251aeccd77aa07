"""The spec of the demo: sized so that concurrency, region, platform and mirror show, on two cores and in a minute."""

from collections.abc import Mapping, Sequence
from typing import Any


def demo_spec(
    registries: Mapping[str, str], cache: str, images: Sequence[str], platforms: Sequence[str], *, quick: bool
) -> dict[str, Any]:
    """A mapping that read_spec takes. Its trials take about 40 s; `quick`: about 8 s, with fewer cells and blocks."""
    regions = {"eu": "eu-west", "us": "us-east"}
    return {
        "name": "demo",
        "labels": {"lab": "quick" if quick else "full"},
        "registries": [
            {"name": name, "url": url, "region": regions[name], "credentials": "anonymous"}
            for name, url in registries.items()
        ],
        "proxies": [{"name": "cache", "kind": "mirror", "upstream": "us", "url": cache, "credentials": "anonymous"}],
        "images": list(images),
        "matrix": {
            "engines": ["wire"],
            "registries": list(registries),
            "proxies": ["direct", "cache"],
            "platforms": list(platforms[:1] if quick else platforms),
            "concurrency": [1, 4] if quick else [1, 2, 4, 8],
        },
        "repetitions": 4,
        "warmup": 1,
        # A multiple of the highest concurrency, so that no worker idles at the end.
        "pulls_per_trial": 4 if quick else 8,
        "timeout_s": 30,
        "slo": {"success_rate": 0.999, "mean_pull_s": 3.0, "p99_api_s": 2.0, "consecutive_failures": 3},
    }
