"""Compose files are read as `docker compose config` reads them."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from pullbench.bench.discover import images_in
from pullbench.bench.found_image import Mention
from pullbench.bench.interpolation import env_file
from pullbench.bench.yaml_documents import documents_of


def read(folder: Path, files: Mapping[str, str], **environ: str) -> list[Mention]:
    """The mentions in the first file, with the others beside it."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    file = folder / next(iter(files))
    return list(images_in(documents_of(file.read_text()), environ, file))


def images(mentions: list[Mention]) -> dict[str, str]:
    return {mention.where.removeprefix("service "): mention.image for mention in mentions if mention.image}


def left_out(mentions: list[Mention]) -> dict[str, str]:
    return {mention.where: mention.why_not for mention in mentions if mention.why_not}


def test_variables_come_from_the_shell_then_from_env(tmp_path: Path) -> None:
    files = {
        "compose.yaml": "services: {a: {image: 'a:${TAG}'}, b: {image: 'b:${OTHER:-x}'}, c: {image: 'c:$MORE'}}",
        ".env": "TAG=file\nMORE=${TAG}-more\n",
    }
    assert images(read(tmp_path, files)) == {"a": "a:file", "b": "b:x", "c": "c:file-more"}
    assert images(read(tmp_path, files, TAG="shell")) == {"a": "a:shell", "b": "b:x", "c": "c:shell-more"}


def test_other_env_files_may_be_named(tmp_path: Path) -> None:
    files = {
        "compose.yaml": "services: {a: {image: 'a:${A}${B}'}}",
        ".env": "A=0",
        "one.env": "A=1\nB=1",
        "two.env": "B=2",
    }
    named = f"{tmp_path}/one.env,{tmp_path}/two.env"
    assert images(read(tmp_path, files, COMPOSE_ENV_FILES=named)) == {"a": "a:12"}
    assert images(read(tmp_path, files, COMPOSE_DISABLE_ENV_FILE="1")) == {}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("A=x", "x"),
        ("A = x", "x"),
        ("A: x", "x"),
        ("export A=x", "x"),
        ("# A=no\nA=x # a comment", "x"),
        ("A=x#y", "x#y"),
        ("A=", ""),
        ("A=#nothing", "#nothing"),
        ("A='$B'", "$B"),
        ('A="${B}"', "b"),
        ("A=$B-1", "b-1"),
        ("A=${NONE:-d}", "d"),
        ('A="x\\ty"', "x\ty"),
        ('A="one\ntwo"', "one\ntwo"),
        ('A="\\$B"', "$B"),
        ("A=x\r\nC=y", "x"),
        ("A=first\nA=last", "last"),
        ("A=x${NONE}y", "xy"),
        ("A='a b' # c", "a b"),
        ("A=a'b", "a'b"),
    ],
)
def test_an_env_file_is_read_as_compose_does(text: str, value: str) -> None:
    assert env_file(text, {"B": "b"})["A"] == value


def test_a_service_extends_another_of_its_file_or_of_another_file(tmp_path: Path) -> None:
    files = {
        "compose.yaml": """
services:
  base: {image: "base:1"}
  same: {extends: base}
  own: {extends: {service: base}, image: "own:1"}
  other: {extends: {service: web, file: common/base.yaml}}
  built: {extends: {service: made, file: common/base.yaml}}
  lost: {extends: {service: none}}
  gone: {extends: {service: web, file: none.yaml}}
  round: {extends: round}
""",
        "common/base.yaml": "services: {web: {extends: root}, root: {extends: {file: deep.yaml, service: d}}, made: {build: .}}",
        "common/deep.yaml": "services: {d: {image: 'deep:${TAG:-1}'}}",
    }
    found = read(tmp_path, files)
    assert images(found) == {"base": "base:1", "same": "base:1", "own": "own:1", "other": "deep:1"}
    assert set(left_out(found)) == {"service built", "service lost", "service gone", "service round"}


def test_included_files_count_with_their_own_env(tmp_path: Path) -> None:
    files = {
        "compose.yaml": "include: [sub/compose.yaml, {path: [two/a.yaml, two/b.yaml], env_file: two.env}]\nservices: {m: {image: 'm:1'}}",
        "sub/compose.yaml": "include: [more.yaml]\nservices: {s: {image: 's:${TAG}'}}",
        "sub/more.yaml": "services: {deep: {image: 'deep:1'}}",
        "sub/.env": "TAG=sub",
        "two/a.yaml": "services: {t: {image: 't:1'}, u: {image: 'u:${TAG}'}}",
        "two/b.yaml": "services: {t: {image: 't:2'}}",
        "two.env": "TAG=two",
    }
    assert images(read(tmp_path, files)) == {"deep": "deep:1", "s": "s:sub", "t": "t:2", "u": "u:two", "m": "m:1"}


