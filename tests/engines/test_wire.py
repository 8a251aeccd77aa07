"""The wire engine brings every byte, verified, timed, in constant memory, and leaves nothing behind."""

import errno
import fcntl
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

import psutil
import pycurl
import pytest

from pullbench.engines.base import PullOutcome
from pullbench.engines.command.folder import stale_folders
from pullbench.engines.wire.body import BlobBody
from pullbench.engines.wire.client import WireClient
from pullbench.errors import ErrorCode
from pullbench.model.manifest import OCI_INDEX, OCI_MANIFEST, Descriptor
from pullbench.model.reference import Reference
from tests.engines.scripted_server import Image, Incoming, answer, descriptor, digest_of
from tests.engines.wire_bench import CLOCK, bench, row_of, setup

PHASES = ("dns_s", "connect_s", "tls_s", "wait_s", "transfer_s")


def test_a_pull_through_an_index_brings_every_byte_of_the_manifest() -> None:
    with bench() as b:
        outcome = b.pull()
        assert outcome.ok, outcome.error
        assert (
            outcome.bytes == len(b.image.config) + sum(map(len, b.image.layers)) == b.image.expected.manifest.size_bytes
        )
        assert (outcome.layers, outcome.layers_cached, outcome.layers_shared, outcome.attempts) == (3, None, None, 1)
        kinds = [row.kind for row in outcome.transfers]
        assert sorted(kinds) == ["config", "layer", "layer", "layer", "manifest", "manifest"]
        assert {row.pull for row in outcome.transfers} == {3}
        assert outcome.served_by == b.server.host


def test_a_manifest_without_an_index_is_asked_for_once() -> None:
    with bench() as b:
        pinned = Reference.parse("team/app:1").pinned(digest_of(b.image.manifest))
        outcome = b.engine.pull(replace(b.request, reference=pinned, is_index=False))
        assert outcome.ok, outcome.error
        assert [row.kind for row in outcome.transfers].count("manifest") == 1


def test_a_digest_that_stands_twice_in_a_manifest_is_fetched_once() -> None:
    layer = os.urandom(5000)
    with bench(image=Image(layers=(layer, layer))) as b:
        outcome = b.pull()
        assert outcome.ok and outcome.layers == 2
        assert b.server.paths().count(b.image.blob_path(layer)) == 1
        assert outcome.bytes == len(b.image.config) + len(layer)


def test_manifests_are_asked_for_with_one_accept_line_and_as_they_are() -> None:
    with bench() as b:
        b.pull()
        (asked,) = [one for one in b.server.seen if one.path == b.image.manifest_path(b.image.index)]
        assert "image.index.v1+json" in asked.headers["accept"] and "manifest.v2+json" in asked.headers["accept"]
        assert asked.headers["accept-encoding"] == "identity"
        assert asked.headers["user-agent"].startswith("pullbench/")


def test_an_index_without_the_platform_is_platform_missing_and_names_what_is_there() -> None:
    with bench(platform="linux/s390x") as b:
        outcome = b.pull()
        assert outcome.error_code is ErrorCode.PLATFORM_MISSING
        assert "no linux/s390x among: linux/amd64" in (outcome.error or "")
        assert outcome.layers is None


def index_over(*entries: dict[str, object]) -> bytes:
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).encode()


def on(platform: str) -> dict[str, object]:
    os_name, architecture, *variant = platform.split("/")
    return {"platform": {"os": os_name, "architecture": architecture, **({"variant": variant[0]} if variant else {})}}


def test_an_index_in_an_index_is_followed() -> None:
    image = Image(layers=(b"layer",))
    inner, inner_path = image.index, image.manifest_path(image.index)
    image.index = index_over({**descriptor(OCI_INDEX, inner), **on("linux/amd64")})
    with bench(image=image) as b:
        b.server.on(inner_path, answer(200, inner, headers=[("Content-Type", OCI_INDEX)]))
        outcome = b.pull()
        assert outcome.ok, outcome.error
        assert [row.kind for row in outcome.transfers].count("manifest") == 3


def test_an_entry_without_a_platform_is_pulled_where_no_other_serves() -> None:
    image = Image(layers=(b"layer",))
    other = {**descriptor(OCI_MANIFEST, b"{}"), **on("linux/s390x")}
    image.index = index_over(other, descriptor(OCI_MANIFEST, image.manifest))
    with bench(image=image) as b:
        assert b.pull().ok


def test_the_lowest_variant_is_meant_where_none_is_named() -> None:
    image = Image(layers=(b"layer",))
    higher = {**descriptor(OCI_MANIFEST, b"{}"), **on("linux/amd64/v3")}
    image.index = index_over(higher, {**descriptor(OCI_MANIFEST, image.manifest), **on("linux/amd64/v1")})
    with bench(image=image) as b:
        assert b.pull().ok
    image.index = index_over(higher)
    with bench(image=image) as b:
        assert b.pull().error_code is ErrorCode.PLATFORM_MISSING


