"""The process that makes pages: one report after the other, for papermill is not thread-safe.

    python -m pullbench.report.render.worker

It reads jobs from stdin, a JSON line each: `{"notebook", "executed", "page", "title", "parameters"}`. For each it answers
with a JSON line on stdout: `{}` when the page is written, else what went wrong, `{"cell", "count", "error"}`, or `{"error"}`
where no cell is to blame. It ends with its stdin. What a page needs is imported before the first job comes.
"""

import json
import os
import sys
import traceback
from pathlib import Path
from typing import IO, Any

_NOT_NEEDED = ("rfc3987_syntax", "gcsfs", "boto3", "azure", "github")
"""What papermill and jsonschema import where it is installed, for notebooks in object stores and for a check of IRIs. No
report's notebook has either, and they take 40% of the start: a grammar is compiled, clients of clouds are loaded."""


def main(jobs: IO[str], answers: IO[str]) -> None:
    notebook = _imported()
    for line in jobs:
        answers.write(json.dumps(_answer(notebook, json.loads(line))) + "\n")
        answers.flush()


def _imported() -> Any:
    """The module that makes pages, imported without what it does not need; the results may, so only meanwhile."""
    modules: dict[str, Any] = sys.modules
    hidden = [name for name in _NOT_NEEDED if name not in modules]
    modules.update(dict.fromkeys(hidden))  # None is how Python says: not there
    try:
        from pullbench.report.render import notebook
    finally:
        for name in hidden:
            del modules[name]
    return notebook


def _answer(notebook: Any, job: dict[str, Any]) -> dict[str, Any]:
    try:
        page = notebook.make_page(job["notebook"], job["executed"], job["parameters"], title=job["title"])
        Path(job["page"]).write_text(page, encoding="utf-8")
    except notebook.CellError as error:
        return {"cell": error.cell, "count": error.count, "error": str(error)}
    except Exception as error:  # noqa: BLE001  (the next report shall not suffer from this one)
        traceback.print_exc()
        return {"error": f"{type(error).__name__}: {error}"}
    return {}


if __name__ == "__main__":
    # What a cell's libraries write to stdout or read from stdin must not reach the jobs and their answers.
    own_jobs, own_answers = os.fdopen(os.dup(0), encoding="utf-8"), os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    main(own_jobs, own_answers)
