"""What a person reads first: help that fits 80 columns, and one line for a call that is wrong."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from pullbench import __version__
from pullbench.cli.commands import COMMANDS, GROUPS
from pullbench.cli.main import LazyCommands
from tests.cli.test_cli import Shell, shell  # noqa: F401  (a fixture)

WRONG_CALLS: tuple[tuple[str, ...], ...] = (
    ("compair",),
    ("frobnicate",),
    ("run",),
    ("run", "spec.yaml", "--resutls", "x"),
    ("run", "spec.yaml", "--frob"),
    ("run", "spec.yaml", "--set"),
    ("run", "spec.yaml", "extra"),
    ("run", "nowhere.yaml"),
    ("runs", "prnue"),
    ("runs", "--json=3"),
    ("trend", "nightly", "--last", "many"),
    ("trend", "nightly", "--last", "0"),
    ("show", "latest"),
    ("open", "latest"),
    ("completion", "bahs"),
    ("errors", "tls-untrusted"),
    ("errors", "frobnicate"),
    ("report", "latest", "--format", "pdf"),
    ("pull", "Nginx"),
    ("pull", "nginx", "--engine", "dokcer"),
    ("pull", "nginx", "--platform", "amd64"),
    ("pull", "nginx", "-n", "0"),
    ("pull", "ftp://nginx"),
    ("pull", "https://me:hunter2@registry.example.com/app"),
    ("init",),
    ("init", "--from", "nowhere.yaml"),
    ("runs", "prune", "--older-than", "tomorrow"),
)


def commands() -> list[tuple[str, ...]]:
    """Every command and sub-command."""
    found: list[tuple[str, ...]] = []
    for name in COMMANDS:
        found.append((name,))
        found += [(name, word) for word in getattr(LazyCommands.load(name), "commands", {})]
    return found


@pytest.fixture
def narrow(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:  # noqa: F811
    monkeypatch.setenv("COLUMNS", "80")

    def help_of(*words: str) -> str:
        code, out, err = shell(*words, "--help")
        assert (code, err) == (0, "")
        return out

    return help_of


def test_the_help_is_golden(narrow: Callable[..., str], golden: Callable[[str, str], None]) -> None:
    golden("help.txt", narrow())


def test_the_help_of_every_command_is_golden(narrow: Callable[..., str], golden: Callable[[str, str], None]) -> None:
    golden("help-of-commands.txt", "\n\n".join(narrow(*words) for words in commands()))


@pytest.mark.parametrize("words", [(), *commands()], ids=" ".join)
def test_no_line_of_a_help_is_cut_or_wider_than_80_columns(narrow: Callable[..., str], words: tuple[str, ...]) -> None:
    lines = narrow(*words).splitlines()
    examples = lines.index("Examples:") if "Examples:" in lines else len(lines)
    assert all(len(line) <= 80 for line in lines[:examples])
    assert not [line for line in lines if line.endswith("...") and not line.startswith("Usage")]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_has_an_example(narrow: Callable[..., str], words: tuple[str, ...]) -> None:
    assert f"pullbench {' '.join(words)}" in narrow(*words).partition("Examples:")[2]


def test_every_command_is_in_a_group_and_no_group_is_empty() -> None:
    assert {each.group for each in COMMANDS.values()} == set(GROUPS)


@pytest.mark.parametrize("option", ["-V", "--version"])
def test_the_version_is_shown(shell: Shell, option: str) -> None:  # noqa: F811
    assert shell(option) == (0, f"pullbench {__version__}\n", "")


def test_the_answers_to_wrong_calls_are_golden(
    shell: Shell,  # noqa: F811
    golden: Callable[[str, str], None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Any,
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    (tmp_path / "spec.yaml").write_text("name: a\n")
    page = ""
    for words in WRONG_CALLS:
        code, out, err = shell(*words)
        assert (code, out, err.count("\n")) == (2, "", 1), words
        assert "hunter2" not in err
        assert not re.search(r"Input should|valid integer|Traceback", err)
        page += f"$ pullbench {' '.join(words).replace('hunter2', '…')}\n{err.replace(str(tmp_path), 'HERE')}"
    golden("wrong-calls.txt", page)
