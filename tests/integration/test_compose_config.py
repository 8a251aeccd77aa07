"""What pullbench reads in compose files is what `docker compose config` prints.

Of the machine's Compose, where it has version 2. With PULLBENCH_MODERN=1 it must have it.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pullbench.bench.discover import images_in
from pullbench.bench.yaml_documents import documents_of

pytestmark = [pytest.mark.integration, pytest.mark.modern]

_BASE: dict[str, str] = {
    "compose.yaml": """
x-shared: &shared {image: "shared:${TAG}"}
include: [sub/compose.yaml, {path: [two/a.yaml], env_file: two.env}]
services:
  default: {image: "d:${NONE:-x}-${EMPTY-y}-${EMPTY:-z}-${TAG:+t}-${NONE+u}$$"}
  nested: {image: "n:${NONE:-${ALSO_NONE:-${TAG}}}"}
  merge: {<<: *shared, restart: always}
  same: {extends: default}
  other: {extends: {service: web, file: common/base.yaml}}
  chain: {extends: {service: end, file: common/base.yaml}, profiles: []}
  debug: {image: "debug:1", profiles: [debug]}
  over: {image: "over:1"}
  quoted: {image: "q:${SINGLE}-${DOUBLE}-${COMMENT}-${EXPORTED}-${HASH}"}
""",
    "compose.override.yaml": "services: {over: {image: 'over:2'}, more: {image: 'more:${SHELL_WINS}'}}",
    ".env": "TAG=1.2\nEMPTY=\nSINGLE='$TAG'\nDOUBLE=\"${TAG}\"\nCOMMENT=c # no\nexport EXPORTED=e\nHASH=a#b\nSHELL_WINS=no\n",
    "common/base.yaml": "services: {web: {image: 'web:${TAG}'}, end: {extends: {file: deep/deep.yaml, service: d}}}",
    "common/deep/deep.yaml": "services: {d: {image: 'deep:${TAG}'}}",
    "sub/compose.yaml": "include: [more.yaml]\nservices: {s: {image: 's:${TAG}-${SUB}'}}",
    "sub/more.yaml": "services: {m: {image: 'm:${SUB:-none}'}}",
    "sub/.env": "TAG=sub\nSUB=s",
    "two/a.yaml": "services: {t: {image: 't:${TWO}'}}",
    "two.env": "TWO=${TAG}-2",
}
_PROJECTS: dict[str, Mapping[str, str]] = {
    "as it is": _BASE,
    "two documents": {
        "compose.yaml": "services: {a: {image: 'a:1'}, b: {image: 'b:1'}}\n---\nservices: {a: {image: 'a:2'}}"
    },
    "docker-compose.yml": {
        "docker-compose.yml": "services: {a: {image: 'a:1'}, b: {image: 'b:1'}}",
        "docker-compose.override.yml": "services: {a: {image: 'a:2'}}",
    },
    "another directory": {
        "compose.yaml": "include: [{path: sub/c.yaml, project_directory: other}]\nservices: {z: {image: z}}",
        "sub/c.yaml": "services: {a: {image: 'a:${T:-none}'}, b: {extends: {file: x.yaml, service: b}}}",
        "sub/.env": "T=sub",
        "sub/x.yaml": "services: {b: {image: 'b:sub'}}",
        "other/.env": "T=other",
        "other/x.yaml": "services: {b: {image: 'b:other'}}",
    },
    "an override that extends": {
        "compose.yaml": "services: {a: {image: 'a:1'}, p: {image: p, profiles: [p]}, q: {extends: p}}",
        "compose.override.yaml": "services: {a: {extends: c}, c: {image: 'c:1'}}",
    },
    "an odd .env": {
        "compose.yaml": "services: {a: {image: '${A}-${B}-${C}-${D}-${E}-${F}-${H}-${J-unset}-${K-unset}'}}",
        ".env": "A=x#y\nB= lead\nC='a b' # c\nD=\"x\\\\y\"\nE=a'b\nF: yaml\nH=${NONE:-d}\nJ=${NONE}\nK\n",
    },
    "reset": {
        "compose.yaml": "services: {a: {image: 'a:1', build: .}, b: {image: 'b:1', profiles: [p]}}",
        "compose.override.yaml": "services: {a: {build: !reset null}, b: {profiles: !override []}}",
    },
    "dates": {
        "compose.yaml": "x-d: [=, 2024-02-30]\nservices: {a: {image: 'a:1', labels: {at: 2024-02-30, n: 12:34}}}"
    },
}


@pytest.fixture(scope="module")
def compose() -> list[str]:
    """The command of Compose 2 or later."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]) is None:
            continue
        told = subprocess.run([*command, "version", "--short"], capture_output=True, text=True, check=False, timeout=60)
        if told.returncode == 0 and not told.stdout.strip().removeprefix("v").startswith("1."):
            return command
    return (pytest.fail if os.environ.get("PULLBENCH_MODERN") == "1" else pytest.skip)(
        "Docker Compose 2 is not installed"
    )


def _write(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder / next(iter(files))


@pytest.mark.parametrize("environ", [{}, {"COMPOSE_PROFILES": "debug"}, {"SHELL_WINS": "yes", "TAG": "shell"}])
@pytest.mark.parametrize("project", list(_PROJECTS))
def test_the_images_are_those_of_docker_compose_config(
    tmp_path: Path, compose: list[str], project: str, environ: dict[str, str]
) -> None:
    file = _write(tmp_path, _PROJECTS[project])
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **environ}
    told = subprocess.run(
        [*compose, "config", "--format", "json"],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert told.returncode == 0, told.stderr
    services: dict[str, Any] = json.loads(told.stdout)["services"]
    expected = {
        name: service["image"].replace("$$", "$") for name, service in services.items() if "build" not in service
    }
    mentions = images_in(documents_of(file.read_text()), environ, file)
    assert {mention.where.removeprefix("service "): mention.image for mention in mentions if mention.image} == expected
