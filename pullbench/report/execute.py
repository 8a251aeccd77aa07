"""Runs one notebook and writes its page: the process that `report.render` starts, for papermill is not thread-safe.

    python -m pullbench.report.execute JOB.json

The job: `{"notebook", "executed", "page", "title", "parameters"}`. What went wrong is one JSON line on stdout,
`{"cell", "count", "error"}`, and exit code 1; the page is then not written.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
import papermill
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from papermill.exceptions import PapermillExecutionError
from traitlets import default

from pullbench.report.page import heading, page_of

KERNEL = "pullbench"
CELL_TIMEOUT_S = 300


class ThisPython(KernelSpecManager):  # type: ignore[misc]
    """Knows one kernel: the interpreter that runs this; a `python3` installed elsewhere is not asked."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """The same kernel, whatever the name."""
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=argv, display_name=kernel_name, language="python")


class ThisKernel(AsyncKernelManager):  # type: ignore[misc]
    """A kernel of this interpreter, reached over sockets in the file system: nothing listens on a port."""

    @default("kernel_spec_manager")
    def _this_python(self) -> KernelSpecManager:
        return ThisPython(parent=self)

    @default("transport")
    def _local(self) -> str:
        return "ipc"


def main(job_file: str) -> int:
    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    try:
        papermill.execute_notebook(
            job["notebook"],
            job["executed"],
            parameters=job["parameters"],
            kernel_name=KERNEL,
            kernel_manager_class=ThisKernel,
            language="python",
            progress_bar=False,
            autosave_cell_every=0,
            start_timeout=60,
            execution_timeout=CELL_TIMEOUT_S,
        )
    except PapermillExecutionError as error:
        return _failed(
            cell=_title(job["executed"], error), count=error.exec_count, error=f"{error.ename}: {error.evalue}"
        )
    notebook: Any = nbformat.read(job["executed"], as_version=4)
    Path(job["page"]).write_text(page_of(notebook, job["title"]), encoding="utf-8")
    return 0


def _failed(**what: Any) -> int:
    sys.stdout.write(json.dumps(what) + "\n")
    return 1


def _title(executed: str, error: PapermillExecutionError) -> str:
    """The heading under which the failed cell stands."""
    notebook: Any = nbformat.read(executed, as_version=4)
    title = "the start"
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and "papermill-error-cell-tag" not in cell.metadata.get("tags", []):
            title = heading(cell.source) or title
        elif _is_failed(cell):
            break
    del error
    return title


def _is_failed(cell: Mapping[str, Any]) -> bool:
    return any(output.get("output_type") == "error" for output in cell.get("outputs", []))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
