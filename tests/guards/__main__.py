"""Takes guards out, one after the other, and shows that a test fails each time: `python -m tests.guards prove [WORD]`."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.guards import ROOT, Guard
from tests.guards.pages import EVERY, PAGES

_COPIED = ("pullbench", "flows", "tasks", "tests", "benchmarks", "specs", "docs", "notebooks", "monitoring")
_TIMEOUT_S = 600


def passes(folder: Path, tests: list[str], needs: str) -> bool:
    """Whether tests pass on the code in a folder."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    command += ["-m", needs] if needs else []
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    if done.returncode not in (0, 1):
        raise SystemExit(f"{tests} could not be run:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.returncode == 0


def taken_out(folder: Path, guard: Guard) -> str:
    """`ok`, or what is wrong with the guard or its test."""
    file = folder / guard.file
    text = file.read_text(encoding="utf-8")
    if text.count(guard.whole) != 1:
        return "the guard is not found"
    file.write_text(text.replace(guard.whole, guard.without), encoding="utf-8")
    try:
        return "the test passes though the guard is out" if passes(folder, [guard.test], guard.needs) else "ok"
    finally:
        file.write_text(text, encoding="utf-8")


def prove(guards: Sequence[Guard], folder: Path) -> int:
    """How many guards have no test that passes with them and fails without; a line each."""
    for needs in sorted({guard.needs for guard in guards}):
        tests = sorted({guard.test for guard in guards if guard.needs == needs})
        if not passes(folder, tests, needs):
            sys.stderr.write(f"a test fails though every guard is there: pytest {' '.join(tests)}\n")
            return 1
    wrong = 0
    for guard in guards:
        found = taken_out(folder, guard)
        wrong += found != "ok"
        print(f"{found:42} {guard.against}: {guard.function}: {guard.test}", flush=True)
    return wrong


def main(arguments: list[str]) -> int:
    if arguments == ["tables"]:
        for page in PAGES:
            page.write()
        return 0
    if not arguments or arguments[0] != "prove":
        sys.stderr.write("python -m tests.guards tables | prove [WORD]\n")
        return 2
    word = arguments[1] if len(arguments) > 1 else ""
    chosen = [guard for guard in EVERY if word in f"{guard.against} {guard.function} {guard.file} {guard.test}"]
    with tempfile.TemporaryDirectory(prefix="pullbench-guards-") as name:
        folder = Path(name)
        for part in _COPIED:
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        for path in ROOT.glob("*.*"):
            if path.is_file():
                shutil.copy(path, folder)
        return 1 if prove(chosen, folder) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
