"""Images at a registry or behind a mirror of it, what preflight finds there, and their runs."""

import contextlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pullbench.app import api
from pullbench.cli.images import push_images
from pullbench.model.finding import Finding, Status

PLATFORMS = ["linux/amd64", "linux/arm64"]


def push_two(url: str, repository: str, credentials: str = "anonymous") -> dict[str, Any]:
    """What `images push` tells of two images that share layers, for PLATFORMS."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        code = push_images(
            url,
            repository=repository,
            size="4MB",
            count=2,
            layers=4,
            share=0.5,
            platform=PLATFORMS,
            credentials=credentials,
            as_json=True,
        )
    assert code == 0
    told: dict[str, Any] = json.loads(said.getvalue())
    return told


def spec_at(
    url: str, image: str | list[str], engines: list[str], *, up: Mapping[str, str] | None = None, **changes: Any
) -> dict[str, Any]:
    """A spec that pulls each image once; `up` are more keys of the registry, which wants no login else."""
    return {
        "name": "in-front",
        "registries": [{"name": "up", "url": url, "credentials": "anonymous", **(up or {})}],
        "images": [image] if isinstance(image, str) else image,
        "matrix": {"engines": engines, "platforms": ["linux/amd64"], **changes.pop("matrix", {})},
        "repetitions": 1,
        "warmup": 0,
        **changes,
    }


def spec_by(
    mirror: str,
    registry: str,
    image: str,
    engines: list[str],
    *,
    states: list[str],
    up: Mapping[str, str] | None = None,
    **entry: Any,
) -> dict[str, Any]:
    """A spec that pulls by a mirror."""
    cache = {"name": "cache", "kind": "mirror", "url": mirror, "upstream": "up", "credentials": "anonymous", **entry}
    matrix = {"proxies": ["cache"], "proxy_cache": states}
    return spec_at(registry, image, engines, up=up, proxies=[cache], matrix=matrix)


def one(findings: list[Finding], check: str) -> Finding:
    (found,) = [each for each in findings if each.check == check]
    return found


def failures(findings: list[Finding]) -> list[Finding]:
    return [each for each in findings if each.status in (Status.FAIL, Status.ERROR)]


def by_status(findings: list[Finding]) -> dict[str, set[str]]:
    """The checks that ended with each status but `skip`; one check may be in several."""
    return {
        status.value: {each.check for each in findings if each.status is status}
        for status in Status
        if status is not Status.SKIP and any(each.status is status for each in findings)
    }


def pulled(spec: dict[str, Any], folder: Path) -> api.Run:
    """The run of a spec whose pulls all succeed."""
    run = api.run(spec, results=folder / "results", skip_preflight=True)
    assert run.status == "complete"
    assert run.pulls["ok"].all(), run.pulls[["engine", "error_code", "error"]].to_dict("records")
    return run