def test_a_manifest_of_schema_1_is_no_image_for_a_platform() -> None:
    image = Image(layers=(b"layer",))
    image.index = json.dumps({"schemaVersion": 1, "fsLayers": []}).encode()
    with bench(image=image) as b:
        outcome = b.pull()
        assert (outcome.error_code, "schema 1" in (outcome.error or "")) == (ErrorCode.PLATFORM_MISSING, True)


def test_phases_of_a_transfer_never_exceed_its_total_nor_serial_phases_the_pull() -> None:
    with bench(engine={"layer_concurrency": 1}) as b:
        for _ in range(5):
            started = b.engine._clock.monotonic()
            outcome = b.pull()
            duration_s = b.engine._clock.monotonic() - started
            for row in outcome.transfers:
                parts = [getattr(row, phase) for phase in PHASES]
                assert all(part is not None and part >= 0 for part in parts), row
                assert sum(parts) <= row.total_s, row
            serial_s = (outcome.auth_s or 0) + (outcome.resolve_s or 0) + (outcome.download_s or 0)
            assert serial_s <= duration_s
            assert sum(row.total_s or 0 for row in outcome.transfers) <= duration_s


def test_a_kept_connection_costs_nothing_and_says_so() -> None:
    with bench(engine={"layer_concurrency": 1}) as b:
        first, second = b.pull(), b.pull()
        assert [row.reused for row in first.transfers] == [False, True, True, True, True, True]
        assert all(row.reused for row in second.transfers)
        assert {(row.dns_s, row.connect_s, row.tls_s) for row in second.transfers} == {(0.0, 0.0, 0.0)}
        assert first.transfers[0].connect_s
        assert b.server.connections == 1


def test_a_trial_starts_without_connections_of_the_one_before() -> None:
    with bench() as b:
        b.pull()
        b.engine.open_trial(setup(b.request))
        assert b.pull().transfers[0].reused is False


def test_rows_say_address_version_and_status() -> None:
    with bench() as b:
        row = row_of(b.pull(), b.image.config)
        assert (row.status, row.http_version, row.remote_ip, row.bytes) == (
            200,
            "1.1",
            "127.0.0.1",
            len(b.image.config),
        )


def test_what_caches_say_is_kept_clean_and_bounded() -> None:
    with bench() as b:
        headers = [("Via", '1.1 squid\x1b[31m "x"'), ("X-Cache", "HIT from " + "c" * 500), ("Age", "12")]
        b.server.on(b.image.blob_path(b.image.layers[1]), answer(200, b.image.layers[1], headers=headers))
        outcome = b.pull()
        served_by = row_of(outcome, b.image.layers[1]).served_by or ""
        assert served_by.startswith(f'{b.server.host} via "1.1 squid [31m \'x\'" x-cache="HIT from ccc')
        assert served_by.endswith("age=12") and len(served_by) < 250
        assert outcome.served_by == served_by  # of the largest layer


@pytest.mark.parametrize(("workers", "expected"), [(1, 1), (2, 2)])
def test_no_more_layers_are_under_way_than_layer_concurrency(workers: int, expected: int) -> None:
    layers = tuple(os.urandom(1000) for _ in range(6))
    lock, now, most = threading.Lock(), [0], [0]
    together = threading.Barrier(expected)

    def slow(content: bytes) -> None:
        def handler(incoming: Incoming) -> None:
            with lock:
                now[0] += 1
                most[0] = max(most[0], now[0])
            together.wait(10)
            with lock:
                now[0] -= 1
            incoming.send(200, content)

        b.server.on(b.image.blob_path(content), handler)

    with bench(image=Image(layers=layers), engine={"layer_concurrency": workers}) as b:
        for layer in layers:
            slow(layer)
        assert b.pull().ok
    assert most[0] == expected


