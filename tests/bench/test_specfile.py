"""Reading a spec file: what is wrong is told in one line that names the file and the key path."""

from pathlib import Path

import pytest
import yaml

from pullbench.bench.specfile import load_spec
from pullbench.errors import UsageError
from pullbench.model.spec import Overrides
from tests.bench.samples import spec_data


def write(folder: Path, text: str) -> Path:
    path = folder / "spec.yaml"
    path.write_text(text)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path, yaml.safe_dump(spec_data()))


def refusal(path: Path, *sets: str) -> str:
    with pytest.raises(UsageError) as caught:
        load_spec(path, sets=sets)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_a_spec_is_read_with_its_defaults(path: Path) -> None:
    spec = load_spec(path).spec
    assert spec.matrix.cache == ["cold"]
    assert spec.timeout_s == 300


def test_a_missing_file_is_named_with_what_to_do(tmp_path: Path) -> None:
    said = refusal(tmp_path / "nowhere.yaml")
    assert "nowhere.yaml: " in said and "`pullbench init`" in said


def test_broken_yaml_is_named_with_its_line(tmp_path: Path) -> None:
    assert "spec.yaml:3:" in refusal(write(tmp_path, "name: a\nimages: [\n"))


def test_a_key_given_twice_is_refused_where_yaml_would_take_the_last(tmp_path: Path) -> None:
    assert "'name' is given twice" in refusal(write(tmp_path, "name: a\nname: b\n"))


@pytest.mark.parametrize("text", ["", "- a\n", "just text", "42"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    assert "`registries:`" in refusal(write(tmp_path, text))


def test_binary_content_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_bytes(b"\xff\xfe\x00\x80")
    assert "`registries:`" in refusal(path) or "is not YAML" in refusal(path)


@pytest.mark.parametrize(
    ("sets", "expected"),
    [
        (["repetitions=7"], ("repetitions", 7)),
        (["seed=3", "seed=4"], ("seed", 4)),
        (["budget.minutes=10"], ("budget.minutes", 10)),
        (["matrix.concurrency=[1, 8]"], ("matrix.concurrency", [1, 8])),
        (["images[1]=app/three:2"], ("images", ["app/one:1", "app/three:2"])),
        (["registries[0].region=us"], ("registries", None)),
    ],
)
def test_set_changes_a_value_by_its_key_path(path: Path, sets: list[str], expected: tuple[str, object]) -> None:
    spec = load_spec(path, sets=sets).spec
    value: object = spec
    for part in expected[0].split("."):
        value = getattr(value, part)
    if expected[1] is None:
        assert spec.registries[0].region == "us"
    else:
        assert value == expected[1]


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("repetitions", "write KEY=VALUE"),
        ("=3", "write KEY=VALUE"),
        ("images[9]=a:1", "has no entry [9]|no such key"),
        ("matrix.concurrency=[1", "is not YAML"),
        ("foo=1", "foo: unknown key"),
        ("matrix..x=1", "is not a key path"),
        ("name.first=x", "no such key|not inside a mapping"),
    ],
)
def test_a_set_that_makes_no_sense_is_refused(path: Path, assignment: str, message: str) -> None:
    text = refusal(path, assignment)
    assert any(part in text for part in message.split("|")), text


def test_overrides_of_the_form_replace_only_what_they_name(path: Path) -> None:
    spec = load_spec(path, overrides=Overrides(concurrency=[4], repetitions=9)).spec
    assert spec.matrix.concurrency == [4]
    assert spec.matrix.engines == ["scripted"]
    assert spec.repetitions == 9


def test_a_ca_file_is_relative_to_the_spec_and_must_exist(tmp_path: Path) -> None:
    data = spec_data()
    data["registries"][0]["ca_file"] = "ca.pem"
    path = write(tmp_path, yaml.safe_dump(data))
    assert "registries[0].ca_file: " in refusal(path)
    (tmp_path / "ca.pem").write_text("x")
    assert load_spec(path).spec.registries[0].ca_file == str(tmp_path / "ca.pem")


def test_the_hash_does_not_depend_on_where_the_spec_lies(tmp_path: Path) -> None:
    data = spec_data()
    data["registries"][0]["ca_file"] = "ca.pem"
    hashes = set()
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "ca.pem").write_text("x")
        hashes.add(load_spec(write(folder, yaml.safe_dump(data))).hash)
    assert len(hashes) == 1


def test_the_hash_changes_with_what_is_measured_but_not_with_the_budget(path: Path) -> None:
    plain = load_spec(path).hash
    assert load_spec(path, sets=["repetitions=3"]).hash != plain
    assert load_spec(path, sets=["budget.minutes=3"]).hash == plain
