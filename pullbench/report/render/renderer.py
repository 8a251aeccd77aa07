"""The process that makes reports, seen from outside: started early, given one job after the other, ended.

It gets no environment but what Python needs, and folders of its own for Jupyter's and IPython's settings: what a user
configured there does not change a report, and no secret of the environment can get into one.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from threading import Lock, Timer
from types import TracebackType
from typing import IO, Any, Self
from urllib.parse import urlsplit

from pullbench.errors import IncompleteError
from pullbench.report.core.stored import RESULTS_URL_VARIABLE

ROOT = Path(__file__).parents[3]
TIMEOUT_S = 900
_KEPT = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "SYSTEMROOT",
    "XDG_CACHE_HOME",
)
_STORAGE = ("AWS_", "AZURE_", "GOOGLE_", "FSSPEC_")
"""What fsspec's clients of object stores read; passed on only where the results are in one."""


class Renderer:
    """Makes the reports of one results store, in one process, one after the other.

    A context manager. Entering it starts the process and does not wait for it: it imports what it needs meanwhile, on a core
    of its own, so enter it when no trial runs any more. A report that fails harms no other: a process that died or was
    stopped is replaced by the next job's.
    """

    def __init__(self, results_url: str) -> None:
        self.results_url = absolute_url(results_url)
        self._lock = Lock()
        self._process: subprocess.Popen[str] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._errors: IO[str] | None = None

    def __enter__(self) -> Self:
        try:
            self._folder = tempfile.TemporaryDirectory(prefix="pullbench-")
            self._start(Path(self._folder.name))
        except OSError as error:
            raise IncompleteError(
                f"the report cannot be made here: {error.filename or 'a process'}: {error.strerror or error}; the results are "
                "stored: `pullbench report RUN_ID` makes it later"
            ) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()  # between two jobs it has nothing to finish
        if self._folder is not None:
            self._folder.cleanup()

    def page(self, notebook: Path, parameters: Mapping[str, Any], executed: Path, *, title: str) -> bytes:
        """Run a notebook, keep it as `executed`, and return its page; raises IncompleteError where a cell failed."""
        if self._folder is None:
            raise ValueError("the renderer is not entered")
        with self._lock:
            folder = Path(self._folder.name)
            made = folder / "page.html"
            made.unlink(missing_ok=True)
            job = {"notebook": str(notebook), "executed": str(executed), "page": str(made), "title": title}
            self._ask(job | {"parameters": dict(parameters)}, folder, executed)
            return made.read_bytes()

    def _ask(self, job: Mapping[str, Any], folder: Path, executed: Path) -> None:
        kept = f"the notebook so far is {executed}, the results are stored"
        process = self._process if self._process is not None and self._process.poll() is None else self._start(folder)
        late = Timer(TIMEOUT_S, process.kill)
        late.start()
        try:
            _stdin(process).write(json.dumps(job) + "\n")
            _stdin(process).flush()
            answer = _stdout(process).readline()
        except OSError:
            answer = ""
        finally:
            in_time = late.is_alive()
            late.cancel()
        if not in_time:
            process.wait()
            raise IncompleteError(f"the report was not done after {TIMEOUT_S} s; {kept}")
        where = _failure(answer) if answer else self._last_words(process)
        if where is not None:
            raise IncompleteError(f"the report failed in {where}; {kept}")

    def _start(self, folder: Path) -> "subprocess.Popen[str]":
        self._stop()
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pullbench.report.render.worker"],
            env=environment(folder, self.results_url, os.environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            encoding="utf-8",
        )
        return self._process

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                with suppress(OSError):
                    if pipe is not None:
                        pipe.close()
        if self._errors is not None:
            self._errors.close()
        self._process = self._errors = None

    def _last_words(self, process: "subprocess.Popen[str]") -> str:
        """Why the process ended before it answered."""
        code = process.wait()
        if self._errors is None:
            return f"exit code {code}"
        self._errors.seek(0)
        return _line((self._errors.read().strip().splitlines() or [f"exit code {code}"])[-1])


def absolute_url(results_url: str) -> str:
    """The URL of a results folder wherever it is looked at from."""
    return results_url if "://" in results_url else str(Path(results_url).resolve())


def environment(folder: Path, results_url: str, variables: Mapping[str, str]) -> dict[str, str]:
    """The variables of the process: what Python needs, the whole URL of the results, and nothing else."""
    remote = urlsplit(results_url).scheme not in ("", "file")
    kept = {name: value for name, value in variables.items() if name in _KEPT or (remote and name.startswith(_STORAGE))}
    own = {
        name: str(folder / "jupyter")
        for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR", "XDG_CONFIG_HOME")
    }
    path = os.pathsep.join(filter(None, [str(ROOT), variables.get("PYTHONPATH", "")]))
    fixed = {"JUPYTER_NO_CONFIG": "1", "JUPYTER_PLATFORM_DIRS": "1", RESULTS_URL_VARIABLE: results_url}
    return kept | own | fixed | {"PYTHONPATH": path, "PYTHONIOENCODING": "utf-8", "MPLBACKEND": "svg"}


def _failure(answer: str) -> str | None:
    """Where and why a report failed, from the process's answer; None where it is made."""
    found = json.loads(answer)
    if "cell" in found:
        return f"cell [{found['count']}], '{found['cell']}': {_line(found['error'])}"
    return _line(found["error"]) if "error" in found else None


def _stdin(process: "subprocess.Popen[str]") -> IO[str]:
    assert process.stdin is not None
    return process.stdin


def _stdout(process: "subprocess.Popen[str]") -> IO[str]:
    assert process.stdout is not None
    return process.stdout


def _line(text: str) -> str:
    first = text.strip().splitlines()[0] if text.strip() else "no reason was given"
    return first if len(first) <= 300 else first[:299] + "…"
