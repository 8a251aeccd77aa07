"""The pipelines of monitoring/ci call commands and options that there are."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from pullbench.bench.specfile import load_spec
from pullbench.preflight.checks import CHECKS
from pullbench.preflight.runner import select
from tests.cli.command_lines import commands_in, parsed

ROOT = Path(__file__).parents[2]
CI = ROOT / "monitoring" / "ci"
# What YAML reads as a number is the hardest to take as a label.
VARIABLES = {"BUILD_TAG": "jenkins-api-117", "CI_PIPELINE_ID": "9917", "RESULTS": "s3://bucket/results"}


def jenkins() -> list[str]:
    return re.findall(r"\bsh '([^']*)'", (CI / "Jenkinsfile").read_text())


def gitlab() -> list[str]:
    jobs = yaml.safe_load((CI / ".gitlab-ci.yml").read_text())
    return [line for job in jobs.values() if isinstance(job, dict) for line in job.get("script", ())]


PIPELINES = {"Jenkinsfile": jenkins, ".gitlab-ci.yml": gitlab}


def calls(pipeline: str) -> list[tuple[str, dict[str, Any]]]:
    return [parsed(arguments) for arguments in commands_in(PIPELINES[pipeline](), VARIABLES)]


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_a_pipeline_lints_checks_measures_and_compares_with_commands_and_options_that_there_are(pipeline: str) -> None:
    assert [name for name, _ in calls(pipeline)] == ["preflight", "preflight", "run", "compare"]


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_a_pipeline_installs_from_the_pinned_lock_and_calls_what_it_installed(pipeline: str) -> None:
    text = (CI / pipeline).read_text()
    assert "make -C pullbench install" in text
    assert re.search(r"""PATH ?= ?"\$\{?(WORKSPACE|PWD)\}?/pullbench/\.venv/bin:""", text)
    assert "$(BIN)/pullbench" in (ROOT / "Makefile").read_text()


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_what_a_pipeline_sets_in_the_spec_is_right_also_where_a_build_is_a_number(pipeline: str) -> None:
    for name, parameters in calls(pipeline):
        if name == "run":
            spec = load_spec(ROOT / "specs" / "first.yaml", sets=parameters["sets"]).spec
            assert spec.labels["build"]
            assert spec.repetitions >= 3


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_a_pipeline_compares_the_run_that_it_labelled(pipeline: str) -> None:
    by_name = dict(calls(pipeline))
    (label,) = [text for text in by_name["run"]["sets"] if text.startswith("labels.")]
    assert f"labels.{by_name['compare']['candidate']}" == label
    assert by_name["compare"]["results"] == by_name["run"]["results"]


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_the_checks_that_a_pipeline_names_are_checks_and_their_xml_is_collected(pipeline: str) -> None:
    text = (CI / pipeline).read_text()
    for name, parameters in calls(pipeline):
        if name == "preflight":
            select(CHECKS, only=frozenset(parameters["only"] or ()), skip=frozenset(parameters["skip"] or ()))
            junit = str(parameters["junit"])
            assert f"junit: {junit}" in text or ("junit/*.xml" in text and junit.startswith("junit/"))


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_the_report_is_kept_whatever_came_of_it(pipeline: str) -> None:
    text = (CI / pipeline).read_text()
    assert "reports/" in text
    assert re.search(r"always", text)


def test_a_call_that_is_wrong_is_seen() -> None:
    for line in ("pullbench preflite x", "pullbench run x --frob", "pullbench runs prune --kepe 1", "pullbench run"):
        (arguments,) = commands_in([line], {})
        with pytest.raises(Exception, match=r"No such|Missing"):
            parsed(arguments)
    assert parsed(["runs", "prune", "--keep", "3"])[0] == "runs prune"
    assert parsed(["runs", "--json"])[0] == "runs"
