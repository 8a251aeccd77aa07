"""Who served the bytes: servers and caches by route, as answers name themselves."""

import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

from pullbench.model.cache_evidence import cache_word
from pullbench.report.core import numbers
from pullbench.report.core.stored import StoredRun, measured, records
from pullbench.report.core.tables import label, varying
from pullbench.report.render.html import Column, Html, Row, clipped, join, paragraph, table

MOST_ROWS = 24
_HITS_OF_A_COLD_ONE = (
    "Hits of a cold mirror are layers that images share. The first pull of a trial downloads them, and the mirror has them "
    "for the next image."
)
PLACE = ["engine", "registry", "proxy", "proxy_cache"]
"""What decides who serves a pull: the other factors have no part in it."""
COLUMNS = [*PLACE, "server", "hits", "misses", "pulls", "share"]
_CHANGES = re.compile(
    r"""\s*\b(?:x-cache(?:-status)?|x-proxy-cache|cf-cache-status|age|cf-ray|x-amz-[a-z0-9-]+)[= ](?:"[^"]*"|\S+)""",
    re.I,
)
"""What differs from answer to answer of one server."""


def served(stored: StoredRun) -> pd.DataFrame:
    """A row a route and server, as COLUMNS: of its successful pulls, how many it served, with cache hits and misses.

    `share` is that of the route's pulls whose server is known. Empty where no engine reports who answered.
    """
    pulls = measured(stored.pulls[[*PLACE, "warmup", "ok", "served_by"]])
    fine = pulls[pulls["ok"].astype(bool) & pulls["served_by"].notna()]
    counts: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in records(fine.groupby([*PLACE, "served_by"], observed=True, dropna=False).size().reset_index(name="n")):
        cell, text = {name: row[name] for name in PLACE}, str(row["served_by"])
        server, word = _server(text), cache_word(text)
        found = counts.setdefault(
            (*cell.values(), server), cell | {"server": server, "hits": 0, "misses": 0, "pulls": 0}
        )
        found["pulls"] += row["n"]
        found["hits"] += row["n"] if word == "hit" else 0
        found["misses"] += row["n"] if word == "miss" else 0
    made = pd.DataFrame(list(counts.values()), columns=COLUMNS)
    if len(made):
        made["share"] = made["pulls"] / made.groupby(PLACE, dropna=False)["pulls"].transform("sum")
    return made.sort_values([*PLACE, "pulls"], ascending=[True] * len(PLACE) + [False], ignore_index=True)


def _server(text: str) -> str:
    """The server of a pull, or of the probe's last request, without what differs from answer to answer."""
    probed = text.startswith("probe ")
    last = re.split(r"(?:before|after): ", text)[-1] if probed else text
    return _CHANGES.sub("", last).strip() + (" (seen by a probe)" if probed else "")


def served_section(found: pd.DataFrame, cells: pd.DataFrame) -> Html:
    """The table; nothing where no answer named its server."""
    if found.empty:
        return Html()
    factors = [name for name in varying(cells) if name in PLACE]
    cached = bool((found["hits"] + found["misses"]).any())
    columns = [
        *([Column(title="Configuration", setting=True)] if factors else []),
        Column(
            title="Served by", prose=True, hint="the server's address, and what its answer says of caches on the route"
        ),
        Column(title="Pulls", number=True),
        Column(title="Share", number=True, hint="of the pulls on this route whose server is known"),
        *([Column(title="Cache", hint="what the answers say: hits and misses")] if cached else []),
    ]
    rows = [
        Row(
            contents=[
                *([label(row, factors)] if factors else []),
                clipped(row["server"]),
                row["pulls"],
                numbers.whole_percent(row["share"]),
                *([_cache(row)] if cached else []),
            ]
        )
        for row in records(found.head(MOST_ROWS))
    ]
    left = f"; {len(found) - len(rows)} more rows are in the results" if len(found) > len(rows) else ""
    made = table(columns, rows, caption=f"Who served the bytes{left}")
    shared = found[(found["proxy_cache"] == "cold") & (found["hits"] > 0)]
    return made if shared.empty else join([made, paragraph(_HITS_OF_A_COLD_ONE, kind="note")])


def _cache(row: Mapping[str, Any]) -> str:
    """`3 hits, 1 miss`; a dash where the answers do not say."""
    said = [numbers.count(row[name], word) for name, word in (("hits", "hit"), ("misses", "miss")) if row[name]]
    return ", ".join(said).replace("misss", "misses") or numbers.NOT_KNOWN
