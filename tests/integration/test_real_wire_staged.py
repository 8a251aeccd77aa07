"""A staged pull by the whole flow: base images are checked, planned, counted and pinned like any other."""

import json
from collections.abc import Callable
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from benchmarks.debian_images import small_image
from pullbench.model.platform import Platform
from tests.integration.conftest import PushImage
from tests.integration.real_registry import RealRegistry
from tests.integration.shell import Shell

pytestmark = [pytest.mark.integration, pytest.mark.real]

AMD64 = Platform.parse("linux/amd64")


def staged_spec(registry: RealRegistry, repository: str, base: str) -> dict[str, Any]:
    return {
        "name": "staged",
        "registries": [{"name": "local", "url": registry.url, "credentials": "anonymous"}],
        "engines": [{"name": "staged", "kind": "wire", "strategy": "base-first", "base_images": [f"{base}:1.0"]}],
        "images": [f"{repository}:1.0"],
        "matrix": {"engines": ["wire", "staged"], "platforms": ["linux/amd64"]},
        "repetitions": 2,
        "warmup": 0,
    }


def test_what_is_planned_of_a_staged_pull_is_what_comes_and_a_missing_base_fails_preflight(
    shell: Shell, plain_registry: RealRegistry, push_image: PushImage, fresh: Callable[[], str]
) -> None:
    repository, base, word = fresh(), fresh(), fresh()
    push_image(plain_registry, repository, "1.0", small_image(AMD64, word, fresh()))
    (shell.folder / "spec.yaml").write_text(yaml.safe_dump(staged_spec(plain_registry, repository, base)))
    refused = shell.run("preflight", "spec.yaml", "--json")
    failed = [finding for finding in refused.document["findings"] if finding["status"] == "fail"]
    assert refused.code == 1, refused.err
    assert failed[0]["check"] == "image" and base in failed[0]["target"] + failed[0]["observed"]

    digest = push_image(plain_registry, base, "1.0", small_image(AMD64, word))
    planned = shell.run("plan", "spec.yaml", "--json").document
    done = shell.run("run", "spec.yaml", "--json", "--no-report")
    assert done.code in (0, 1), done.err
    pulls = pq.read_table(str(shell.folder / "results" / "pulls")).to_pylist()
    assert all(pull["ok"] for pull in pulls) and len(pulls) == 4
    assert sum(pull["bytes"] for pull in pulls) == planned["bytes"]
    manifests = [
        row
        for row in pq.read_table(str(shell.folder / "results" / "transfers")).to_pylist()
        if row["kind"] == "manifest"
    ]
    assert len(manifests) == planned["manifest_requests"] == 2 * 1 + 2 * 2
    assert sum(row["digest"] == digest for row in manifests) == 2, json.dumps([row["digest"] for row in manifests])
