"""`pullbench init`: a first spec from what is already deployed."""

import io
import json
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pullbench.bench.specfile import load_spec
from pullbench.cli import init as command
from pullbench.errors import ErrorCode, RegistryError, UsageError
from pullbench.model.spec_schema import spec_schema
from tests.cli.command_lines import parsed

COMPOSE = {
    "services": {
        "app": {"image": "ghcr.io/team/app:1"},
        "web": {"image": "ghcr.io/team/web:${TAG:-2.1}"},
        "numbers": {"image": "ghcr.io/12:34"},
        "lost": {"image": "${TEMPLATE}"},
        "built": {"build": "."},
        "db": {"image": "postgres:16"},
    }
}
POD = "kind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c, image: 'docker.io/library/redis:7'}]}\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the test's own, without any configuration of Docker, and no daemon."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "docker_answers", lambda: False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    (tmp_path / "compose.yaml").write_text(yaml.safe_dump(COMPOSE, sort_keys=False))
    (tmp_path / "pod.yaml").write_text(POD)
    return tmp_path


def init(*sources: str, out: str = "pullbench.yaml", registry: str | None = None, images: tuple[str, ...] = ()) -> Any:
    assert command.init(source=list(sources), out=Path(out), registry=registry, image=list(images)) == 0
    return yaml.safe_load(Path(out).read_text())


def test_the_images_of_the_registry_that_has_most_make_the_spec(capsys: pytest.CaptureFixture[str]) -> None:
    written = init("compose.yaml")
    assert written["registries"] == [{"name": "ghcr", "url": "https://ghcr.io", "credentials": "anonymous"}]
    assert written["images"] == ["team/app:1", "team/web:2.1", "12:34"]
    out, err = capsys.readouterr()
    assert "pullbench.yaml: 3 images of https://ghcr.io" in out
    assert "left out: service lost: ${TEMPLATE}: the variable TEMPLATE is not set" in err
    assert "left out: service built: " in err
    assert "next: pullbench preflight pullbench.yaml" in out


def test_what_is_written_is_a_valid_spec_and_says_where_each_image_was_found(folder: Path) -> None:
    init("compose.yaml")
    assert load_spec(folder / "pullbench.yaml").spec.name == "ghcr"
    text = (folder / "pullbench.yaml").read_text()
    assert "- team/app:1  # service app" in text


def test_the_command_for_the_images_of_another_registry_is_told_and_works(capsys: pytest.CaptureFixture[str]) -> None:
    init("compose.yaml", "pod.yaml")
    again = "pullbench init --from compose.yaml --from pod.yaml --registry registry-1.docker.io --out pullbench-docker-hub.yaml"
    out = capsys.readouterr().out
    assert "2 images" in out and again in out
    assert again in Path("pullbench.yaml").read_text()
    written = init("compose.yaml", "pod.yaml", registry="docker.io", out="hub.yaml")
    assert written["registries"][0]["url"] == "https://registry-1.docker.io"
    assert written["images"] == ["library/postgres:16", "library/redis:7"]


def test_a_registry_of_which_nothing_was_found_is_refused() -> None:
    with pytest.raises(UsageError, match=r"there are: ghcr\.io, registry-1\.docker\.io"):
        init("compose.yaml", registry="quay.io")


def test_stdin_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(POD.encode())))
    assert init("-")["images"] == ["library/redis:7"]


def test_credentials_are_docker_where_its_configuration_has_them(folder: Path) -> None:
    (folder / "docker").mkdir()
    (folder / "docker" / "config.json").write_text(json.dumps({"auths": {"ghcr.io": {"auth": "YW5uOnNlY3JldA=="}}}))
    assert init("compose.yaml")["registries"][0]["credentials"] == "docker"
    assert "secret" not in (folder / "pullbench.yaml").read_text()


def test_images_beyond_the_first_few_are_there_as_comments(folder: Path) -> None:
    services = {f"s{number}": {"image": f"ghcr.io/app-{number}:1"} for number in range(12)}
    (folder / "many.yaml").write_text(yaml.safe_dump({"services": services}, sort_keys=False))
    assert len(init("many.yaml")["images"]) == 8
    assert "  # - app-11:1  # service s11" in (folder / "pullbench.yaml").read_text()


