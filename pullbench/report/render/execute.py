"""Runs one notebook and writes its page: the process that `report.render` starts, for papermill is not thread-safe.

    python -m pullbench.report.render.execute JOB.json

The job: `{"notebook", "executed", "page", "title", "parameters"}`. What went wrong is one JSON line on stdout,
`{"cell", "count", "error"}`, and exit code 1; the page is then not written.
"""

import json
import sys
from pathlib import Path
from typing import Any

import papermill
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.paths import jupyter_runtime_dir
from papermill.exceptions import PapermillExecutionError
from traitlets import default

from pullbench.report.render.page import heading, page_of

KERNEL = "pullbench"
CELL_TIMEOUT_S = 300


class ThisPython(KernelSpecManager):
    """Knows one kernel: the interpreter that runs this; a `python3` installed elsewhere is not asked."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """The same kernel, whatever the name."""
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=argv, display_name=kernel_name, language="python")


class ThisKernel(AsyncKernelManager):
    """A kernel of this interpreter, reached over sockets in the file system: nothing listens on a port."""

    @default("kernel_spec_manager")
    def _this_python(self) -> KernelSpecManager:
        return ThisPython(parent=self)

    @default("transport")
    def _local(self) -> str:
        return "ipc"

    @default("ip")
    def _sockets(self) -> str:
        """Jupyter's own default is a name in the working folder, which two reports at once would share."""
        folder = Path(jupyter_runtime_dir())
        folder.mkdir(parents=True, exist_ok=True)
        return str(folder / "kernel")


def main(job_file: str) -> int:
    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    try:
        notebook = papermill.execute_notebook(
            job["notebook"],
            job["executed"],
            parameters=job["parameters"],
            kernel_name=KERNEL,
            kernel_manager_class=ThisKernel,
            language="python",
            progress_bar=False,
            autosave_cell_every=0,
            request_save_on_cell_execute=False,
            start_timeout=60,
            execution_timeout=CELL_TIMEOUT_S,
        )
    except PapermillExecutionError as error:
        title = _title_of_failed(Path(job["executed"]))
        return _failed(cell=title, count=error.exec_count, error=f"{error.ename}: {error.evalue}")
    Path(job["page"]).write_text(page_of(notebook, job["title"]), encoding="utf-8")
    return 0


def _failed(**what: Any) -> int:
    sys.stdout.write(json.dumps(what) + "\n")
    return 1


def _title_of_failed(executed: Path) -> str:
    """The heading under which the failed cell stands."""
    title = "the start"
    for cell in json.loads(executed.read_text(encoding="utf-8"))["cells"]:
        # papermill puts a note of its own before the failed cell.
        if cell["cell_type"] == "markdown" and "papermill-error-cell-tag" not in cell["metadata"].get("tags", []):
            title = heading("".join(cell["source"])) or title
        elif any(output["output_type"] == "error" for output in cell.get("outputs", [])):
            break
    return title


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
