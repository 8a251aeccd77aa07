"""Writes the page of all checks: `python -m tools.checks_page > docs/checks.md`."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pullbench.model.finding import Status
from pullbench.preflight.check import COULD_NOT_RUN, Check, FindingKind, Room
from pullbench.preflight.checks import CHECKS

_HEAD = """\
# Checks: what preflight checks, and what each status means

<!-- Made by: python -m tools.checks_page > docs/checks.md -->

`pullbench preflight SPEC` runs these checks for every registry in the spec with every proxy of the matrix, for every
image and platform, and for the clients. `pullbench run` runs them first, and sends no load if one fails. `--only` and
`--skip` accept check ids and groups: `--only network --skip tls`.

| status | means | exit code |
|---|---|---|
| `pass` | no problem found | 0 |
| `warn` | a run works, but may be slower, or may soon fail | 0 |
| `fail` | a run would fail or measure the wrong thing, so no load is sent | 1 |
| `error` | the check could not run: it took too long or failed itself. Any check can have this status | 3 |
| `skip` | the check does not apply, or a check that it needs has failed for this target | 0 |

Each finding has the observed and the expected state, and a remedy with commands for this registry. The evidence, without
any secret, is in `--json` ([schema](../specs/preflight.schema.json)), in the table `checks` of a run's results, and in its
report. If an error is the reason, `code` is its error code and `parameters` has the host, endpoint, repository, platform
and so on. Both are in `--json` and in `checks` (`parameters` as JSON text); JUnit XML and log lines have the code.

Each problem has a stable anchor with its cause and what to do. With an error code it is that of the [error codes](errors.md); else it
is the finding's `kind`, an anchor on this page, such as [`tls-expires-soon`](#tls-expires-soon). `pullbench errors NAME` prints both
kinds of section in the terminal, without a network.

"""
_TITLES = {
    Room.NETWORK: "the connection to the registry",
    Room.ACCESS: "login and permissions",
    Room.CONTENT: "the images to pull",
    Room.STORAGE: "free storage, at the registry and here",
    Room.CLIENT: "this machine and its daemons",
    Room.ROUTE: "proxies and mirrors",
    Room.BUILD: "the images' Dockerfiles",
}


def checks_page(checks: Sequence[Check[Any, Any]] = CHECKS) -> str:
    """The page as Markdown: a table of all checks, then one section per group, in the order of the findings."""
    rooms = [room for room in Room if any(check.room is room for check in checks)]
    lines = ["| check | group | needs |", "|---|---|---|"]
    for check in checks:
        needs = ", ".join(f"`{name}`" for name in _in_order(check.needs, checks)) or "–"
        lines.append(f"| [`{check.id}`](#{check.id}) | {check.room} | {needs} |")
    sections = [line for room in rooms for line in _room(room, checks)]
    ending = ["## A check could not run", "", "Any check can have one of these problems, with the status `error`.", ""]
    return _HEAD + "\n".join([*lines, "", *sections, *ending, *_kinds(COULD_NOT_RUN, level=3)])


def _in_order(names: frozenset[str], checks: Sequence[Check[Any, Any]]) -> list[str]:
    return [check.id for check in checks if check.id in names]


def _room(room: Room, checks: Sequence[Check[Any, Any]]) -> Iterator[str]:
    yield f"## {room.capitalize()}: {_TITLES[room]}"
    yield ""
    for check in checks:
        if check.room is room:
            yield from _section(check)


def _section(check: Check[Any, Any]) -> Iterator[str]:
    yield f"### {check.id}"
    yield ""
    yield check.looks_at
    yield ""
    for status in Status:
        if status in check.statuses:
            yield f"- **{status}**: {check.statuses[status]}"
    yield ""
    yield f"What to do: {check.advice}"
    yield ""
    yield from _kinds(check.kinds, level=4)


def _kinds(kinds: Mapping[str, FindingKind], *, level: int) -> Iterator[str]:
    for name, kind in kinds.items():
        yield from (f"{'#' * level} {name}", "", kind.cause, "", f"What to do: {kind.remedy}", "")


if __name__ == "__main__":
    sys.stdout.write(checks_page())
