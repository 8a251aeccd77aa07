"""README.md and docs/: every command that they show is one that there is, with its options, and every link leads somewhere."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pullbench.cli.commands import COMMANDS, FIRST_EXAMPLES, GROUPS
from pullbench.cli.main import LazyCommands
from tests.cli.command_lines import commands_in, parsed, program

ROOT = Path(__file__).parents[2]
COMMANDS_PAGE = ROOT / "docs" / "commands.md"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
_BLOCK = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
_CALL = re.compile(r"(?:^|[;&|]) *pullbench ")
_CRON = re.compile(r"^[\d*]+ [\d*]+ [\d*]+ [\d*]+ [\d*]+ +")


def shown_commands(text: str) -> Iterator[list[str]]:
    """Every call of pullbench in blocks of code and inside sentences; what only names a command has no argument."""
    for block in _BLOCK.findall(text):
        lines = (_CRON.sub("", line) for line in block.replace("\\\n", " ").splitlines())
        yield from commands_in((line for line in lines if _CALL.search(line)), {})
    for code in re.findall(r"`(pullbench [^`]+)`", _BLOCK.sub("", text)):
        if "[" not in code:  # a synopsis
            yield from commands_in([" ".join(code.split())], {})


def synopses(text: str) -> Iterator[tuple[list[str], set[str]]]:
    """The words of every command in a table of commands, and the options that it is said to have."""
    for code in re.findall(r"^\| `pullbench (.+?)` \|", text, re.MULTILINE):
        yield re.findall(r"^[a-z]+(?: [a-z]+)*", code)[0].split(), set(re.findall(r"--[a-z-]+", code))


def anchors(text: str) -> set[str]:
    """As GitHub and GitLab make them of headings."""
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_that_is_shown_is_one_that_there_is_with_its_options(page: Path) -> None:
    for arguments in shown_commands(page.read_text(encoding="utf-8")):
        try:
            parsed(arguments)
        except Exception as error:
            if type(error).__name__ != "MissingParameter" and getattr(error, "exit_code", 1) != 0:  # --help exits
                raise AssertionError(f"pullbench {' '.join(arguments)}: {error}") from error


def test_every_option_in_the_table_of_commands_is_one_of_its_command() -> None:
    rows = list(synopses(COMMANDS_PAGE.read_text(encoding="utf-8")))
    assert len(rows) > 20
    for words, options in rows:
        command = LazyCommands.load(words[0])
        for word in words[1:]:
            command = command.commands[word]
        there = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
        assert options <= there, words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_or_a_section(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        if path.startswith("http"):
            continue
        there = page.parent / path if path else page
        assert there.exists(), target
        if anchor and there.suffix == ".md":
            assert anchor in anchors(there.read_text(encoding="utf-8")), target


UNQUOTED = re.compile(r"--set [\w.{}]+=(?:\[|\{ *\w+:)")
"""zsh refuses `a=[1,2]` and every shell changes `a={1,2}` without quotes."""
_TEXTS = {".md", ".yaml", ".yml", ".py", ".ipynb", ".json"}
SHIPPED = ("specs", "pullbench", "flows", "tasks", "notebooks", "monitoring", "docs", "benchmarks", "reports")


def test_a_list_that_is_set_is_quoted_wherever_we_show_it() -> None:
    files = [path for part in SHIPPED for path in (ROOT / part).rglob("*") if path.suffix in _TEXTS]
    files += [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", ROOT / "prefect.yaml"]
    assert len(files) > 200
    wrong = [str(path.relative_to(ROOT)) for path in files if UNQUOTED.search(path.read_text(encoding="utf-8"))]
    assert wrong == []


def test_an_option_that_is_none_is_found() -> None:
    [arguments] = shown_commands("```\npullbench run spec.yaml \\\n  --no-such-option\n```\n")
    with pytest.raises(Exception, match="--no-such-option"):
        parsed(arguments)


def test_the_page_of_commands_has_every_command_in_the_order_of_the_help() -> None:
    rows = synopses(COMMANDS_PAGE.read_text(encoding="utf-8"))
    assert list(dict.fromkeys(words[0] for words, _ in rows)) == list(COMMANDS)
    assert program().list_commands(None) == list(COMMANDS)


def test_the_index_of_docs_links_every_page() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    linked = {target.partition("#")[0] for target in re.findall(r"\]\(([^)]+)\)", index)}
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert pages <= linked


def test_help_lists_every_command_group_by_group() -> None:
    assert program().list_commands(None) == list(COMMANDS)
    assert [each.group for each in COMMANDS.values()] == sorted(
        (each.group for each in COMMANDS.values()), key=GROUPS.index
    )


def examples() -> list[str]:
    return [example for each in COMMANDS.values() for example in each.examples] + list(FIRST_EXAMPLES)


@pytest.mark.parametrize("example", examples())
def test_every_example_of_the_help_is_a_call_that_there_is(example: str) -> None:
    found = re.findall(r"pullbench [^|)>]*", example)
    for call in found:
        parsed(commands_in([re.sub(r" {3,}.*", "", call).strip('" ')], {})[0])
    assert found
