"""What `pullbench preflight` and `pullbench init` give a person and a CI, against real registries."""

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import xmlschema
import yaml

from benchmarks.debian_images import DebianBlob, DebianImage, push
from pullbench.model.manifest import OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST
from pullbench.model.platform import Platform
from tests.integration.conftest import StartRegistry
from tests.integration.real_registry import PASSWORD, USERNAME, RealRegistry
from tests.integration.shell import Done, Shell, hiding_places, holding

pytestmark = [pytest.mark.integration, pytest.mark.real]

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "specs" / "preflight.schema.json").read_text())
JENKINS = ROOT / "tests" / "preflight" / "junit-10.xsd"


def spec_of(registry: RealRegistry, *images: str, **more: Any) -> dict[str, Any]:
    return {
        "name": "outputs",
        "registries": [{"name": "local", "url": registry.url, "credentials": "anonymous"}],
        "images": list(images),
        "matrix": {"platforms": ["linux/amd64"]},
        **more,
    }


def preflight(shell: Shell, spec: dict[str, Any], *arguments: str, **environment: str) -> Done:
    (shell.folder / "spec.yaml").write_text(yaml.safe_dump(spec))
    return shell.run("preflight", "spec.yaml", *arguments, **environment)


def push_small(registry: RealRegistry, repository: str, tag: str = "1.0") -> None:
    """An image of linux/amd64 of a few bytes."""
    layer = DebianBlob.of(OCI_LAYER_GZIP, repository.encode())
    config = DebianBlob.of(OCI_CONFIG, json.dumps({"os": "linux", "architecture": "amd64"}).encode())
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": config.descriptor(),
        "layers": [layer.descriptor()],
    }
    manifest = DebianBlob.of(OCI_MANIFEST, json.dumps(document).encode())
    image = DebianImage(platform=Platform.parse("linux/amd64"), manifest=manifest, blobs=(config, layer))
    with registry.client() as client:
        push(client, repository, tag, image)


def test_junit_and_json_say_the_same_and_hold_to_their_schemas_also_when_a_check_fails(
    shell: Shell, plain_registry: RealRegistry, fresh: Callable[[], str]
) -> None:
    name = f"outputs/{fresh()}"
    push_small(plain_registry, name)
    (shell.folder / "Dockerfile").write_text("FROM debian:12\nMAINTAINER me\nUSER nobody\n")
    spec = spec_of(plain_registry, f"{name}:1.0", f"{name}:2.0", dockerfiles=["Dockerfile", "none/*"])
    done = preflight(shell, spec, "--json", "--junit", "out/junit.xml")
    assert done.code == 1, done.err
    document = done.document
    jsonschema.validate(document, SCHEMA)
    assert set(document) == set(SCHEMA["properties"]), "what is printed is what the schema describes"
    assert set(document["findings"][0]) == set(SCHEMA["$defs"]["FindingDocument"]["properties"])
    statuses = {(each["check"], each["target"]): each["status"] for each in document["findings"]}
    assert statuses["image", f"local {name}:1.0"] == "pass"
    assert statuses["image", f"local {name}:2.0"] == "fail"
    assert statuses["dockerfile", "Dockerfile"] == "fail"
    assert "error" not in statuses.values()

    root = ET.parse(shell.folder / "out" / "junit.xml").getroot()
    xmlschema.XMLSchema(str(JENKINS)).validate(root)
    cases = list(root.iter("testcase"))
    assert len(cases) == len(document["findings"]) == len({case.get("name") for case in cases})
    tags = {"failure": "fail", "error": "error", "skipped": "skip"}
    told = {
        case.get("name"): next((tags[child.tag] for child in case if child.tag in tags), "pass or warn")
        for case in cases
    }
    expected = {f"{check} {target}": status for (check, target), status in statuses.items()}
    assert told == {name: "pass or warn" if status in ("pass", "warn") else status for name, status in expected.items()}
    assert list((shell.folder / "out").iterdir()) == [shell.folder / "out" / "junit.xml"], "nothing is left beside it"


def test_a_person_sees_the_failure_last_with_what_to_do(
    shell: Shell, plain_registry: RealRegistry, fresh: Callable[[], str]
) -> None:
    name = f"outputs/{fresh()}"
    push_small(plain_registry, name)
    done = preflight(shell, spec_of(plain_registry, f"{name}:1.0", f"{name}:2.0"), "--only", "content", "--only", "api")
    assert done.code == 1, done.err
    lines = done.out.splitlines()
    failed = next(number for number, line in enumerate(lines) if line.startswith("  fail  image"))
    assert f"{name}:2.0" in lines[failed]
    command = f"`skopeo list-tags --tls-verify=false docker://{plain_registry.host}/{name}`"
    assert lines[failed + 1].startswith("      → ")
    assert lines[failed + 1].endswith(command), "no command is folded where there is no terminal"
    assert lines[-1].startswith("fail: 1 fail, ")
    assert not [line for line in lines if line != line.rstrip()]


def test_a_junit_file_that_cannot_be_written_is_told_before_anything_is_asked(shell: Shell) -> None:
    spec = {"name": "x", "registries": [{"name": "eu", "url": "http://127.0.0.1:1"}], "images": ["a:1"]}
    done = preflight(shell, spec, "--junit", ".")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("pullbench: --junit .: is a directory;") and done.err.count("\n") == 1


def test_no_secret_is_in_any_output_of_a_preflight(shell: Shell, docker_registry: StartRegistry) -> None:
    registry = docker_registry(htpasswd=True)
    push_small(registry, "app")
    spec = spec_of(registry, "app:1.0")
    spec["registries"][0]["credentials"] = "env:REG"
    done = preflight(shell, spec, "--json", "--junit", "junit.xml", REG_USERNAME=USERNAME, REG_PASSWORD=PASSWORD)
    assert done.code == 0, done.out
    places = hiding_places([shell.folder], done)
    assert holding(PASSWORD, places) == []
    assert holding(f"{USERNAME}:{PASSWORD}", places) == []
    assert USERNAME in done.out, "who is asked for is told, and the search finds what is there"


def test_a_first_spec_from_a_compose_file_is_ready_for_preflight(
    shell: Shell, plain_registry: RealRegistry, fresh: Callable[[], str]
) -> None:
    names = [f"outputs/{fresh()}" for _ in range(2)]
    for name in names:
        push_small(plain_registry, name)
    services = {
        f"s{number}": {"image": f"{plain_registry.host}/{name}:${{TAG:-1.0}}"} for number, name in enumerate(names)
    }
    (shell.folder / "compose.yaml").write_text(yaml.safe_dump({"services": {**services, "own": {"build": "."}}}))
    made = shell.run("init", "--from", "compose.yaml")
    assert made.code == 0, made.err
    assert "service own: " in made.err
    document = shell.run(
        "preflight", "pullbench.yaml", "--json", "--only", "content", "--set", "matrix.platforms=[linux/amd64]"
    ).document
    passed = {(each["check"], each["target"]) for each in document["findings"] if each["status"] == "pass"}
    assert {("platform", f"local {name}:1.0 linux/amd64") for name in names} <= passed
    assert document["status"] in ("pass", "warn")