def test_a_file_that_is_there_is_never_written_over(folder: Path) -> None:
    (folder / "pullbench.yaml").write_text("mine")
    (folder / "dangling.yaml").symlink_to(folder / "elsewhere")
    for name in ("pullbench.yaml", "dangling.yaml"):
        with pytest.raises(UsageError, match="exists"):
            init("compose.yaml", out=name)
    assert (folder / "pullbench.yaml").read_text() == "mine"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a: [", "--from bad.yaml: is not YAML in line"),
        ("services: {a: {build: .}}", "(left out: service a: "),
        ("just text", "no image found"),
        ("", "no image found"),
        ('{{ include "x" }}: {{ y }}', "helm template"),
    ],
)
def test_a_file_without_images_is_a_wrong_call_told_in_one_line(folder: Path, content: str, said: str) -> None:
    (folder / "bad.yaml").write_text(content)
    with pytest.raises(UsageError) as caught:
        init("bad.yaml")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (folder / "pullbench.yaml").exists()


@pytest.mark.parametrize("hostile", ["x\ninjected: true", "x\x1b[2J", "#'\"{}{name}"])
def test_what_a_service_is_called_stays_a_comment(folder: Path, hostile: str) -> None:
    (folder / "odd.yaml").write_text(yaml.safe_dump({"services": {hostile: {"image": "ghcr.io/a:1"}}}))
    assert set(init("odd.yaml")) == {"name", "registries", "images", "matrix", "repetitions", "budget"}
    assert "\x1b" not in (folder / "pullbench.yaml").read_text()


def test_a_daemon_that_does_not_answer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> frozenset[str]:
        raise RegistryError(ErrorCode.ENGINE_UNAVAILABLE, "docker unix:///x", "no answer")

    monkeypatch.setattr("pullbench.daemon.docker.DockerDaemon.info", refuse)
    with pytest.raises(UsageError, match="--from docker: docker unix:///x: no answer"):
        init("docker")


def test_a_first_spec_is_made_for_the_registry_that_was_named() -> None:
    written = init(registry="http://registry", images=("nginx:1",))
    assert written["registries"] == [{"name": "registry", "url": "http://registry", "credentials": "anonymous"}]
    assert written["images"] == ["nginx:1"]


@pytest.mark.parametrize(
    ("registry", "image", "reference"),
    [
        ("http://127.0.0.1:5917", "127.0.0.1:5917/team/app:1.0", "team/app:1.0"),
        ("https://registry-1.docker.io", "docker.io/library/postgres:16", "library/postgres:16"),
        ("docker.io", "postgres:16", "library/postgres:16"),
        (None, "127.0.0.1:5917/team/app:1.0", "team/app:1.0"),
    ],
)
def test_an_image_may_be_given_as_it_is_pulled(registry: str | None, image: str, reference: str) -> None:
    assert init(registry=registry, images=(image,))["images"] == [reference]


def test_sources_and_images_together_are_refused() -> None:
    with pytest.raises(UsageError, match="leave out --image or --from"):
        init("compose.yaml", images=("a:1",))


def test_an_editor_finds_the_schema_beside_the_spec(folder: Path) -> None:
    init("compose.yaml")
    first = (folder / "pullbench.yaml").read_text().splitlines()[0]
    assert first == "# yaml-language-server: $schema=pullbench.schema.json"
    assert (folder / "pullbench.schema.json").read_text() == spec_schema()


def test_in_a_project_the_spec_names_the_schema_of_the_project(folder: Path) -> None:
    (folder / "specs").mkdir()
    (folder / "specs" / "spec.schema.json").write_text("{}")
    init("compose.yaml")
    init("compose.yaml", out="specs/mine.yaml")
    assert "$schema=specs/spec.schema.json" in (folder / "pullbench.yaml").read_text()
    assert "$schema=spec.schema.json" in (folder / "specs" / "mine.yaml").read_text()
    assert not (folder / "pullbench.schema.json").exists()


