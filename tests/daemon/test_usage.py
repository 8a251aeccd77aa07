"""What images take, which of them go, and that nothing else does."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pullbench.daemon.usage import StoredImage, decide_pruning, prune, usage
from tests.daemon.image_store import NOW, ImageStore, image_id


def names(images: tuple[StoredImage, ...]) -> list[str]:
    return [image.label for image in images]


def test_usage_counts_shared_layers_once_and_what_containers_use() -> None:
    store = ImageStore(layers_bytes=160)
    store.add("used:1", size=100, shared=40, containers=1)
    store.add("free:1", size=100, shared=40)
    found = usage(store)
    assert [(image.label, image.own_bytes, image.containers) for image in found.images] == [
        ("used:1", 60, 1),
        ("free:1", 60, 0),
    ]
    assert names(found.unused) == ["free:1"]
    assert found.reclaimable_bytes == 100


def test_a_daemon_that_does_not_count_shared_bytes_or_containers_is_believed_in_the_rest() -> None:
    store = ImageStore(layers_bytes=100)
    store.add("a:1", size=100, shared=-1, counted=-1)
    store.container_images = [image_id("a:1")]
    (image,) = usage(store).images
    assert (image.own_bytes, image.containers) == (100, 1)


def test_an_engine_api_that_moved_its_images_is_read_too() -> None:
    store = ImageStore(layers_bytes=7)
    store.add("a:1", size=7)
    document = store.disk_usage()
    store.document = {"ImageUsage": {"Items": document["Images"], "TotalSize": 7, "ActiveCount": 0}}
    assert names(usage(store).images) == ["a:1"]
    assert usage(store).layers_bytes == 7


@pytest.mark.parametrize(
    ("pattern", "keeps"),
    [
        ("nginx:*", ["nginx:1.27", "nginx:1.28"]),
        ("nginx", ["nginx:1.27", "nginx:1.28"]),
        ("nginx:1.27", ["nginx:1.27"]),
        ("docker.io/library/nginx:1.28", ["nginx:1.28"]),
        ("r.example.com:5000/team/*", ["r.example.com:5000/team/app:1"]),
        ("r.example.com:5000/team/app", ["r.example.com:5000/team/app:1"]),
        ("*team*", ["r.example.com:5000/team/app:1"]),
        ("library/nginx", []),
        ("NGINX", []),
    ],
)
def test_a_pattern_keeps_by_any_spelling_of_a_name(pattern: str, keeps: list[str]) -> None:
    store = ImageStore()
    for name in ("nginx:1.27", "nginx:1.28", "r.example.com:5000/team/app:1"):
        store.add(name)
    kept = [choice.image.label for choice in decide_pruning(usage(store), keep=[pattern]) if choice.kept]
    assert kept == keeps


def test_one_name_that_is_kept_keeps_the_image_and_all_its_names() -> None:
    store = ImageStore()
    store.add("app:1", more=("app:stable",))
    (choice,) = decide_pruning(usage(store), keep=["app:stable"])
    assert "'app:stable'" in (choice.kept or "")


def test_young_images_and_used_ones_stay_whatever_no_pattern_says() -> None:
    store = ImageStore()
    store.add("young:1", age=timedelta(days=1))
    store.add("old:1", age=timedelta(days=9))
    store.add("used:1", age=timedelta(days=9), containers=2)
    chosen = decide_pruning(usage(store), made_before=NOW - timedelta(days=7))
    kept = {choice.image.label: choice.kept for choice in chosen}
    assert kept["old:1"] is None
    assert "2026-11-22" in (kept["young:1"] or "")
    assert "2 containers" in (kept["used:1"] or "")


def test_pruning_takes_every_name_of_an_image_and_the_nameless_by_their_id() -> None:
    store = ImageStore()
    store.add("app:1", more=("app:stable",))
    store.add("<none>:<none>")
    done = list(prune(store, usage(store).images))
    assert [one.refused for one in done] == [None, None]
    assert store.stored == {}
    assert store.forced == []


def test_what_a_container_has_come_to_use_meanwhile_keeps_all_its_names() -> None:
    store = ImageStore()
    store.add("app:1", more=("app:stable",))
    found = usage(store).images
    store.container_images = [found[0].image_id]
    (one,) = prune(store, found)
    assert "container" in (one.refused or "")
    assert store.removed == []


def test_what_the_daemon_refuses_is_told_and_the_others_go_on() -> None:
    store = ImageStore()
    reason = "image has dependent child images"
    store.add("base:1", refused=reason)
    store.add("app:1")
    done = {one.image.label: one.refused for one in prune(store, usage(store).images)}
    assert done == {"base:1": reason, "app:1": None}


def test_an_image_without_a_time_or_a_name_has_a_label_all_the_same() -> None:
    entry: Mapping[str, Any] = {"Id": "sha256:0123456789abcdef", "RepoTags": None, "RepoDigests": None, "Size": 1}
    store = ImageStore()
    store.document = {"Images": [entry], "LayersSize": 1}
    (image,) = usage(store).images
    assert (image.label, image.is_dangling) == ("<none> 0123456789ab", True)
    assert image.created_at == datetime(1970, 1, 1, tzinfo=UTC)
