"""What is pushed for a cold trial, and what takes it back when the run could not."""

import dataclasses
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import httpx
import pytest

from pullbench.bench import cold_push
from pullbench.bench.cold_push import Batch, ColdPush, left_lines, take_left
from pullbench.bench.trial import pull_requests
from pullbench.errors import RegistryError, UsageError
from pullbench.model.plan import Trial, plan, routes
from pullbench.model.reference import Reference
from pullbench.registry.client import RegistryClient
from pullbench.registry.keychain import Keychain
from pullbench.registry.push import PushedImage, PushReport, Unwatched
from pullbench.store.dataset import ResultStore
from pullbench.store.ledger import PushedImages
from tests.bench.samples import PLATFORM, facts_for, make_spec
from tests.registry.push_registry import PushRegistry, refusal

RUN_ID = "20260101T000000Z-0000"
MIRROR = {
    **{"name": "cache", "kind": "mirror", "url": "http://127.0.0.1:2", "upstream": "eu", "credentials": "anonymous"},
    "cold": {"push": "pullbench/cold"},
}


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> PushRegistry:
    made = PushRegistry()
    monkeypatch.setattr(cold_push, "RegistryClient", partial(RegistryClient, transport=made))
    return made


@pytest.fixture
def record(tmp_path: Path) -> PushedImages:
    return PushedImages(ResultStore(str(tmp_path / "results")))


MATRIX = {"engines": ["wire"], "proxies": ["cache"], "platforms": [PLATFORM], "proxy_cache": ["cold"]}


@pytest.fixture
def trial() -> Trial:
    spec = make_spec(proxies=[MIRROR], matrix=MATRIX, engines=[])
    return plan(spec, facts_for(spec)).trials[0]


@pytest.fixture
def push(registry: PushRegistry, record: PushedImages, trial: Trial) -> Callable[[], Batch]:
    """Pushes the images of a cold trial, each an index, and does not take them back."""
    spec = make_spec(proxies=[MIRROR], matrix=MATRIX, engines=[])
    facts = facts_for(spec)
    requests = pull_requests(trial, spec, facts, routes(spec)["eu", "cache"])
    pusher = ColdPush(Keychain(environ={}), record)
    direct = dataclasses.replace(requests[0].route, url="http://127.0.0.1:1", proxy="direct")
    return lambda: pusher.push(RUN_ID, trial, requests, facts, direct, "pullbench/cold")


def test_a_push_says_how_much_it_sent(push: Callable[[], Batch], registry: PushRegistry) -> None:
    batch = push()
    blobs = {blob.digest: blob.size_bytes for request in batch.requests for blob in request.expected.manifest.blobs}
    assert set(blobs) == registry.blobs["pullbench/cold"]
    assert batch.sent_bytes == sum(blobs.values())


def test_what_a_killed_run_pushed_is_deleted_by_its_record_indexes_and_all(
    push: Callable[[], Batch], registry: PushRegistry, record: PushedImages
) -> None:
    push()
    ((name, entry),) = record.entries().items()
    assert len({digest for _, digest in registry.manifests if digest.startswith("sha256:")}) == 4, "two indexes"
    take_left(entry, Keychain(environ={}))
    assert registry.manifests == {}
    take_left(entry, Keychain(environ={}))  # it is gone already
    record.strike(name)
    assert record.entries() == {}


def test_what_somebody_else_put_under_the_tag_is_left_alone(
    push: Callable[[], Batch], registry: PushRegistry, record: PushedImages
) -> None:
    push()
    (entry,) = record.entries().values()
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []}
    registry.put("pullbench/cold", entry.images[0].rpartition(":")[2], manifest)
    with pytest.raises(UsageError, match="not an image of pullbench"):
        take_left(entry, Keychain(environ={}))
    assert not registry.sent("DELETE")


def test_a_registry_that_deletes_nothing_keeps_what_is_recorded(
    push: Callable[[], Batch], registry: PushRegistry, record: PushedImages
) -> None:
    push()
    (entry,) = record.entries().values()
    registry.fault = lambda request: refusal(405, "UNSUPPORTED") if request.method == "DELETE" else None
    with pytest.raises(RegistryError, match="405"):
        take_left(entry, Keychain(environ={}))
    assert registry.manifests


Fault = Callable[[httpx.Request], httpx.Response | None]


def without_delete(registry: PushRegistry) -> Fault:
    """As zuul-registry: DELETE is a 404 like every unknown path."""
    return lambda request: httpx.Response(404) if request.method == "DELETE" else None


def that_says_yes(registry: PushRegistry) -> Fault:
    return lambda request: httpx.Response(202) if request.method == "DELETE" else None


def without_delete_and_head(registry: PushRegistry) -> Fault:
    """HEAD alone would say that the tag is gone."""
    return lambda request: httpx.Response(404) if request.method in ("DELETE", "HEAD") else None


