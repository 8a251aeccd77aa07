"""Whatever a registry does, a trial ends, every pull has a row with a code, and nothing is left behind or counted twice."""

import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pullbench.errors import ErrorCode
from pullbench.lab.auth import AuthRules
from pullbench.lab.contents import Contents, LabImage
from pullbench.lab.faults import EXCHANGES, FAULT_KINDS, OF_CONNECTIONS, Fault, Faults
from pullbench.lab.images import make_images
from pullbench.lab.registry import Registry
from pullbench.model.facts import Facts
from pullbench.model.manifest import Descriptor
from pullbench.model.record import TrialResult
from pullbench.model.spec import Spec
from tests.integration.lab_trial import lab_facts, lab_result, lab_spec

pytestmark = [pytest.mark.integration]

ACCOUNT = AuthRules(kind="bearer", username="lab", password="planted")
ENVIRON = {"LAB_USERNAME": "lab", "LAB_PASSWORD": "planted"}
PULLS = 4
TIMEOUT_S = 1.0
NEVER_A_PULL = frozenset(FAULT_KINDS) - {"latency", "drip", "wrong_range", "expired_token"}
"""Done to every answer, it leaves no pull that can be right; of the others a pull may come through."""
ENDS_WITHIN_S = PULLS * TIMEOUT_S + 60
"""What a trial may take at most, and a wide margin for a machine that is busy."""


def faults() -> st.SearchStrategy[Fault]:
    of_requests = st.builds(
        Fault,
        kind=st.sampled_from(FAULT_KINDS),
        rate=st.sampled_from([0.2, 0.5, 1.0]),
        on=st.sampled_from([exchange for exchange in EXCHANGES if exchange != "connection"]),
        seconds=st.sampled_from([0.01, 20.0]),
        retry_after_s=st.sampled_from([0, 1, 3600]),
    )
    of_connections = st.builds(
        Fault,
        kind=st.sampled_from(sorted(OF_CONNECTIONS)),
        rate=st.sampled_from([0.2, 1.0]),
        on=st.just("connection"),
        seconds=st.sampled_from([0.01, 20.0]),
    )
    return of_requests | of_connections


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound:
    """What the registry holds, and what is known of it: gathered while it did nothing wrong."""

    images: tuple[LabImage, ...]
    scratch: Path


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sound]:
    images = make_images(
        tmp_path_factory.mktemp("images"),
        seed=1,
        count=2,
        total_bytes=600_000,
        platforms=("linux/amd64",),
        max_layers=4,
    )
    scratch = tmp_path_factory.mktemp("scratch")
    before, tempfile.tempdir = tempfile.tempdir, str(scratch)
    yield Sound(images=images, scratch=scratch)
    tempfile.tempdir = before


def spec_for(url: str, images: tuple[LabImage, ...], *, engine: dict[str, Any], **more: Any) -> Spec:
    return lab_spec(
        url,
        *(f"{image.repository}:{image.tag}" for image in images),
        credentials="env:LAB",
        engine={"connect_timeout_s": 0.3, "stall_timeout_s": 0.3, **engine},
        pulls_per_trial=PULLS,
        timeout_s=TIMEOUT_S,
        **more,
    )


