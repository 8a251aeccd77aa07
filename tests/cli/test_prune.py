"""`pullbench prune`: what it tells, what it removes, and how it ends."""

import json
from datetime import timedelta

import pytest

from pullbench.cli.options import read_age
from pullbench.cli.prune import prune_images
from pullbench.errors import IncompleteError, UsageError
from tests.daemon.image_store import NOW, ImageStore

CHILDREN = "image has dependent child images"


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> ImageStore:
    found = ImageStore()
    found.add("nginx:1.27", size=70_000_000)
    found.add("app:1", size=30_000_000, age=timedelta(days=2))
    found.add("used:1", size=10_000_000, containers=1)
    monkeypatch.setattr("pullbench.daemon.docker.DockerDaemon", lambda _: found)
    return found


def pruned(
    *, keep: tuple[str, ...] = (), older_than: str | None = None, apply: bool = False, as_json: bool = False
) -> int:
    return prune_images(keep=keep, older_than=older_than, host=None, apply=apply, as_json=as_json, now=NOW)


def test_without_apply_nothing_is_removed_and_all_is_told(
    store: ImageStore, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pruned(keep=("nginx",)) == 0
    told = capsys.readouterr().out
    assert store.removed == []
    assert "kept by 'nginx'" in told
    assert "by 1 container" in told
    assert "1 image would be removed" in told and "30.0 MB" in told and "2 would stay" in told
    assert "--apply" in told


def test_apply_removes_what_is_neither_used_nor_kept_and_says_what_the_disk_gained(
    store: ImageStore, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pruned(keep=("nginx:*",), apply=True) == 0
    assert store.removed == ["app:1"]
    told = capsys.readouterr().out
    assert "removed 1 image" in told and "30.0 MB" in told and "2 kept" in told


def test_older_than_leaves_what_was_made_since(store: ImageStore) -> None:
    assert pruned(older_than="7d", apply=True) == 0
    assert store.removed == ["nginx:1.27"]


def test_what_the_daemon_refuses_is_listed_and_ends_as_incomplete(
    store: ImageStore, capsys: pytest.CaptureFixture[str]
) -> None:
    store.add("base:1", refused=CHILDREN)
    assert pruned(apply=True) == 3
    told = capsys.readouterr().out
    assert "removed 2 images" in told
    assert f"base:1: {CHILDREN}" in told


def test_the_json_document_says_of_each_image_what_was_done(
    store: ImageStore, capsys: pytest.CaptureFixture[str]
) -> None:
    store.add("base:1", refused=CHILDREN)
    pruned(keep=("nginx",), as_json=True)
    dry = json.loads(capsys.readouterr().out)
    assert (dry["applied"], dry["freed_bytes"]) == (False, 30_000_100)
    assert {row["names"][0]: row["action"] for row in dry["images"]} == {
        "nginx:1.27": "kept",
        "app:1": "would remove",
        "used:1": "kept",
        "base:1": "would remove",
    }
    assert pruned(keep=("nginx",), as_json=True, apply=True) == 3
    done = json.loads(capsys.readouterr().out)
    assert (done["applied"], done["freed_bytes"]) == (True, 30_000_000)
    assert {row["names"][0]: row["action"] for row in done["images"]} == {
        "nginx:1.27": "kept",
        "app:1": "removed",
        "used:1": "kept",
        "base:1": "failed",
    }
    reasons = {row["names"][0]: row["reason"] for row in done["images"]}
    assert (reasons["app:1"], reasons["base:1"]) == (None, CHILDREN)
    assert "'nginx'" in reasons["nginx:1.27"] and "1 container" in reasons["used:1"]


def test_a_daemon_with_nothing_to_remove_says_so(store: ImageStore, capsys: pytest.CaptureFixture[str]) -> None:
    assert pruned(keep=("*",), apply=True) == 0
    assert "3 images" in capsys.readouterr().out
    assert store.removed == []


def test_a_daemon_that_does_not_answer_is_incomplete_with_nothing_removed(store: ImageStore) -> None:
    store.silent_after = 0
    with pytest.raises(IncompleteError, match="nothing was removed: docker: no answer from the daemon"):
        pruned(apply=True)


def test_a_daemon_that_goes_half_way_is_incomplete_with_what_was_removed(store: ImageStore) -> None:
    store.silent_after = 1
    with pytest.raises(IncompleteError, match="1 image removed, and then docker: no answer from the daemon"):
        pruned(apply=True)


@pytest.mark.parametrize(
    ("text", "age"), [("90m", timedelta(minutes=90)), ("24h", timedelta(days=1)), ("2w", timedelta(days=14))]
)
def test_an_age_is_a_number_with_its_unit(text: str, age: timedelta) -> None:
    assert read_age(text) == age


@pytest.mark.parametrize("text", ["", "7", "d", "-1d", "1y", "1.5h", "999999d"])
def test_what_is_no_age_is_refused_with_what_would_be_right(store: ImageStore, text: str) -> None:
    with pytest.raises(UsageError, match=r"--older-than: .* such as 7d"):
        pruned(older_than=text, apply=True)
    assert store.removed == []


def test_a_daemon_without_images_is_not_said_to_keep_any(store: ImageStore, capsys: pytest.CaptureFixture[str]) -> None:
    store.stored.clear()
    assert pruned() == 0
    assert "no image" in capsys.readouterr().out
