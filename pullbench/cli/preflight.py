"""`preflight`: all checks of all targets, without load."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pullbench.cli.options import Json, Only, Sets, Skip, SpecFile
from pullbench.cli.terminal.console import excluded_lines, stdout_console, waiting
from pullbench.cli.terminal.safe_text import literal
from pullbench.errors import UsageError
from pullbench.serving.secrets import read_block

if TYPE_CHECKING:
    from pullbench.app.preflight import Checked

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def preflight(
    spec: SpecFile,
    as_json: Json = False,
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write JUnit XML, for Jenkins or GitLab.")
    ] = None,
    only: Only = None,
    skip: Skip = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Show every finding in full, also passed and skipped checks.")
    ] = False,
    sets: Sets = None,
) -> int:
    """Check registries, proxies, images and clients. No load.

    Checks that fail say what was found, what was expected and what to do. Exit code 1: a check failed; 3: a check could not
    run.
    """
    from pullbench.app.preflight import check, exit_code, verdict
    from pullbench.preflight.junit import junit_xml

    if junit is not None:
        _refuse_unwritable(junit)
    checked_at = datetime.now(UTC)
    with waiting("checking"):
        checked = check(spec, sets=sets or [], only=only or [], skip=skip or [], environ=os.environ, block=read_block)
    _print(checked, everything=everything, as_json=as_json)
    if junit is not None:
        _write_junit(junit, junit_xml(checked.findings, name=checked.name, checked_at=checked_at))
    if checked.nothing_left is not None:
        raise checked.nothing_left
    return exit_code(verdict(checked.findings)[0])


def _print(checked: "Checked", *, everything: bool, as_json: bool) -> None:
    from pullbench.app.preflight import verdict
    from pullbench.cli.terminal.findings import STATUS_STYLES, findings_view
    from pullbench.model.finding import findings_document

    if as_json:
        document = findings_document(checked.findings)
        print(json.dumps(document | {"planned_out": dict(checked.planned_out)}, indent=2))
        return
    status, sentence = verdict(checked.findings)
    stdout = stdout_console(folds_in_pipes=False)
    stdout.print(findings_view(checked.findings, everything=everything))
    for line in excluded_lines(checked.planned_out):
        stdout.print(literal(line))
    if not everything:
        stdout.print()
        sentence += "; --all shows every finding in full"
    stdout.print(literal(sentence, style=STATUS_STYLES[status]))


def _refuse_unwritable(file: Path) -> None:
    if file.is_dir():
        raise UsageError(f"--junit {file}: is a directory; name a file in it")
    if file.parent.exists() and not os.access(file.parent, os.W_OK):
        raise UsageError(f"--junit {file}: the directory is not writable")


def _write_junit(file: Path, content: bytes) -> None:
    from pullbench.store.files import put_on_disk

    try:
        put_on_disk(file, content)
    except OSError as error:
        raise UsageError(f"--junit {file}: cannot be written: {error.strerror}") from error
