"""What a client can do at most: by its own receiving path for each sink, and the cores that it is left."""

import os
import tempfile
from pathlib import Path

import pytest

from pullbench.bench import ceiling
from pullbench.bench.ceiling import client_ceiling, core_limit, measure_ceilings
from pullbench.engines.wire.body import BlobBody
from pullbench.model.spec import EngineEntry

SMALL = {"discard": 1 << 20, "disk": 1 << 20}


def entry(**fields: object) -> EngineEntry:
    return EngineEntry.model_validate({"name": "one", **fields})


def test_the_ceiling_is_that_of_the_engines_own_path_sink_by_sink(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished: list[tuple[int, bool]] = []
    finish = BlobBody.finish

    def noted(body: BlobBody) -> None:
        finish(body)
        finished.append((body.received_bytes, body._path is not None))

    monkeypatch.setattr(BlobBody, "finish", noted)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    found = client_ceiling(["discard", "disk"], sizes=SMALL, times=1, streams=2)
    assert set(found) == {"discard", "disk"} and min(found.values()) > 0
    assert sorted(finished) == [(1 << 19, False)] * 2 + [(1 << 19, True)] * 2, (
        "received, verified, and kept where asked"
    )
    assert list(tmp_path.iterdir()) == []


def test_the_better_of_two_measurements_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = iter([5.0, 9.0])
    monkeypatch.setattr(ceiling, "_rate", lambda *_: next(rates))
    assert client_ceiling(["discard"], sizes=SMALL) == {"discard": 9.0}


def test_a_sink_that_cannot_be_written_to_has_no_ceiling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    assert client_ceiling(["disk"], sizes=SMALL, times=1, streams=1) == {}


def test_each_sink_of_the_spec_is_measured_once_and_only_for_wire(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def measured(sinks: list[str]) -> dict[str, float]:
        asked.append(sinks)
        return {"discard": 9e8, "disk": 2e8}

    monkeypatch.setattr(ceiling, "client_ceiling", measured)
    monkeypatch.setattr(ceiling, "core_limit", lambda usable: 1.5)
    monkeypatch.setattr(ceiling.os, "cpu_count", lambda: 8)
    engines = [
        entry(name="a", kind="wire"),
        entry(name="b", kind="wire", sink="disk"),
        entry(name="c", kind="wire", layer_concurrency=1),
        entry(name="d", kind="docker"),
        entry(name="e", kind="fake"),
    ]
    found = measure_ceilings(engines).by_engine
    assert asked == [["discard", "disk"]]
    assert {name: each.bytes_per_s for name, each in found.items()} == {
        "a": 9e8,
        "b": 2e8,
        "c": 9e8,
        "d": None,
        "e": None,
    }
    assert {name: each.cores for name, each in found.items()} == {"a": 1.5, "b": 1.5, "c": 1.5, "d": 8.0, "e": 1.5}
    assert [name for name, each in found.items() if each.whole_machine] == ["d"]


def groups(folder: Path, lines: str) -> Path:
    (folder / "proc" / "self").mkdir(parents=True)
    (folder / "proc" / "self" / "cgroup").write_text(lines)
    return folder / "proc"


def test_a_containers_quota_is_its_ceiling(tmp_path: Path) -> None:
    proc = groups(tmp_path, "0::/pods/one\n")
    inner = tmp_path / "cgroup" / "pods" / "one"
    inner.mkdir(parents=True)
    (inner / "cpu.max").write_text("max 100000\n")
    (inner.parent / "cpu.max").write_text("150000 100000\n")
    assert core_limit(8, mounted=tmp_path / "cgroup", proc=proc) == 1.5, "of the groups above it too"
    assert core_limit(1, mounted=tmp_path / "cgroup", proc=proc) == 1.0


def test_a_quota_of_the_older_control_groups_counts_too(tmp_path: Path) -> None:
    proc = groups(tmp_path, "4:cpu,cpuacct:/one\n2:memory:/one\n")
    group = tmp_path / "cgroup" / "cpu" / "one"
    group.mkdir(parents=True)
    (group / "cpu.cfs_quota_us").write_text("50000\n")
    (group / "cpu.cfs_period_us").write_text("100000\n")
    assert core_limit(2, mounted=tmp_path / "cgroup", proc=proc) == 0.5
    (group / "cpu.cfs_quota_us").write_text("-1\n")
    assert core_limit(2, mounted=tmp_path / "cgroup", proc=proc) == 2.0


def test_without_control_groups_the_cores_are_those_that_may_be_used(tmp_path: Path) -> None:
    assert core_limit(3, mounted=tmp_path, proc=tmp_path) == 3.0


def test_a_system_that_tells_no_affinity_is_watched_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    assert client_ceiling(["discard"], sizes=SMALL, times=1)["discard"] > 0
    assert measure_ceilings([entry(name="a", kind="fake")]).by_engine["a"].cores > 0
    sampler = ceiling.Ceiling(cores=2.0).sampler()
    sampler.begin()
    assert len(sampler.end().windows) == 1