def test_pulls_at_once_share_the_threads_of_a_trial_without_waiting_for_ever() -> None:
    with bench(concurrency=4, engine={"layer_concurrency": 3}) as b:
        before = threading.active_count()
        outcomes: list[PullOutcome] = []
        workers = [threading.Thread(target=lambda: outcomes.extend(b.pull() for _ in range(5))) for _ in range(8)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(30)
        assert [outcome.error for outcome in outcomes if not outcome.ok] == [] and len(outcomes) == 40
        engines_own = [thread for thread in threading.enumerate() if thread.name.startswith("wire")]
        assert len(engines_own) == 4 * 2 and before >= len(engines_own)


def test_on_disk_every_blob_is_synced_before_it_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr("os.fsync", synced.append)
    with bench(engine={"sink": "disk"}) as b:
        assert b.pull().ok
        assert len(synced) == 1 + len(b.image.layers)


def test_on_disk_every_blob_is_written_whole_and_removed_with_the_trial() -> None:
    with bench(engine={"sink": "disk"}) as b:
        assert b.pull().ok and b.engine._trial
        folder = b.engine._trial.folder
        written = {hashlib.sha256(path.read_bytes()).digest() for path in folder.iterdir()}
        assert written == {hashlib.sha256(blob).digest() for blob in (b.image.config, *b.image.layers)}
        b.engine.close_trial()
        assert not folder.exists()


def test_what_a_killed_run_left_of_a_trial_is_found_and_a_living_ones_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with bench(engine={"sink": "disk"}) as b:
        assert b.engine._trial and b.pull().ok
        folder, lock = b.engine._trial.folder, b.engine._trial.lock
        os.utime(folder, (0, 0))
        assert stale_folders(tmp_path) == []
        fcntl.flock(lock, fcntl.LOCK_UN)  # as the end of a process does
        assert stale_folders(tmp_path) == [folder]
        b.engine.close_trial()
        assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_disk_full() -> None:
    with bench(engine={"sink": "disk"}) as b:
        assert b.engine._trial
        for number in range(4):
            b.engine._trial.folder.joinpath(str(number)).symlink_to("/dev/full")
        outcome = b.pull()
        assert outcome.error_code is ErrorCode.DISK_FULL


def test_a_disk_that_takes_a_part_of_the_last_bytes_gets_the_rest_or_says_why_not() -> None:
    """A file without a buffer may write less than it is given, and tells of a full disk only at the next write."""
    taken: list[bytes] = []

    class Narrow:
        def write(self, view: memoryview) -> int:
            if len(taken) == 2:
                raise OSError(errno.ENOSPC, "No space left on device")
            taken.append(bytes(view[:3]))
            return len(taken[-1])

    body = BlobBody(Descriptor(media_type="m", digest="sha256:" + "0" * 64, size_bytes=7), Path("none"))
    body._file = Narrow()  # type: ignore[assignment]
    body.update(b"abcde")
    assert taken == [b"abc", b"de"]
    with pytest.raises(OSError, match="No space left"):
        body.update(b"fg")


def test_closing_the_connections_of_a_pull_is_not_in_its_duration(monkeypatch: pytest.MonkeyPatch) -> None:
    closing = list[float]()
    close = WireClient.close

    def noticed(client: WireClient) -> None:
        closing.append(CLOCK.monotonic())
        close(client)

    monkeypatch.setattr(WireClient, "close", noticed)
    with bench() as b:
        started = CLOCK.monotonic()
        outcome = b.engine.pull(replace(b.request, auth="per-pull"))
        assert outcome.duration_s is not None
        assert started < started + outcome.duration_s <= closing[0]


def test_nothing_is_left_when_it_is_closed() -> None:
    process = psutil.Process()
    with bench(opened=False) as b:
        files, threads = process.num_fds(), set(threading.enumerate())
        b.engine.open_trial(setup(b.request, concurrency=3))
        assert b.engine._trial
        folder = b.engine._trial.folder
        for auth in ("persisted", "per-pull"):
            assert b.engine.pull(replace(b.request, auth=auth)).ok
        b.engine.close()
        ours = [thread for thread in set(threading.enumerate()) - threads if thread.name.startswith("wire")]
        assert not ours and not folder.exists()
        b.server.close()
        assert process.num_fds() <= files
    b.engine.close()


def test_a_pull_before_open_trial_is_a_bug_and_no_outcome() -> None:
    with bench(opened=False) as b, pytest.raises(RuntimeError, match="before open_trial"):
        b.pull()


def test_facts_say_the_version_of_libcurl() -> None:
    with bench(opened=False) as b:
        facts = b.engine.facts()
        assert (facts.kind, facts.version, facts.unavailable) == ("wire", pycurl.version, None)


_GROWTH = """
import resource
from tests.engines.wire_bench import pull_generated
pull_generated(10)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
pull_generated(90)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_memory_does_not_grow_with_the_size_of_a_layer() -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", _GROWTH], cwd=root, check=True, capture_output=True, text=True, timeout=120
    )
    grown_kib = int(done.stdout)
    assert grown_kib < 16 * 1024


@pytest.mark.promise("names", "Files that `wire` writes have numbers for names")
def test_numbers_name_the_files_of_the_disk_sink_and_nothing_of_a_registry_does() -> None:
    with bench(engine={"sink": "disk"}) as b:
        assert b.pull().ok and b.engine._trial
        assert all(path.name.isdecimal() for path in b.engine._trial.folder.iterdir())