def by_name_only(registry: PushRegistry, *, tags_too: bool) -> Fault:
    """As `crane registry serve`: each name is deleted by itself, so a deleted digest leaves its tags."""

    def fault(request: httpx.Request) -> httpx.Response | None:
        if request.method != "DELETE":
            return None
        repository, _, name = request.url.path.removeprefix("/v2/").partition("/manifests/")
        if not tags_too and not name.startswith("sha256:"):
            return refusal(400, "UNSUPPORTED")
        return httpx.Response(202 if registry.manifests.pop((repository, name), None) else 404)

    return fault


@pytest.mark.parametrize(
    "keeps", [without_delete, without_delete_and_head, that_says_yes, partial(by_name_only, tags_too=False)]
)
def test_what_a_delete_left_is_found_by_looking_again(
    push: Callable[[], Batch],
    registry: PushRegistry,
    record: PushedImages,
    trial: Trial,
    keeps: Callable[[PushRegistry], Fault],
) -> None:
    batch = push()
    registry.fault = keeps(registry)
    ColdPush(Keychain(environ={}), record).take_back(RUN_ID, trial, batch)
    (left,) = record.left(RUN_ID)
    assert left.images == batch.pushed.images
    assert "still there" in left.reason
    (line,) = left_lines([left])
    assert "2 synthetic images in pullbench/cold" in line
    with pytest.raises(RegistryError, match="still there"):
        take_left(left, Keychain(environ={}))
    registry.fault = lambda request: None
    take_left(left, Keychain(environ={}))
    assert not [name for _, name in registry.manifests if not name.startswith("sha256:")]


def test_a_tag_that_outlives_its_digest_is_deleted_by_name(
    push: Callable[[], Batch], registry: PushRegistry, record: PushedImages, trial: Trial
) -> None:
    batch = push()
    registry.fault = by_name_only(registry, tags_too=True)
    ColdPush(Keychain(environ={}), record).take_back(RUN_ID, trial, batch)
    assert registry.manifests == {}
    assert record.left(RUN_ID) == ()


def test_a_refused_push_leaves_nothing_and_says_so(
    push: Callable[[], Batch], registry: PushRegistry, record: PushedImages
) -> None:
    registry.fault = lambda request: refusal(405, "UNSUPPORTED") if request.method == "POST" else None
    with pytest.raises(RegistryError, match="405"):
        push()
    assert record.left(RUN_ID) == ()


def second_tag_refused() -> Callable[[httpx.Request], httpx.Response | None]:
    tags: set[str] = set()

    def fault(request: httpx.Request) -> httpx.Response | None:
        if request.method == "PUT" and re.search(r"/manifests/[^:]+$", request.url.path):
            tags.add(request.url.path)
            return refusal(403, "DENIED") if len(tags) > 1 else None
        return None

    return fault


def test_a_push_that_fails_half_way_takes_back_what_it_has_pushed(
    push: Callable[[], Batch], registry: PushRegistry, record: PushedImages
) -> None:
    registry.fault = second_tag_refused()
    with pytest.raises(RegistryError, match="403"):
        push()
    assert record.left(RUN_ID) == ()
    assert not [name for _, name in registry.manifests if not name.startswith("sha256:")]


def test_a_push_that_fails_half_way_records_only_what_is_still_there(
    push: Callable[[], Batch], registry: PushRegistry, record: PushedImages
) -> None:
    refuses = second_tag_refused()
    registry.fault = lambda request: refusal(405, "UNSUPPORTED") if request.method == "DELETE" else refuses(request)
    with pytest.raises(RegistryError, match="403"):
        push()
    (left,) = record.left(RUN_ID)
    tags = [f"{repository}:{name}" for repository, name in registry.manifests if not name.startswith("sha256:")]
    assert (list(left.images), len(tags)) == (tags, 1)
    assert "405" in left.reason


def test_an_interrupted_push_records_what_is_settled_and_asks_the_registry_for_nothing(
    push: Callable[[], Batch], registry: PushRegistry, record: PushedImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, watch: Unwatched, **__: object) -> PushReport:
        (pushed,) = record.entries().values()
        reference = Reference.parse(pushed.images[0])
        watch.settled(PushedImage(reference=reference, digest=f"sha256:{'0' * 64}", outcome="pushed"))
        raise KeyboardInterrupt

    monkeypatch.setattr(cold_push, "push_workload", interrupted)
    with pytest.raises(KeyboardInterrupt):
        push()
    assert [len(left.images) for left in record.left(RUN_ID)] == [1]
    assert registry.asked == []


def test_the_record_says_who_may_delete_and_an_older_one_is_read_too(record: PushedImages, tmp_path: Path) -> None:
    store = ResultStore(str(tmp_path / "older"))
    store.files.put(
        f"pushed/{RUN_ID}/trial-00001-a.json", b'{"registry": "http://r", "images": ["a:1"], "reason": "x"}'
    )
    (old,) = PushedImages(store).entries().values()
    assert (old.credentials, old.ca_file) == ("docker", None)
    told = dataclasses.replace(old, images=("a:b-1",), credentials="env:PUSH", ca_file="/ca.pem")
    record.record(RUN_ID, 7, told)
    assert told in record.entries().values()
    assert record.left(RUN_ID) == tuple(record.entries().values())