def test_a_schema_of_ours_is_brought_up_to_date_and_another_file_stays(folder: Path) -> None:
    schema = folder / "pullbench.schema.json"
    schema.write_text('{"title": "pullbench spec", "old": true}')
    init("compose.yaml")
    assert schema.read_text() == spec_schema()
    schema.write_text("mine")
    init("compose.yaml", out="second.yaml")
    assert schema.read_text() == "mine"


def test_the_slo_is_there_as_a_comment(folder: Path) -> None:
    init("compose.yaml")
    text = (folder / "pullbench.yaml").read_text()
    _, _, section = text.partition("# slo:\n")
    uncommented = yaml.safe_load("slo:\n" + section.replace("#   ", "  "))
    assert yaml.safe_load(text).get("slo") is None
    assert set(uncommented["slo"]) == {"success_rate", "p95_pull_s", "consecutive_failures"}


def test_docker_is_measured_beside_wire_where_a_daemon_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    assert init("compose.yaml")["matrix"]["engines"] == ["wire"]
    monkeypatch.setattr(command, "docker_answers", lambda: True)
    assert init("compose.yaml", out="both.yaml")["matrix"]["engines"] == ["docker", "wire"]


def test_images_of_the_local_daemon_are_measured_by_wire_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "docker_answers", lambda: True)
    image = {"RepoTags": ["ghcr.io/a:1"], "RepoDigests": [f"ghcr.io/a@sha256:{'0' * 64}"]}
    monkeypatch.setattr("pullbench.daemon.docker.DockerDaemon.info", lambda _: {})
    monkeypatch.setattr("pullbench.daemon.docker.DockerDaemon.images", lambda _: [image])
    assert init("docker")["matrix"]["engines"] == ["wire"]


def test_a_service_that_is_built_is_left_out_even_with_an_image(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    services = {"own": {"build": ".", "image": "ghcr.io/team/own:dev"}, "app": {"image": "ghcr.io/team/app:1"}}
    (folder / "built.yaml").write_text(yaml.safe_dump({"services": services}))
    assert init("built.yaml")["images"] == ["team/app:1"]
    assert "left out: service own: " in capsys.readouterr().err


def test_the_first_spec_is_golden(golden: Callable[[str, str], None], folder: Path) -> None:
    init("compose.yaml", "pod.yaml")
    golden("first-spec.yaml", (folder / "pullbench.yaml").read_text())


def test_a_project_says_what_comes_next(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.init(project=Path("bench")) == 0
    assert {"prefect.yaml", "specs", "notebooks"} <= {path.name for path in Path("bench").iterdir()}
    out = capsys.readouterr().out
    assert "cd bench" in out and "--registry URL --image REF" in out
    for name in re.findall(r"specs/\w+\.yaml", out):
        assert (Path("bench") / name).is_file()


def test_a_project_measures_the_registry_that_was_named_in_every_spec(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.init(project=Path("bench"), registry="http://127.0.0.1:5917", image=["team/app:1", "b:2"]) == 0
    assert "2 images of http://127.0.0.1:5917" in capsys.readouterr().out
    for path in Path("bench/specs").glob("*.yaml"):
        spec = load_spec(path).spec
        assert (spec.registries[0].url, spec.images) == ("http://127.0.0.1:5917", ["team/app:1", "b:2"])


def test_a_project_measures_the_images_that_were_found(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.init(project=Path("bench"), source=["compose.yaml", "pod.yaml"]) == 0
    assert load_spec(Path("bench/specs/concurrency.yaml")).spec.images == ["team/app:1", "team/web:2.1", "12:34"]
    out, err = capsys.readouterr()
    assert "left out: service lost" in err
    (again,) = re.findall(r"not in it: .*: pullbench (init .*)", out)
    assert parsed(shlex.split(again))[1]["out"] == Path("bench/specs/first-docker-hub.yaml")


def test_a_project_that_is_there_keeps_its_specs() -> None:
    assert command.init(project=Path("bench")) == 0
    with pytest.raises(UsageError, match="specs"):
        command.init(project=Path("bench"), registry="http://127.0.0.1:5917", image=["team/app:1"])


def test_a_registry_without_images_fills_no_project() -> None:
    with pytest.raises(UsageError, match="--image REF"):
        command.init(project=Path("bench"), registry="http://127.0.0.1:5917")
    assert not Path("bench").exists()
