"""docs/clients.md: the clients that were tried, from the records of the last two integration runs."""

import json
from collections.abc import Iterable
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
## What differs

Figures of cold pulls that the tests saw and that are not the same in both. A dash means that the client was not there, or
that it has no such figure. The kinds of images are those of [image kinds](image-kinds.md).
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
    facts = _table(
        ["client", "figure", *names],
        [
            [client, what, *(_cell(record["facts"].get(client, {}).get(what)) for record in ordered)]
            for client in _keys(ordered, "facts")
            for what in sorted({what for record in ordered for what in record["facts"].get(client, {})})
            if len({_cell(record["facts"].get(client, {}).get(what)) for record in ordered}) > 1
        ],
    )
    modern = {name for record in ordered[1:] for name in record["tests"]}
    tests = _table(
        ["file", *names],
        [
            [f"`{name}.py`", *(_cell(record["tests"].get(name, {}).get("passed")) for record in ordered)]
            for name in _keys(ordered, "tests")
            if name in modern
        ],
    )
    return f"{_HEAD}\n{versions}{_FACTS}\n{facts}{_TESTS}\n{tests}"


def _keys(records: list[dict[str, Any]], part: str) -> list[str]:
    return sorted({name for record in records for name in record[part]})


def _cell(value: object) -> str:
    return "–" if value is None else str(value)


def _table(head: list[str], rows: Iterable[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
