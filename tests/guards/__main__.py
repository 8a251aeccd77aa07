"""Takes guards out, one after the other, and shows that a test fails each time: `python -m tests.guards prove [WORD]`."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.guards import ROOT, Guard
from tests.guards.pages import EVERY, PAGES

_COPIED = ("pullbench", "flows", "tasks", "tests", "benchmarks", "specs", "docs", "notebooks", "monitoring")
_TIMEOUT_S = 180


def passes(folder: Path, guard: Guard) -> bool:
    """Whether the guard's test passes on the code in a folder."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", guard.test]
    command += ["-m", guard.needs] if guard.needs else []
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    if done.returncode not in (0, 1):
        raise SystemExit(f"{guard.test} could not be run:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.returncode == 0


def prove(folder: Path, guard: Guard) -> str:
    """`ok`, or what is wrong with the guard or its test."""
    file = folder / guard.file
    text = file.read_text(encoding="utf-8")
    if text.count(guard.whole) != 1:
        return "the guard is not found"
    if not passes(folder, guard):
        return "the test fails though the guard is there"
    file.write_text(text.replace(guard.whole, guard.without), encoding="utf-8")
    try:
        return "the test passes though the guard is out" if passes(folder, guard) else "ok"
    finally:
        file.write_text(text, encoding="utf-8")


def main(arguments: list[str]) -> int:
    if arguments == ["tables"]:
        for page in PAGES:
            page.write()
        return 0
    if not arguments or arguments[0] != "prove":
        sys.stderr.write("python -m tests.guards tables | prove [WORD]\n")
        return 2
    word = arguments[1] if len(arguments) > 1 else ""
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="pullbench-guards-") as name:
        folder = Path(name)
        for part in _COPIED:
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        for path in ROOT.glob("*.*"):
            if path.is_file():
                shutil.copy(path, folder)
        for guard in EVERY:
            if word in f"{guard.against} {guard.file} {guard.test}":
                found = prove(folder, guard)
                wrong += found != "ok"
                print(f"{found:45} {guard.against}: {guard.function}: {guard.test}", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
