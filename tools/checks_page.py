"""The page of the checks, from the checks themselves: `python -m tools.checks_page > docs/checks.md`."""

import sys
from collections.abc import Iterator, Sequence
from typing import Any

from pullbench.model.finding import Status
from pullbench.preflight.check import Check, Room
from pullbench.preflight.checks import CHECKS

_HEAD = """\
# Checks: what preflight looks at, and what each verdict means

<!-- Made by: python -m tools.checks_page > docs/checks.md -->

`pullbench preflight SPEC` asks each of these questions of everything in a spec: of each registry by each proxy of the
matrix, of each image there, of each platform of it, of the clients. `pullbench run` asks them first, and sends no load
where one fails. `--only` and `--skip` take ids and rooms: `--only network --skip tls`.

| status | means | exit code |
|---|---|---|
| `pass` | it is as it should be | 0 |
| `warn` | a run will do, but slower or not for long | 0 |
| `fail` | a run would fail or measure the wrong thing: it is stopped before any load | 1 |
| `error` | the check could not be run: it took longer than its time, or broke. Any check can | 3 |
| `skip` | it does not apply, or a check that it needs has failed for this target, so that there is nothing to learn | 0 |

Each finding tells what was observed, what was expected and what to do, with this registry's name in the command. What
the check saw is kept beside it, without any secret: in `--json` ([schema](../specs/preflight.schema.json)), in the table
`checks` of a run's results, and in its report. Where an error is the reason, `code` is its error code and `parameters`
name what it is about (host, endpoint, repository, platform and so on): in `--json`, in `checks` (`parameters` as JSON
text) and, the code alone, in JUnit XML and in log lines.

"""
_TITLES = {
    Room.NETWORK: "the way there",
    Room.ACCESS: "who may pull",
    Room.CONTENT: "what would be pulled",
    Room.STORAGE: "room for it, there and here",
    Room.CLIENT: "this machine and its daemons",
    Room.ROUTE: "proxies and mirrors",
    Room.BUILD: "what images are built from",
}


def checks_page(checks: Sequence[Check[Any, Any]] = CHECKS) -> str:
    """The page as Markdown: a list of all, then a section a room, in the order in which findings are shown."""
    rooms = [room for room in Room if any(check.room is room for check in checks)]
    lines = ["| check | room | needs |", "|---|---|---|"]
    for check in checks:
        needs = ", ".join(f"`{name}`" for name in _in_order(check.needs, checks)) or "–"
        lines.append(f"| [`{check.id}`](#{check.id}) | {check.room} | {needs} |")
    sections = [line for room in rooms for line in _room(room, checks)]
    return _HEAD + "\n".join([*lines, "", *sections])


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


if __name__ == "__main__":
    sys.stdout.write(checks_page())