@pytest.mark.parametrize(
    ("entry", "where"),
    [
        ("none.yaml", "include none.yaml"),
        ("compose.yaml", "include compose.yaml"),
        ("'oci://docker.io/team/compose:1'", "include oci://docker.io/team/compose:1"),
        ("'https://github.com/team/x.git'", "include https://github.com/team/x.git"),
        ("{path: bad.yaml}", "include bad.yaml"),
        ("'${NONE}.yaml'", "include ${NONE}.yaml"),
    ],
)
def test_an_include_that_cannot_be_read_is_told_and_hides_nothing(tmp_path: Path, entry: str, where: str) -> None:
    files = {"compose.yaml": f"include: [{entry}]\nservices: {{m: {{image: 'm:1'}}}}", "bad.yaml": "a: ["}
    found = read(tmp_path, files)
    assert images(found) == {"m": "m:1"}
    assert where in left_out(found)


def test_a_file_that_only_includes_is_a_compose_file(tmp_path: Path) -> None:
    files = {"compose.yaml": "include: [a.yaml]", "a.yaml": "services: {a: {image: 'a:1'}}"}
    assert images(read(tmp_path, files)) == {"a": "a:1"}


@pytest.mark.parametrize(
    ("name", "override"),
    [
        ("compose.yaml", "compose.override.yaml"),
        ("compose.yml", "compose.override.yml"),
        ("docker-compose.yml", "docker-compose.override.yml"),
        ("docker-compose.yaml", "docker-compose.override.yaml"),
    ],
)
def test_an_override_file_beside_a_default_name_counts(tmp_path: Path, name: str, override: str) -> None:
    files = {
        name: "services: {a: {image: 'a:1'}, b: {image: 'b:1', build: .}, c: {image: 'c:1'}}",
        override: "services: {a: {image: 'a:2'}, b: {build: !reset null}, c: {environment: {X: y}}, d: {image: 'd:1'}}",
    }
    assert images(read(tmp_path, files)) == {"a": "a:2", "b": "b:1", "c": "c:1", "d": "d:1"}


def test_a_file_of_another_name_has_no_override_file(tmp_path: Path) -> None:
    files = {"stack.yaml": "services: {a: {image: 'a:1'}}", "compose.override.yaml": "services: {a: {image: 'a:2'}}"}
    assert images(read(tmp_path, files)) == {"a": "a:1"}


def test_an_override_file_that_is_no_yaml_is_one_line(tmp_path: Path) -> None:
    files = {"compose.yaml": "services: {a: {image: 'a:1'}}", "compose.override.yaml": "a: ["}
    with pytest.raises(ValueError, match=r"compose\.override\.yaml: is not YAML in line"):
        read(tmp_path, files)


def test_what_no_registry_has_is_told(tmp_path: Path) -> None:
    services = """
services:
  never: {image: "a:1", pull_policy: never}
  build: {image: "a:1", pull_policy: build}
  made: {build: .}
  both: {build: {context: .}, image: "a:1"}
  nothing: {command: x}
  empty:
  number: {image: 12}
  unset: {image: "a:${NONE}"}
  asked: {image: "a:${NONE:?name a tag}"}
  plugin: {provider: {type: model}}
  debug: {image: "a:1", profiles: [debug]}
  missing: {image: "m:1", pull_policy: missing}
  always: {image: "n:1", pull_policy: "${POLICY:-always}"}
"""
    found = read(tmp_path, {"compose.yaml": services})
    assert images(found) == {"missing": "m:1", "always": "n:1"}
    assert len(left_out(found)) == 11
    assert "name a tag" in left_out(found)["service asked"]


@pytest.mark.parametrize(("active", "there"), [("debug", {"d", "x"}), ("*", {"d", "o", "x"}), ("a, other", {"o", "x"})])
def test_profiles_are_those_that_are_active(tmp_path: Path, active: str, there: set[str]) -> None:
    text = "services: {d: {image: 'd:1', profiles: [debug]}, o: {image: 'o:1', profiles: [other]}, x: {image: 'x:1', profiles: []}}"
    assert set(images(read(tmp_path, {"compose.yaml": text}, COMPOSE_PROFILES=active))) == there
    (tmp_path / ".env").write_text(f"COMPOSE_PROFILES={active}")
    assert set(images(read(tmp_path, {"compose.yaml": text}))) == there


def test_image_volumes_of_a_service_are_found(tmp_path: Path) -> None:
    text = "services: {a: {image: 'a:1', volumes: ['./x:/x', {type: image, source: 'v:${TAG:-1}', target: /v}]}}"
    assert images(read(tmp_path, {"compose.yaml": text})) == {"a": "a:1", "a, image volume": "v:1"}


def test_documents_of_one_file_are_merged(tmp_path: Path) -> None:
    text = "services: {a: {image: 'a:1'}}\n---\nservices: {a: {image: 'a:2'}, b: {image: 'b:1'}}"
    assert images(read(tmp_path, {"compose.yaml": text})) == {"a": "a:2", "b": "b:1"}


@pytest.mark.parametrize(
    "text",
    [
        "include: [/ci/jobs.yml]\nstages: [build]\nbuild: {image: 'a:1'}",
        "services: {web: {image: {repository: a, tag: 1}}}\nreplicaCount: 1",
        "kind: X\nservices: {a: {image: 'a:1'}}",
    ],
)
def test_a_file_of_another_program_is_no_compose_file(tmp_path: Path, text: str) -> None:
    assert [mention.image for mention in read(tmp_path, {"x.yaml": text})] == ["a:1"]
