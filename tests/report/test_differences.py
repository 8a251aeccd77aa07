"""What is not the same in two runs is listed before any ratio is read."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from pullbench.report.compare.differences import Difference, differences, other_machine
from pullbench.report.core.stored import StoredRun

MACHINE = {"architecture": "x86_64", "cpu": "a processor", "cores": 2, "memory_bytes": 8_000_000_000}


def variant(full: StoredRun, *, spec: Mapping[str, Any] | None = None, **changes: Any) -> StoredRun:
    return replace(full, spec={**full.spec, **(spec or {})}, run=replace(full.run, **changes))


def found(full: StoredRun, **changes: Any) -> list[tuple[str, str]]:
    return [(entry.kind, entry.what) for entry in differences(full, variant(full, **changes))]


def test_a_run_does_not_differ_from_itself(full: StoredRun) -> None:
    assert differences(full, full) == []


def test_a_changed_key_of_the_spec_is_named_by_its_path_with_both_values(full: StoredRun) -> None:
    slo = {**full.spec["slo"], "mean_pull_s": 5.0}

    assert differences(full, variant(full, spec={"slo": slo})) == [
        Difference(kind="spec", what="slo.mean_pull_s", baseline=3.0, candidate=5.0)
    ]


@pytest.mark.parametrize(
    ("kind", "what", "value", "words"),
    [
        ("spec", "slo.p95_pull_s", None, "not set"),
        ("spec", "matrix.proxy_cache", ["any"], "any"),
        ("spec", "matrix.concurrency", [1, 4], "1, 4"),
        ("spec", "matrix.exclude", [], "none"),
        (
            "spec",
            "matrix.exclude",
            [{"engine": "wire", "proxy": None}, {"cache": "warm"}],
            "engine wire, proxy not set; cache warm",
        ),
        ("spec", "slo", {}, "none"),
        ("spec", "preflight", False, "no"),
        ("spec", "images", "", "empty"),
        ("spec", "timeout_s", 30.0, "30.0"),
        ("images", "app:1 linux/amd64 at eu", None, "not there"),
        ("machine", "memory_bytes", 8_000_000_000, "8.00 GB"),
        ("machine", "cpu", None, "not known"),
    ],
)
def test_a_value_is_shown_in_words_and_never_as_python_writes_it(kind: str, what: str, value: Any, words: str) -> None:
    entry = Difference(kind=kind, what=what, baseline=value, candidate=value)
    assert entry.before == entry.after == words


def test_one_more_registry_does_not_shift_the_others(full: StoredRun) -> None:
    eu, us = {"name": "eu", "url": "https://eu.example"}, {"name": "us", "url": "https://us.example"}
    before, after = variant(full, spec={"registries": [us]}), variant(full, spec={"registries": [eu, us]})

    assert [entry.what for entry in differences(before, after)] == ["registries.eu.url"]


def test_a_tag_that_moved_is_other_content(full: StoredRun) -> None:
    def facts(digest: str) -> str:
        image = {"registry": "eu", "image": "app:1", "platforms": {"linux/amd64": {"digest": digest}}}
        return json.dumps({"images": [image], "engines": []})

    before, after = variant(full, facts=facts("sha256:aa")), variant(full, facts=facts("sha256:bb"))

    assert [(entry.kind, entry.what) for entry in differences(before, after)] == [("images", "app:1 linux/amd64 at eu")]


def test_name_vantage_and_status_are_told_and_labels_are_not(full: StoredRun) -> None:
    assert found(full, name="other", vantage="lab", status="incomplete", labels={"commit": "new"}) == [
        ("run", "name"),
        ("run", "vantage"),
        ("run", "status"),
    ]


@pytest.mark.parametrize(
    ("changed", "other"),
    [
        ({"cpu": "another processor"}, True),
        ({"cores": 64}, True),
        ({"memory_bytes": 4_000_000_000}, True),
        ({"memory_bytes": 7_900_000_000}, False),
        ({"hostname": "runner-2"}, False),
        ({"kernel": "6.2"}, False),
        ({"client_ceiling_bytes_per_s": 1.0}, False),
    ],
)
def test_a_machine_is_another_by_its_hardware_and_not_by_its_name(
    full: StoredRun, changed: dict[str, Any], other: bool
) -> None:
    before = variant(full, environment=json.dumps(MACHINE))
    after = variant(full, environment=json.dumps(MACHINE | changed))

    assert other_machine(differences(before, after)) is other


def test_another_vantage_counts_as_another_machine(full: StoredRun) -> None:
    assert other_machine(differences(full, variant(full, vantage="elsewhere")))


def test_the_version_of_a_client_is_told(full: StoredRun) -> None:
    def facts(version: str) -> str:
        return json.dumps({"images": [], "engines": [{"name": "docker", "kind": "docker", "version": version}]})

    before, after = variant(full, facts=facts("20.10.24")), variant(full, facts=facts("28.0.1"))

    assert differences(before, after) == [
        Difference(kind="engines", what="docker", baseline="docker 20.10.24", candidate="docker 28.0.1")
    ]


def test_the_image_store_of_a_daemon_and_its_download_limit_are_told(full: StoredRun) -> None:
    def environment(store: str, downloads: int | None) -> str:
        return json.dumps({"image_stores": {"docker": store}, "max_concurrent_downloads": {"docker": downloads}})

    before = variant(full, environment=environment("overlay2", 3))
    after = variant(full, environment=environment("containerd (overlayfs)", None))

    assert differences(before, after) == [
        Difference(
            kind="environment", what="image_stores.docker", baseline="overlay2", candidate="containerd (overlayfs)"
        ),
        Difference(kind="environment", what="max_concurrent_downloads.docker", baseline=3, candidate=None),
    ]
