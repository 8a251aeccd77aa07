"""docs/clients.md: the clients that were tried, from the records of the last two integration runs."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

_RECORDS = Path(__file__).parent.parent / "tests" / "clients"

_HEAD = """# Clients that were tried

<!-- Made by `make clients` from tests/clients/*.json, the records of CI's own runs. Do not edit. -->

The integration tests run twice: with the clients of Debian stable, and with those of Debian sid in a chroot
(`make test-modern`). This page is made from the records of both runs. Errors of both generations have the same codes,
and the tests assert the same bytes, layers and cache states.

## Versions
"""
_FACTS = """
## What a cold pull requests

The requests that the registry logged for one pull, and in brackets those for blobs. A dash means that the client does not read such an
image. The kinds are those of [image kinds](image-kinds.md).
"""
_TIMES = """
## Which times are known

The number of pulls with a value, of the kinds above. Docker on containerd's store reports every 0.1 s, so small images have none.
"""
_TESTS = """
## Tests

Passed tests of each file, which run every client of the machine.
"""


def clients_page() -> str:
    """The page's Markdown."""
    records = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(_RECORDS.glob("*.json"))}
    ordered = sorted(records.values(), key=lambda record: str(record["python"]))
    names = [f"Debian {record['debian']}" for record in ordered]
    versions = _table(
        ["client", *names],
        [
            ["Python", *(record["python"] for record in ordered)],
            *([name, *(record["clients"].get(name, "–") for record in ordered)] for name in _keys(ordered, "clients")),
        ],
    )
    requests = _figures(ordered, "requests", lambda of, kind: f"{of['requests'][kind]} ({of['blobs'][kind]})")
    times = _figures(ordered, "times", lambda of, name: f"{of['times'][name]} of {of['times']['pulls']}")
    modern = {name for record in ordered[1:] for name in record["tests"]}
    tests = _table(
        ["file", *names],
        [
            [f"`{name}.py`", *(_cell(record["tests"].get(name, {}).get("passed")) for record in ordered)]
            for name in _keys(ordered, "tests")
            if name in modern
        ],
    )
    return f"{_HEAD}\n{versions}{_FACTS}\n{requests}{_TIMES}\n{times}{_TESTS}\n{tests}"


def _figures(records: list[dict[str, Any]], figure: str, shown: Callable[[dict[str, Any], str], str]) -> str:
    """A row for each client of each record that has the figure, and a column for each thing that it is of."""
    rows = [
        (client, record["debian"], record["facts"][client])
        for client in _keys(records, "facts")
        for record in records
        if figure in record["facts"].get(client, {})
    ]
    columns = sorted({of for _, _, figures in rows for of in figures[figure]} - {"pulls"})
    return _table(
        ["client", "Debian", *columns],
        [
            [client, debian, *(shown(figures, of) if of in figures[figure] else "–" for of in columns)]
            for client, debian, figures in rows
        ],
    )


def _keys(records: list[dict[str, Any]], part: str) -> list[str]:
    return sorted({name for record in records for name in record[part]})


def _cell(value: object) -> str:
    return "–" if value is None else str(value)


def _table(head: list[str], rows: Iterable[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
