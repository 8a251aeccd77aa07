"""What preflight found, on a terminal: failures are found at once, and nothing is told by colour alone."""

import io
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console, RenderableType

from pullbench.cli.terminal.findings import findings_view
from pullbench.errors import ErrorCode
from pullbench.model.finding import Finding, Status


def finding(check: str, target: str = "eu", status: Status = Status.PASS, **more: Any) -> Finding:
    if status in (Status.WARN, Status.FAIL, Status.ERROR):
        more = {"remedy": f"fix {check}", "expected": "better", **more}
    return Finding(check=check, target=target, status=status, **{"observed": f"saw {check}", **more})


def shown(view: RenderableType, *, width: int = 120, colour: bool = False) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False, force_terminal=colour)
    console.print(view)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def lines(*findings: Finding, **options: Any) -> list[str]:
    width = options.pop("width", 120)
    return shown(findings_view(findings, **options), width=width).splitlines()


HUNDRED = [finding("image", f"eu app-{number}:1") for number in range(100)]


LOST = [
    finding("image", f"eu a-{n}:1", Status.FAIL, observed=f"[not_found] no {n}", code=ErrorCode.NOT_FOUND)
    for n in range(4)
]
LAYOUTS = {
    "a target without a problem is one line": [finding("dns"), finding("tls", status=Status.SKIP), *HUNDRED],
    "where no check applies, skip is shown once": [
        finding("local-cache", "docker", Status.SKIP),
        finding("docker-daemon", "docker", Status.SKIP),
    ],
    "a failure among a hundred passes is last, with its target and its remedy": [
        finding("dns", "us"),
        finding("image", "us app-7:1", Status.FAIL, observed="[not_found] no such tag", code=ErrorCode.NOT_FOUND),
        finding("dns"),
        *HUNDRED,
    ],
    "a route through a proxy is separate, and a platform belongs to its registry": [
        finding("dns"),
        finding("dns", "eu via cache"),
        finding("platform", "eu app:1 linux/arm64"),
    ],
    "images without a finding of their registry are separate": [
        finding("image", "eu a:1"),
        finding("platform", "eu a:1 linux/amd64"),
    ],
    "many targets with the same result share a line": [
        finding("tag-consistency", f"a-{number}:1 in all registries") for number in range(10)
    ],
    "of many failures of one kind, two are shown in full and each is named": [
        *LOST,
        finding("image", "eu b:1", Status.FAIL, observed="[forbidden] no", code=ErrorCode.FORBIDDEN),
        finding("dns"),
    ],
}


def test_the_layout_of_findings_is_golden(golden: Callable[[str, str], None]) -> None:
    golden(
        "terminal/findings.txt",
        "\n".join(f"# {name}\n{shown(findings_view(findings))}" for name, findings in LAYOUTS.items()),
    )


def test_with_all_each_failure_of_one_kind_has_its_remedy() -> None:
    assert len([line for line in lines(*LOST, everything=True) if "→" in line]) == 4


def test_failures_stand_before_errors_and_warnings_of_their_place() -> None:
    told = lines(finding("a", status=Status.WARN), finding("b", status=Status.ERROR), finding("c", status=Status.FAIL))
    assert [line.split()[0] for line in told if line.startswith("  ") and "→" not in line] == ["fail", "error", "warn"]


def test_what_was_expected_stands_with_what_has_no_code() -> None:
    coded = finding("api", status=Status.FAIL, observed="closed", code=ErrorCode.RESET)
    bare = finding("tls", status=Status.FAIL, observed="[reset] as a registry may write")
    told = "\n".join(lines(coded, bare))
    assert told.count("(expected: better)") == 1
    assert "may write  (expected: better)" in told


def test_all_shows_each_finding_in_full() -> None:
    told = lines(finding("dns"), finding("tls", status=Status.SKIP, observed="no TLS"), *HUNDRED, everything=True)
    assert [line.split()[:2] for line in told[:3]] == [["eu"], ["pass", "dns"], ["skip", "tls"]]
    assert "saw dns" in told[1] and "no TLS" in told[2]
    assert len([line for line in told if "image app-" in line]) == 100


@pytest.mark.parametrize("width", [20, 40, 80])
def test_a_narrow_terminal_folds_texts_under_their_beginning_and_loses_none(width: int) -> None:
    long = finding("tls", status=Status.FAIL, observed="x" * 90 + " end", remedy="run " + "y" * 90)
    told = lines(long, width=width)
    assert all(len(line) <= width for line in told)
    assert "".join(told).count("x") == 91, "and the one of (expected …)"
    assert "".join(told).count("y") == 90
    first = next(number for number, line in enumerate(told) if "fail" in line)
    assert told[first + 1].startswith(" " * 8), "under the text, not under the status"


@pytest.mark.promise("foreign text", "A finding makes no markup in preflight's table")
def test_plain_lets_no_finding_be_markup_or_steer_a_terminal() -> None:
    told = shown(findings_view([finding("api", "[red]x", Status.FAIL, observed="[bold]\x1b[2J\u202e", remedy="\x07")]))
    assert "[red]x" in told and "[bold]" in told
    assert not {"\x1b", "\x07", "\u202e"} & set(told)


def test_the_status_is_a_word_and_has_a_colour_too() -> None:
    told = shown(findings_view([finding("api", status=Status.FAIL)]), colour=True)
    assert "\x1b[1;31mfail" in told


def test_the_last_line_names_each_problem_once_the_worst_first() -> None:
    found = [
        finding("http2", status=Status.WARN, kind="http2-no-h2"),
        finding("dns"),
        *LOST,
        finding("clock", status=Status.FAIL),
    ]
    for everything in (False, True):
        assert lines(*found, everything=everything)[-1].split(": ")[1] == "pullbench errors not_found clock http2-no-h2"


def test_no_problem_needs_no_such_line() -> None:
    assert not any("pullbench errors" in line for line in lines(finding("dns"), finding("tls", status=Status.SKIP)))
