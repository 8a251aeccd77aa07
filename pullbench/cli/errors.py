"""`errors`: what an error code, a finding of preflight or a check means, and what to do, without a network."""

import re
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group
from rich.text import Text

from pullbench.cli.terminal.console import stdout_console
from pullbench.cli.terminal.hanging_text import HangingText
from pullbench.cli.terminal.safe_text import literal
from pullbench.errors import ErrorCode, UsageError
from pullbench.model.text import did_you_mean

if TYPE_CHECKING:
    from pullbench.preflight.check import Check, FindingKind

Section = Sequence[tuple[str, Sequence[str]]]
"""What is printed about a name: titles, each with its lines."""
CHECKS_PAGE = "docs/checks.md"
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
"""A link of Markdown: a terminal shows its text."""

app = typer.Typer(add_completion=False, rich_markup_mode=None)


def known_names() -> list[str]:
    """Everything that the command explains."""
    return list(_sections())


@app.command()
def errors(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME",
            help="Error codes, findings or checks. Without a name, all are listed.",
            autocompletion=known_names,
        ),
    ] = None,
) -> int:
    """Explain an error code or a finding: causes, and what to do.

    A failed pull has an error code. A finding of preflight has one too, or a kind such as tls-expires-soon. Each name is also an
    anchor in docs/errors.md or docs/checks.md.
    """
    known, asked = _sections(), list(dict.fromkeys(names or []))
    sections = [section for name in asked for section in known.get(name, ())] if asked else _list()
    stdout = stdout_console(folds_in_pipes=False)
    for number, section in enumerate(sections):
        if number:
            stdout.print()
        stdout.print(_view(section))
    if unknown := [name for name in asked if name not in known]:
        quoted = ", ".join(f"'{name}'" for name in unknown)
        hints = " ".join(dict.fromkeys(_hint(name, known) for name in unknown))
        raise UsageError(f"errors: {quoted} {'is' if len(unknown) == 1 else 'are'} not known; {hints}")
    return 0


def _hint(name: str, known: Collection[str]) -> str:
    close = did_you_mean(name, known)
    return close if close.endswith("?") else "`pullbench errors` lists all names"


def _view(section: Section) -> Group:
    """The titles with their lines next to them; a title without lines is a line of its own."""
    width = max(len(title) for title, lines in section if lines) + 1
    parts: list[HangingText | Text] = []
    for title, lines in section:
        if not lines:
            parts.append(literal(title, style="bold"))
        for number, line in enumerate(lines):
            before = literal((title if number == 0 else "").ljust(width), style="bold")
            parts.append(HangingText(before=before, text=literal(_LINK.sub(r"\1", line)), indent=0))
    return Group(*parts)


def _list() -> list[Section]:
    """The names by kind, each with what it means."""
    from pullbench.model.error_guide import GUIDES
    from pullbench.preflight.check import COULD_NOT_RUN
    from pullbench.preflight.checks import CHECKS

    kinds = [(check.id, [", ".join(check.kinds) or "-"]) for check in CHECKS]
    return [
        [("Error codes", []), *((code.value, [GUIDES[code].meaning]) for code in ErrorCode)],
        [("Checks, and their findings without an error code", []), *kinds, ("each", [", ".join(COULD_NOT_RUN)])],
    ]


def _sections() -> dict[str, list[Section]]:
    """Each name with its sections: two for `dns` and `proxy`, which are error codes and checks."""
    from pullbench.preflight.check import COULD_NOT_RUN
    from pullbench.preflight.checks import CHECKS

    found: dict[str, list[Section]] = {code.value: [_of_code(code)] for code in ErrorCode}
    for check in CHECKS:
        found.setdefault(check.id, []).append(_of_check(check))
    for kinds in (*(check.kinds for check in CHECKS), COULD_NOT_RUN):
        found |= {name: [_of_kind(name, kind)] for name, kind in kinds.items()}
    return found


def _of_code(code: ErrorCode) -> Section:
    from pullbench.model.error_guide import GUIDES, address_of, comes_from, remedies

    cures = [f"{case}: {text}" if case else text for case, text in remedies(code)]
    return [
        (f"Error code {code}", []),
        ("Means", [GUIDES[code].meaning]),
        ("From", [comes_from(code)]),
        ("Causes", _listed(GUIDES[code].causes)),
        ("What to do", cures if len(cures) == 1 else _listed(cures)),
        ("Page", [address_of(code)]),
    ]


def _of_check(check: "Check[Any, Any]") -> Section:
    return [
        (f"Check {check.id}", []),
        ("Looks at", [check.looks_at]),
        *((status.value, [text]) for status, text in check.statuses.items()),
        ("What to do", [check.advice]),
        *([("Findings", [", ".join(check.kinds)])] if check.kinds else []),
        ("Page", [f"{CHECKS_PAGE}#{check.id}"]),
    ]


def _of_kind(name: str, kind: "FindingKind") -> Section:
    return [
        (f"Finding {name}", []),
        ("Cause", [kind.cause]),
        ("What to do", [kind.remedy]),
        ("Page", [f"{CHECKS_PAGE}#{name}"]),
    ]


def _listed(lines: Sequence[str]) -> list[str]:
    return [f"- {line}" for line in lines]
