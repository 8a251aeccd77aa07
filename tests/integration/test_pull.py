"""`pullbench pull` of a real image from a registry on this machine."""

import re
from pathlib import Path

import pytest

from pullbench.lab.embedded import EmbeddedLab
from tests.integration.shell import Shell

pytestmark = [pytest.mark.integration]


def test_one_image_is_measured_without_a_spec(lab: EmbeddedLab, tmp_path: Path) -> None:
    shell = Shell(tmp_path, {"DOCKER_CONFIG": str(tmp_path / "none"), "DOCKER_HOST": f"unix://{tmp_path}/none.sock"})
    spec = lab.spec(True)
    host = spec["registries"][0]["url"].removeprefix("http://")
    done = shell.run("pull", f"{host}/{spec['images'][0]}", "-n", "3", "--json")
    assert done.code == 0, done.err
    [configuration] = done.document["cells"]
    assert (configuration["engine"], configuration["pulls"], configuration["succeeded"]) == ("wire", 3, 3)
    assert not (tmp_path / "reports").exists()
    assert done.document["run_id"] in shell.run("runs").out


def test_an_image_that_there_is_not_ends_with_one_line(lab: EmbeddedLab, tmp_path: Path) -> None:
    shell = Shell(tmp_path, {"DOCKER_CONFIG": str(tmp_path / "none"), "DOCKER_HOST": f"unix://{tmp_path}/none.sock"})
    host = lab.spec(True)["registries"][0]["url"].removeprefix("http://")
    done = shell.run("pull", f"{host}/no/such:1", "--json")
    assert done.code == 1
    assert len(re.findall("^pullbench: ", done.err, re.MULTILINE)) == 1
