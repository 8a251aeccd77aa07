"""The check `dockerfile`, with the real hadolint."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from pullbench.bench.specfile import load_spec
from pullbench.model.facts import Facts
from pullbench.model.finding import Finding, Status
from pullbench.preflight.check import Local
from pullbench.preflight.checks import dockerfile
from pullbench.preflight.checks.dockerfile import LintResult
from pullbench.preflight.context import CheckContext
from pullbench.preflight.runner import run_checks
from pullbench.registry.keychain import Keychain

FILE = Local(name="Dockerfile")
CLEAN = "FROM debian:12\nUSER nobody\n"
WARNING = "FROM debian\nUSER nobody\n"
ERROR = "FROM debian:12\nMAINTAINER me\nUSER nobody\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def lint(folder: Path, **spec: Any) -> list[Finding]:
    """The findings for a spec file in the folder."""
    data = {"name": "x", "registries": [{"name": "eu", "url": "http://127.0.0.1:1"}], "images": ["a:1"], **spec}
    (folder / "spec.yaml").write_text(yaml.safe_dump(data))
    facts = Facts(host_platform="linux/amd64", offline=True)
    with CheckContext(load_spec(folder / "spec.yaml").spec, facts, Keychain(environ={})) as context:
        return run_checks([dockerfile.CHECK], context)


def statuses(findings: list[Finding]) -> dict[str, str]:
    return {finding.target: finding.status.value for finding in findings}


def test_each_file_of_the_globs_has_a_finding_and_a_glob_without_a_file_is_a_warning(folder: Path) -> None:
    for name, text in {"clean": CLEAN, "warning": WARNING, "error": ERROR}.items():
        (folder / "services" / name).mkdir(parents=True)
        (folder / "services" / name / "Dockerfile").write_text(text)
    found = lint(folder, dockerfiles=["services/**/Dockerfile", "services/clean/*", "nowhere/Dockerfile"])
    assert statuses(found) == {
        "services/clean/Dockerfile": "pass",
        "services/error/Dockerfile": "fail",
        "services/warning/Dockerfile": "warn",
        "nowhere/Dockerfile": "warn",
    }
    by_target = {finding.target: finding for finding in found}
    failed = by_target["services/error/Dockerfile"]
    assert "line 2 DL4000 MAINTAINER" in failed.observed
    assert "hadolint services/error/Dockerfile" in failed.remedy
    assert json.loads(failed.evidence or "")["problems"][0]["code"] == "DL4000"
    assert by_target["nowhere/Dockerfile"].status is Status.WARN


def test_without_globs_there_is_nothing_to_look_at(folder: Path) -> None:
    assert lint(folder) == []


def test_the_threshold_decides_what_fails(folder: Path) -> None:
    (folder / "Dockerfile").write_text(WARNING)
    found = lint(folder, dockerfiles=["Dockerfile"], dockerfile_threshold="warning")
    assert statuses(found) == {"Dockerfile": "fail"}


def test_the_rules_of_the_repository_apply_from_any_working_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "repository" / "app").mkdir(parents=True)
    (folder / "repository" / ".hadolint.yaml").write_text("ignored: [DL4000]\n")
    (folder / "repository" / "app" / "Dockerfile").write_text(ERROR)
    assert lint(folder, dockerfiles=["repository/app/Dockerfile"])[0].status is Status.PASS
    (folder / "repository" / "app" / ".git").mkdir()
    assert lint(folder, dockerfiles=["repository/app/Dockerfile"])[0].status is Status.FAIL, "of another repository"
    monkeypatch.chdir("/")
    assert lint(folder, dockerfiles=["repository/app/Dockerfile"])[0].status is Status.FAIL


def test_variables_that_steer_hadolint_do_not_break_the_check(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "Dockerfile").write_text(ERROR)
    monkeypatch.setenv("HADOLINT_FORMAT", "tty")
    monkeypatch.setenv("HADOLINT_IGNORE", "DL4000")
    assert lint(folder, dockerfiles=["Dockerfile"])[0].status is Status.FAIL


def test_a_file_that_is_no_dockerfile_fails_where_it_cannot_be_read(folder: Path) -> None:
    (folder / "Dockerfile").write_text("RUNN x\x00\x1b[2J\n")
    (finding,) = lint(folder, dockerfiles=["Dockerfile"])
    assert finding.status is Status.FAIL
    assert "DL1000" in finding.observed
    assert "\x1b" not in finding.observed


def test_a_folder_with_brackets_in_its_name_is_no_pattern(folder: Path) -> None:
    place = folder / "a[b]"
    place.mkdir()
    (place / "Dockerfile").write_text(CLEAN)
    assert [finding.status for finding in lint(place, dockerfiles=["Dockerfile"])] == [Status.PASS]


def test_hadolint_that_is_missing_or_breaks_is_an_error_and_names_the_extra(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "Dockerfile").write_text(CLEAN)
    (folder / "bin").mkdir()
    monkeypatch.setattr(sys, "executable", str(folder / "bin" / "python"))
    monkeypatch.setenv("PATH", str(folder / "bin"))
    (missing,) = lint(folder, dockerfiles=["Dockerfile"])
    assert missing.status is Status.ERROR
    assert "pullbench[lint]" in missing.remedy
    broken = folder / "bin" / "hadolint"
    broken.write_text("#!/bin/sh\necho oh no >&2\n")
    broken.chmod(0o755)
    (finding,) = lint(folder, dockerfiles=["Dockerfile"])
    assert finding.status is Status.ERROR
    assert finding.observed.endswith(": oh no")


def problem(level: str) -> dict[str, Any]:
    return {"level": level, "code": "DL1", "line": 1, "message": "m"}


@pytest.mark.parametrize(
    ("threshold", "level", "status"),
    [
        ("error", "error", Status.FAIL),
        ("error", "warning", Status.WARN),
        ("error", "info", Status.PASS),
        ("warning", "warning", Status.FAIL),
        ("warning", "info", Status.PASS),
        ("info", "info", Status.FAIL),
        ("info", "style", Status.PASS),
        ("style", "style", Status.FAIL),
        ("style", "ignore", Status.PASS),
    ],
)
def test_a_severity_is_judged_by_the_threshold(threshold: str, level: str, status: Status) -> None:
    evidence = LintResult(threshold=threshold, version="2.12.0", problems=(problem(level),))
    assert [finding.status for finding in dockerfile.judge(evidence, FILE)] == [status]


def test_many_problems_are_counted_and_the_worst_are_told() -> None:
    problems = (*[problem("info")] * 5, problem("error") | {"code": "DL9", "line": 7})
    (finding,) = dockerfile.judge(LintResult(threshold="error", version="2.12.0", problems=problems), FILE)
    assert finding.observed.startswith("1 error, 5 info: line 7 DL9")
    assert finding.observed.endswith("; and 3 more")
