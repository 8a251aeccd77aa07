"""No text of a stranger steers the terminal of who runs a command."""

import ast
from pathlib import Path

import pytest
from rich.console import Console

from pullbench.cli.terminal.safe_text import literal, print_line, print_lines, print_notice
from pullbench.model.text import printable

CLI = Path(__file__).parents[2] / "pullbench" / "cli"
GUARD = "terminal/safe_text.py"
HOSTILE = {
    "CSI": "\x1b[31mred\x1b[2J",
    "OSC 8": "\x1b]8;;http://evil.example\x1b\\click\x1b]8;;\x1b\\",
    "OSC 52": "\x1b]52;c;ZXZpbA==\x07",
    "C1": "\x9b31m\x9d0;title\x9c",
    "direction": "safe\u202egnp.exe\u2066\u200b\ufeff",
    "lines": "one\ntwo\rthree\u2028four\x0b\x0c\x08",
    "markup": "[red]no[/red] [link=http://evil.example]x[/link]",
}
hostile = pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)


@hostile
@pytest.mark.promise("foreign text", "Control characters do not reach the terminal")
def test_printable_keeps_what_steers_a_terminal_out_of_a_line(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert printable(text).isprintable()
    print_line(text)
    print_notice(text)
    out, err = capsys.readouterr()
    assert [stream[:-1].isprintable() and stream[-1] for stream in (out, err)] == ["\n", "\n"]


@hostile
@pytest.mark.promise("foreign text", "Foreign text makes no Rich markup")
def test_plain_shows_rich_no_markup_and_no_escape_sequence(text: str) -> None:
    console = Console(force_terminal=True, width=1000, color_system=None)
    with console.capture() as captured:
        console.print(literal(text))
    assert captured.get() == f"{printable(text)}\n"
    assert "[red]no[/red]" in captured.get() or text != HOSTILE["markup"]


def test_a_document_keeps_its_lines_and_nothing_else_that_steers(capsys: pytest.CaptureFixture[str]) -> None:
    print_lines("name: a\nimages:\n- b\x1b[31m\n")
    assert capsys.readouterr().out == "name: a\nimages:\n- b�[31m\n"


def calls(name: str) -> list[tuple[str, ast.Call]]:
    found = []
    for path in sorted(CLI.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == name:
                found.append((f"{path.relative_to(CLI)}:{node.lineno}: {ast.unparse(node)}", node))
    return found


@pytest.mark.promise("foreign text", "No command prints text that was not cleaned")
def test_no_command_prints_past_the_guard() -> None:
    """`print` is for JSON, whose escapes are ASCII; all else goes through safe_text.py, or is a renderable of our own."""
    wrong = []
    for shown, node in calls("print"):
        arguments = [ast.unparse(argument) for argument in node.args]
        if shown.startswith(f"{GUARD}:"):
            continue
        if isinstance(node.func, ast.Attribute):
            if any(argument.startswith(("f'", 'f"')) or ".format(" in argument for argument in arguments):
                wrong.append(shown)
        elif not all(argument.startswith("json.dumps(") for argument in arguments):
            wrong.append(shown)
        assert "ensure_ascii" not in shown
    assert wrong == []
    assert not [shown for shown, _ in calls("write") if "sys.std" in shown and not shown.startswith(f"{GUARD}:")]


def test_the_guard_looks_where_commands_print() -> None:
    assert {shown.partition(":")[0] for shown, _ in calls("print")} >= {
        GUARD,
        "plan.py",
        "runs.py",
        "terminal/progress.py",
    }
