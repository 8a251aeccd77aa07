"""From a notebook to one self-contained HTML page: papermill runs it, nbconvert writes it.

A notebook's cells run in this process, which the worker starts for reports alone: a kernel of its own would be a second
process that imports the same again.
"""

import io
import json
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from types import FrameType
from typing import Any

import matplotlib.backends.backend_svg
import matplotlib.figure  # noqa: F401  (drawing is what a page imports last, and it takes longest)
import papermill
import scipy.stats  # noqa: F401  (the statistics import it where they need it, so a page would wait for it)
from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from nbconvert.exporters.templateexporter import TemplateExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode, from_dict
from papermill.engines import Engine, NotebookExecutionManager, papermill_engines
from papermill.exceptions import PapermillExecutionError
from traitlets import Type
from traitlets.config import Config

import pullbench.report.run.page  # noqa: F401
from pullbench.report.render.home_link import HIDDEN
from pullbench.report.render.html import css, unboxed

KERNEL = "pullbench"
CELL_TIMEOUT_S = 300
_HERE = Path(__file__).parent
_node_of: Any = from_dict  # which is untyped
_HIDDEN = {"remove_cell", "parameters", "injected-parameters"}


class CellError(Exception):
    """A cell raised: the heading it stands under, its number, and what it raised."""

    def __init__(self, cell: str, count: int | None, error: str) -> None:
        super().__init__(error)
        self.cell = cell
        self.count = count


def make_page(notebook: str, executed: str, parameters: dict[str, Any], *, title: str) -> str:
    """Run a notebook with its parameters, keep it as `executed`, and return its page; raises CellError."""
    papermill_engines.register(KERNEL, InThisProcess)
    try:
        done = papermill.execute_notebook(
            notebook,
            executed,
            parameters=parameters,
            engine_name=KERNEL,
            kernel_name=KERNEL,
            language="python",
            progress_bar=False,
            autosave_cell_every=0,
            request_save_on_cell_execute=False,
        )
    except PapermillExecutionError as error:
        where = _title_of_failed(Path(executed))
        raise CellError(where, error.exec_count, f"{error.ename}: {error.evalue}") from error
    return page_of(done, title)


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


def _output(kind: str, **content: Any) -> NotebookNode:
    made: NotebookNode = _node_of({"output_type": kind, **content})
    return made


class _ResultHook(DisplayHook):
    """Keeps a cell's last value as its output."""

    def __call__(self, result: Any = None) -> None:
        shell: Any = self.shell
        if result is not None:
            data, metadata = shell.display_formatter.format(result)
            output = _output("execute_result", data=data, metadata=metadata, execution_count=shell.cell_number)
            shell.outputs.append(output)


class _DisplayHook(DisplayPublisher):
    """Keeps what a cell displays as its output."""

    def publish(self, data: Any, metadata: Any = None, *_options: Any, **_more: Any) -> None:
        shell: Any = self.shell
        shell.outputs.append(_output("display_data", data=data, metadata=metadata or {}))


class NotebookShell(InteractiveShell):
    """IPython as a kernel has it, without the kernel: what a cell shows becomes nodes of the notebook."""

    displayhook_class = Type(_ResultHook)
    display_pub_class = Type(_DisplayHook)
    outputs: list[Any]
    cell_number = 0

    def _showtraceback(self, etype: type, evalue: BaseException, stb: list[str]) -> None:
        self.outputs.append(_output("error", ename=etype.__name__, evalue=str(evalue), traceback=stb))

    def show_cell(self, source: str, number: int) -> tuple[list[Any], BaseException | None]:
        """Run one cell; its outputs, and what it raised."""
        self.outputs, self.cell_number = [], number
        printed = {"stdout": io.StringIO(), "stderr": io.StringIO()}
        with redirect_stdout(printed["stdout"]), redirect_stderr(printed["stderr"]), _time_limit(CELL_TIMEOUT_S):
            run: Any = self.run_cell
            done = run(source, store_history=False)
        failure = done.error_before_exec or done.error_in_exec
        if failure is not None and not any(output.output_type == "error" for output in self.outputs):
            self._showtraceback(type(failure), failure, [])
        streams = [_output("stream", name=name, text=text.getvalue()) for name, text in printed.items()]
        return [*(stream for stream in streams if stream.text), *self.outputs], failure


class InThisProcess(Engine):  # type: ignore[misc]
    """papermill's engine whose cells run in this process, in a namespace that each notebook finds empty."""

    @classmethod
    def execute_managed_notebook(cls, nb_man: NotebookExecutionManager, *_kernel: Any, **_options: Any) -> None:
        shell: Any = NotebookShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
        shell.reset(new_session=False)
        nb_man.nb.metadata["language_info"] = {"name": "python"}
        number = 0
        for index, cell in enumerate(nb_man.nb.cells):
            nb_man.cell_start(cell, index)
            failure = None
            if cell.cell_type == "code" and cell.source.strip():
                number += 1
                cell.execution_count = number
                cell.outputs, failure = shell.show_cell(cell.source, number)
            if failure is not None:
                nb_man.cell_exception(cell, index, exception=failure)
                break
            nb_man.cell_complete(cell, index)


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in a cell that runs for longer."""

    def end(_signal: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"the cell ran for more than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def page_of(notebook: Any, title: str) -> str:
    """The HTML of an executed notebook (an nbformat node): its markdown and its HTML outputs, without code.

    A section, a markdown cell with what follows it, is left out where it has nothing to show.
    """
    cells = [cell for cell in notebook.cells if not _HIDDEN & set(cell.metadata.get("tags", []))]
    notebook.cells = _with_content(cells)
    contents = _contents(notebook.cells)
    # Not HTMLExporter: it parses and rewrites the whole page for images that this one does not have.
    make: Any = TemplateExporter
    exporter = make(template_name="template", extra_template_basedirs=[str(_HERE)], template_extension=".html.j2")
    markdown = MarkdownWithMath(renderer=IPythonRenderer(escape=True, exclude_anchor_links=True))
    exporter.register_filter("markdown", markdown)
    exporter.register_filter("unboxed", unboxed)
    first = next((index for index, cell in enumerate(notebook.cells) if cell.cell_type == "markdown"), -1)
    resources = {"title": title, "css": css(), "contents": contents, "contents_before": first, "home_link": HIDDEN}
    body, _ = exporter.from_notebook_node(notebook, resources=resources)
    return re.sub(r"\n\s*\n+", "\n", str(body))


def heading(source: str) -> str | None:
    """The first heading of a markdown cell."""
    found = re.search(r"^#+ +(.+?)\s*$", source, flags=re.MULTILINE)
    return found[1] if found else None


def _with_content(cells: list[Any]) -> list[Any]:
    sections: list[list[Any]] = [[]]
    for cell in cells:
        if cell.cell_type == "markdown":
            sections.append([])
        sections[-1].append(cell)
    return [cell for section in sections if any(map(_shows, section)) for cell in section]


def _shows(cell: Any) -> bool:
    outputs = cell.get("outputs", [])
    return any(output.get("data", {}).get("text/html") for output in outputs)


def _contents(cells: list[Any]) -> list[dict[str, str]]:
    """The sections' titles; each cell gets the id that its entry points to."""
    made = []
    for cell in cells:
        title = heading(cell.source) if cell.cell_type == "markdown" else None
        if title is not None:
            cell.metadata["id"] = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
            made.append({"id": cell.metadata["id"], "title": title})
    return made
