"""docs/errors.md: each error code with its meaning, causes and remedies, and what clients print."""

import json
from collections.abc import Iterator
from pathlib import Path

from pullbench.errors import ErrorCode
from pullbench.model.error_guide import GUIDES, comes_from, remedies

_TEXTS = Path(__file__).parent.parent / "tests" / "engines" / "error_texts.json"

_HEAD = """# Error codes: what each means, and what to do

<!-- Made by `make docs` from pullbench/model/error_guide.py, the remedies in the code, and tests/engines/error_texts.json. -->

Each failed pull has one of these codes, and so has each [finding of preflight](checks.md) whose reason is an error. The codes
never change: they are stored, and each is the anchor of its section. `pullbench errors CODE` prints a section in the
terminal; a report explains the codes of its run.

The remedies here have HOST, PORT and REPOSITORY where a finding and a report have the names of your registry. `answered_by` in a
finding's `parameters` is the server that answered. The texts are those that clients printed in the integration tests.

"""


def errors_page() -> str:
    """The page as Markdown: a table of all codes, then a section for each, in the order of the code."""
    rows = [f"| [`{code}`](#{code}) | {GUIDES[code].meaning} |" for code in ErrorCode]
    texts = _client_texts()
    sections = [line for code in ErrorCode for line in _section(code, texts.get(code, {}))]
    return _HEAD + "\n".join(["| code | means |", "|---|---|", *rows, "", *sections])


def _section(code: ErrorCode, texts: dict[str, str]) -> Iterator[str]:
    guide = GUIDES[code]
    yield from (f"## {code}", "", guide.meaning, "")
    yield from (f"From: {comes_from(code)}.", "", "Usual causes:", "")
    yield from (f"- {cause}" for cause in guide.causes)
    yield from ("", "What to do:", "")
    yield from (f"- {f'**{case}**: ' if case else ''}{text}" for case, text in remedies(code))
    yield ""
    if texts:
        yield from ("Clients print:", "", "```text")
        yield from (f"{client}: {text}" for client, text in texts.items())
        yield from ("```", "")


def _client_texts() -> dict[str, dict[str, str]]:
    """The shortest text of each client, by code."""
    texts: dict[tuple[str, str], list[str]] = {}
    for seen in json.loads(_TEXTS.read_text(encoding="utf-8")):
        texts.setdefault((seen["code"], seen["client"]), []).append(" ".join(seen["text"].split()))
    found: dict[str, dict[str, str]] = {}
    for (code, client), printed in sorted(texts.items()):
        found.setdefault(code, {})[client] = min(printed, key=lambda text: (len(text), text))
    return found