def facts_of(sound: Sound, spec: Spec) -> Facts:
    with Registry(Contents(sound.images), auth=ACCOUNT) as registry:
        asked = spec.model_copy(update={"registries": [spec.registries[0].model_copy(update={"url": registry.url})]})
        return lab_facts(asked, ENVIRON)


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def settles(count: Any, most: int) -> bool:
    """Whether it comes down to what it was: threads of the other side end a moment after their sockets."""
    until = time.monotonic() + 20
    while count() > most and time.monotonic() < until:
        time.sleep(0.02)
    return bool(count() <= most)


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(
    wrong=st.lists(faults(), max_size=4),
    seed=st.integers(0, 2**32),
    retries=st.integers(0, 2),
    concurrency=st.integers(1, PULLS),
    auth=st.sampled_from(["persisted", "per-pull"]),
    engine=st.fixed_dictionaries(
        {
            "sink": st.sampled_from(["discard", "disk"]),
            "layer_concurrency": st.integers(1, 3),
            "chunk_bytes": st.sampled_from([None, "1MiB", "64KiB"]),
        }
    ),
)
@example(
    wrong=[Fault(kind="wrong_digest", rate=1.0, on="blob")],
    seed=1,
    retries=1,
    concurrency=4,
    auth="per-pull",
    engine={"sink": "disk"},
)
@example(wrong=[], seed=1, retries=0, concurrency=2, auth="persisted", engine={"sink": "disk"})
def test_a_trial_ends_every_pull_has_a_row_and_nothing_is_left_or_counted_twice(
    sound: Sound,
    wrong: list[Fault],
    seed: int,
    retries: int,
    concurrency: int,
    auth: str,
    engine: dict[str, Any],
) -> None:
    threads, descriptors = threading.active_count(), open_descriptors()
    with Registry(Contents(sound.images), auth=ACCOUNT, faults=Faults(wrong, seed=seed)) as registry:
        matrix = {"concurrency": [concurrency], "auth": [auth]}
        spec = spec_for(registry.url, sound.images, engine=engine, retries=retries, matrix=matrix)
        facts = facts_of(sound, spec)
        with ThreadPoolExecutor(1) as pool:
            result = pool.submit(lab_result, spec, facts, ENVIRON).result(ENDS_WITHIN_S)
        sent = registry.counters.as_dict()["bytes"]
    rows_are_whole(result, facts, retries)
    assert sum(row.bytes for row in result.transfers if row.bytes) <= sent, "nothing is counted that was not sent"
    if spoils_all(wrong):
        assert not any(pull.ok for pull in result.pulls), "wrong content is never a pull"
    if not wrong:
        assert all(pull.ok for pull in result.pulls)
        sizes = {name: sum(blob.size_bytes for blob in image_blobs(facts, name)) for _, name in facts.images}
        assert [pull.bytes for pull in result.pulls] == [sizes[pull.image] for pull in result.pulls]
    assert list(sound.scratch.iterdir()) == []
    assert settles(threading.active_count, threads)
    assert settles(open_descriptors, descriptors)


def spoils_all(wrong: list[Fault]) -> bool:
    first = {fault.on: fault for fault in reversed(wrong)}
    return any(
        exchange in first and first[exchange].rate == 1.0 and first[exchange].kind in NEVER_A_PULL
        for exchange in ("manifest", "blob")
    )


def rows_are_whole(result: TrialResult, facts: Facts, retries: int) -> None:
    assert [pull.pull for pull in result.pulls] == list(range(PULLS))
    for pull in result.pulls:
        rows = [row for row in result.transfers if row.pull == pull.pull]
        assert pull.ok == (pull.error_code is None)
        assert pull.error_code is None or pull.error_code in ErrorCode
        assert pull.error_code is not ErrorCode.UNKNOWN, pull.error
        assert pull.attempts is not None and 1 <= pull.attempts <= retries + 1
        assert pull.bytes == sum(row.bytes or 0 for row in rows if row.kind in ("config", "layer"))
        assert pull.duration_s >= 0
        if pull.ok:
            last = [row for row in rows if row.attempt == pull.attempts and row.error_code is None]
            for blob in image_blobs(facts, pull.image):
                # Parts of a layer are rows of their own, and what an earlier attempt brought is not fetched again.
                brought = [row.bytes or 0 for row in last if row.digest == blob.digest]
                assert sum(brought) in (blob.size_bytes, 0 if pull.attempts > 1 else blob.size_bytes)


def image_blobs(facts: Facts, image: str) -> tuple[Descriptor, ...]:
    return facts.images["lab", image].platforms["linux/amd64"].manifest.blobs
