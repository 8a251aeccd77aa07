"""`pullbench images push` in this process, on a registry of a few lines: what it says, writes and refuses."""

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from pullbench.bench.specfile import load_spec
from pullbench.cli import main as cli
from pullbench.registry.client import RegistryClient
from tests.registry.fake_registry import URL, manifest_of
from tests.registry.push_registry import PushRegistry, refusal

Shell = Callable[..., tuple[int, str, str]]
SMALL = ("--size", "300kB", "--count", "2", "--layers", "3")


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> PushRegistry:
    """What the command pushes to."""
    registry = PushRegistry()
    monkeypatch.setattr("pullbench.registry.client.RegistryClient", partial(RegistryClient, transport=registry))
    return registry


@pytest.fixture
def push(
    registry: PushRegistry, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Shell:
    """Runs `pullbench images push` there: its exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("signal.signal", lambda *_: None)

    def run(*arguments: str, url: str = URL) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["pullbench", "images", "push", url, *arguments])
        monkeypatch.setattr(cli, "_exit", sys.exit)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


def tags(registry: PushRegistry) -> list[str]:
    return sorted(f"{repository}:{name}" for repository, name in registry.manifests if not name.startswith("sha256:"))


def test_it_pushes_and_prints_the_spec_that_pulls_the_images(push: Shell, registry: PushRegistry) -> None:
    code, out, err = push(*SMALL)
    assert code == 0
    assert tags(registry) == ["pullbench/realistic-1:seed-1", "pullbench/realistic-2:seed-1"]
    assert err.splitlines()[0].startswith("pushing 2 images, ")
    assert err.splitlines()[-1].startswith("pushed 2 images: ")
    Path("spec.yaml").write_text(out)
    spec = load_spec(Path("spec.yaml")).spec
    assert sorted(spec.images) == tags(registry)
    assert spec.registries[0].url == URL
    assert spec.labels == {"workload": "realistic", "seed": "1"}


def test_a_second_push_sends_nothing_and_says_so(push: Shell, registry: PushRegistry) -> None:
    first = push(*SMALL)
    registry.asked.clear()
    code, out, err = push(*SMALL)
    assert (code, out) == (0, first[1])
    assert "nothing was pushed" in err and "all 2 images" in err
    assert registry.sent() == []


def test_more_of_a_fixed_preset_leaves_what_is_there(push: Shell, registry: PushRegistry) -> None:
    push("--preset", "zb", "--count", "1")
    _, out, _ = push("--preset", "zb", "--count", "2", "--json")
    document = json.loads(out)
    assert [image["outcome"] for image in document["images"]] == ["there", "pushed"]
    assert (document["pushed"], document["there"], document["blobs_sent"]) == (1, 1, 2)


def test_the_spec_is_written_where_it_is_wanted_and_again_the_same(push: Shell, tmp_path: Path) -> None:
    for _ in range(2):
        code, out, _ = push(
            *SMALL, "--spec-out", "bench.yaml", "--platform", "linux/amd64", "--platform", "linux/arm64"
        )
        assert (code, out.count("\n")) == (0, 1)
        assert out.startswith("bench.yaml: ") and "pullbench run bench.yaml" in out
    text = (tmp_path / "bench.yaml").read_text()
    assert "pullbench run bench.yaml" in text
    assert yaml.safe_load(text)["matrix"]["platforms"] == ["linux/amd64", "linux/arm64"]


def test_fresh_images_are_new_each_time_and_their_seed_is_told(push: Shell, registry: PushRegistry) -> None:
    seeds = []
    for option in ("--fresh", "--unique"):
        _, out, err = push(*SMALL, option, "--json")
        seeds.append(json.loads(out)["seed"])
        assert f"--seed {seeds[-1]} " in err
    assert seeds[0] != seeds[1]
    assert len(tags(registry)) == 4
    registry.asked.clear()
    push(*SMALL, "--seed", str(seeds[0]))
    assert registry.sent() == []


def test_with_json_stdout_holds_one_document(push: Shell) -> None:
    code, out, _ = push(*SMALL, "--json", "--spec-out", "bench.yaml")
    document: dict[str, Any] = json.loads(out)
    assert code == 0
    assert document["registry"] == URL
    assert document["spec"] == "bench.yaml"
    assert document["pushed"] == len(document["images"]) == 2
    assert document["bytes_sent"] > 0


def test_a_tag_that_is_not_ours_is_exit_2_and_nothing_is_sent(push: Shell, registry: PushRegistry) -> None:
    registry.put("pullbench/realistic-2", "seed-1", manifest_of(b"{}"))
    code, out, err = push(*SMALL, "--replace")
    assert (code, out) == (2, "")
    assert "pullbench/realistic-2:seed-1 is not an image of pullbench" in err
    assert registry.sent() == []


def test_another_seeds_tag_wants_replace(push: Shell, registry: PushRegistry) -> None:
    push(*SMALL, "--tag", "v1")
    code, _, err = push(*SMALL, "--tag", "v1", "--seed", "2")
    assert code == 2
    assert (
        "has another workload (realistic seed 1; its options or its seed differ): use another tag, or overwrite it with --replace"
        in err
    )
    assert push(*SMALL, "--tag", "v1", "--seed", "2", "--replace")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset", "harbor"], "--preset: 'harbor' is not known; there are: zb"),
        (["--size", "much"], "--size: 'much' is not a size"),
        (["--size", "1kB"], "--size: "),
        (["--count", "0"], "--count: 0 is not between 1 and 10000"),
        (["--share", "2"], "--share: 2.0 is not between 0 and 1"),
        (["--layers", "500"], "--layers: 500 is not between 1 and 120"),
        (["--seed", "-1"], "--seed: -1 is not between 0 and"),
        (["--seed", "1", "--fresh"], "--fresh: "),
        (["--workers", "0"], "--workers: 0 is not between 1 and 64"),
        (["--platform", "amd64"], "--platform: 'amd64' is not a platform"),
        (["--platform", "linux/arm64", "--platform", "linux/arm64"], "--platform: linux/arm64 is listed twice"),
        (["--repository", "Team/App"], "--repository, --tag: 'Team/App/realistic-1' is not a repository name"),
        (["--tag", ""], "--repository, --tag: 'pullbench/realistic-1:' ends in ':' without a tag"),
        (["--tag", "a tag"], "--repository, --tag: 'a tag' is not a tag"),
        (["--credentials", "hunter2"], "--credentials: is none of: docker"),
        (["--ca-file", "nowhere.pem"], "--ca-file nowhere.pem: no such file"),
        (["--spec-out", "no/such/spec.yaml"], "--spec-out no/such/spec.yaml: "),
        (["--spec-out", "taken.yaml"], "--spec-out taken.yaml: exists"),
        (["--spec-out", "."], "--spec-out .: cannot be used (IsADirectoryError)"),
    ],
)
def test_a_mistake_is_one_line_and_exit_2_before_anything_is_contacted(
    push: Shell, registry: PushRegistry, arguments: list[str], message: str
) -> None:
    Path("taken.yaml").write_text("name: mine\n")
    code, out, err = push(*arguments)
    assert (code, out) == (2, "")
    assert message in err.splitlines()[-1]
    assert "hunter2" not in err
    assert registry.asked == []


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("registry.example.com", "REGISTRY: 'registry.example.com' is not a URL: https://HOST[:PORT]"),
        ("https://ann:hunter2@registry.example.com", "REGISTRY: has credentials"),
        ("https://registry.example.com/project", "REGISTRY: has a path or a query"),
    ],
)
def test_a_registry_that_is_no_url_is_refused_and_no_secret_is_repeated(push: Shell, url: str, message: str) -> None:
    code, out, err = push(url=url)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert "hunter2" not in err


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (401, 1, "log in as a user who may push"),
        (403, 1, "push permission"),
        (405, 1, "(read-only, or a mirror)"),
        (507, 3, "the registry's disk is full"),
    ],
)
def test_a_registry_that_refuses_is_one_line_with_the_right_code(
    push: Shell, registry: PushRegistry, status: int, code: int, message: str
) -> None:
    registry.fault = lambda asked: refusal(status) if asked.method == "POST" else None
    found, out, err = push(*SMALL)
    assert (found, out) == (code, "")
    assert err.startswith("pushing 2 images")
    assert message in err.splitlines()[1]
    assert len(err.splitlines()) == 2


def test_a_failure_after_the_first_image_is_incomplete_and_says_how_to_go_on(
    push: Shell, registry: PushRegistry
) -> None:
    second = "/pullbench/realistic-2/blobs/uploads/"
    registry.fault = lambda asked: refusal(403) if asked.method == "POST" and second in asked.url.path else None
    code, _, err = push(*SMALL, "--workers", "1")
    assert code == 3
    assert "1 of 2 images" in err
    code, _, err = push(*SMALL, "--workers", "1", "--fresh")
    assert code == 3
    assert "the printed --seed in place of --fresh continues" in err


def test_an_interruption_is_exit_3_and_says_how_to_go_on(
    push: Shell, registry: PushRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pullbench.registry.push.push_workload", interrupted)
    code, out, err = push(*SMALL)
    assert (code, out) == (3, "")
    assert "interrupted; 0 of 2 images" in err
