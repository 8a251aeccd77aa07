"""The JSON Schema that ships says what the model says."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml

from pullbench.model.spec import read_spec
from pullbench.model.spec_schema import spec_schema
from tests.model.mistakes import LEAST, MIRROR, MISTAKES

SHIPPED = Path(__file__).parents[2] / "specs" / "spec.schema.json"

EXAMPLE = """
name: concurrency-sweep
labels: {commit: 3f4ff3c}
registries:
  - {name: eu, url: https://registry.eu.example.com, region: eu-west, credentials: docker}
  - {name: us, url: https://registry.us.example.com, region: us-east, credentials: "env:US", ca_file: ca.pem}
proxies:
  - {name: cache, kind: mirror, upstream: eu, url: https://harbor.example.com, prefix: dockerhub-proxy}
  - {name: squid, kind: forward, url: http://squid:3128}
engines:
  - {name: wire-serial, kind: wire, layer_concurrency: 1, http_version: "1.1", sink: discard}
  - {name: docker-2, kind: docker, host: "unix:///run/docker-2.sock"}
images: [library/nginx:1.27, "library/python@sha256:0123456789012345678901234567890123456789012345678901234567890123"]
matrix:
  engines: [wire, wire-serial, docker, docker-2]
  registries: [eu, us]
  proxies: [direct, cache, squid]
  platforms: [linux/amd64, linux/arm64]
  concurrency: [1, 2, 4, 8]
  cache: [cold]
  proxy_cache: [any]
  auth: [persisted]
repetitions: 5
warmup: 1
pulls_per_trial: 8
load: {mode: closed}
timeout_s: 300
retries: 0
cache_reset: own
budget: {bytes: 50GB, manifest_requests: 500, minutes: 60}
seed: 1
slo: {success_rate: 0.999, mean_pull_s: 3.0, p99_api_s: 2.0, consecutive_failures: 3}
"""


def example() -> dict[str, Any]:
    data = yaml.safe_load(EXAMPLE)
    assert isinstance(data, dict)
    return data


@cache
def schema() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads(SHIPPED.read_text()))


def validate(data: object) -> None:
    schema().validate(data)


def test_the_shipped_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(schema().schema)


def test_the_shipped_schema_is_the_models() -> None:
    assert SHIPPED.read_text() == spec_schema(), "make docs writes it anew"


def test_what_the_schema_accepts_the_model_reads() -> None:
    validate(example())
    assert read_spec(example()).budget.bytes == 50_000_000_000


def test_a_spec_as_it_is_stored_is_read_and_accepted_again() -> None:
    spec = read_spec(example())
    stored = json.loads(json.dumps(spec.redacted()))
    validate(stored)
    assert read_spec(stored) == spec
    assert read_spec(stored).hash() == spec.hash()


@pytest.mark.parametrize("case", [case for case, each in MISTAKES.items() if each.schema_sees_it])
def test_an_editor_sees_what_the_command_line_refuses(case: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        validate(MISTAKES[case].spec)


@pytest.mark.parametrize("case", [case for case, each in MISTAKES.items() if not each.schema_sees_it])
def test_what_an_editor_cannot_see_is_known(case: str) -> None:
    validate(MISTAKES[case].spec)


@pytest.mark.parametrize(
    "right",
    [
        {"matrix": {"engines": ["wire", "docker"], "proxies": ["direct"]}},
        {"engines": [{"name": "mine", "kind": "wire"}], "matrix": {"engines": ["mine", "docker"]}},
        {"proxies": [MIRROR], "matrix": {"proxies": ["direct", "cache"]}},
        {"proxies": [{**MIRROR, "cold": {"push": "a/b"}}]},
        {"images": ["team/app", "12:34", "a/b@sha256:" + 64 * "0", "a:1@sha256:" + 64 * "0"]},
        {"registries": [{"name": "eu", "url": "http://[::1]:5000/", "credentials": "env:EU"}]},
        {"budget": {"bytes": "1.5 GiB"}},
        {"load": {"mode": "open", "rate": 5}},
        {"engines": [{"name": "w", "kind": "wire", "strategy": "base-first", "base_images": ["debian:12"]}]},
        {"engines": [{"name": "f", "kind": "fake", "script": [0.1, "timeout"]}]},
    ],
)
def test_what_the_command_line_reads_an_editor_accepts(right: dict[str, Any]) -> None:
    data = {**LEAST, **right}
    read_spec(data)
    validate(data)


def test_every_key_of_a_spec_is_described() -> None:
    document = json.loads(spec_schema())
    sections = {"spec": document, **document["$defs"]}
    assert all(section["description"] for section in sections.values())
    assert not [
        f"{section}.{key}"
        for section, entry in sections.items()
        for key, value in entry["properties"].items()
        if not value.get("description") and "slo" not in (section.lower(), key)
    ]
