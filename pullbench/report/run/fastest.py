"""Which setting brings images fastest, by how much, and how far that can be trusted.

Fastest means one thing in headline, tables and console: the least time per image, a trial's wall time by its pulls.
"""

from typing import Any

import pandas as pd

from pullbench.model.capability import CAPABILITIES
from pullbench.report.core import numbers, tables
from pullbench.report.core.stored import StoredRun, records
from pullbench.report.run import busy
from pullbench.report.run.contrasts import wall_blocks
from pullbench.stats.compare import Comparison, ComparisonVerdict, compare_paired

ENOUGH_BLOCKS = 5
_HELD = ("engine_kind", "platform", "cache")
"""What contenders have in common: another value of these is other work, not a faster way to the same."""


def contenders(stored: StoredRun, table: pd.DataFrame) -> pd.DataFrame:
    """The cells among which a setting can be chosen: engines that do the same work, one platform, one state of the cache.

    The engines are those that unpack into a store, as users' clients do, where there are any, else one kind; the platform
    is this machine's; the cache cold. What other engines or platforms do is other work, not a faster way to the same.
    """
    kinds = list(table["engine_kind"].unique())
    stores = [kind for kind in kinds if CAPABILITIES[kind].has_store]
    chosen: pd.DataFrame = table[table["engine_kind"].isin(stores or kinds[:1])]
    for column, wanted in (("platform", stored.host_platform), ("cache", "cold")):
        some = chosen[chosen[column] == wanted]
        chosen = some if len(some) else chosen[chosen[column] == chosen[column].iloc[0]]
    return chosen


def fastest_sentence(stored: StoredRun, table: pd.DataFrame) -> str:
    """The fastest of the contenders with its lead, without a full stop; or why there is none."""
    chosen = contenders(stored, table)
    winner = tables.best(chosen)
    held = _held(table, chosen)
    if winner is None:
        return f"No setting{held} was free of failures{_most_often(stored, chosen)}, so none can be recommended"
    cell = records(chosen.loc[[winner]])[0]
    span = numbers.seconds_range(cell["wall_per_pull_low_s"], cell["wall_per_pull_high_s"])
    every = numbers.seconds(cell["wall_per_pull_s"])
    every += f" (95% interval {span})" if span != numbers.NOT_KNOWN else ""
    if len(chosen) == 1:
        said = f"{tables.setting(cell)}{held}, brings an image every {every}, a single pull taking {numbers.seconds(cell['median_s'])}"
    else:
        of = f" of the {numbers.count(len(chosen), 'setting')}{held}" if held else ""
        said = f"Fastest by time per image{of} is {tables.setting(cell)}: an image every {every}{_lead(stored, chosen, winner)}"
    return said + _reservations(chosen, cell)


def _held(table: pd.DataFrame, chosen: pd.DataFrame) -> str:
    """` with docker, cold cache`: what all contenders have, where not every cell of the run has it."""
    words = {"cache": "{} cache"}
    values = [
        words.get(name, "{}").format(" or ".join(map(str, chosen[name].unique())))
        for name in _HELD
        if table[name].nunique() > chosen[name].nunique()
    ]
    return f" with {', '.join(values)}" if values else ""


def _most_often(stored: StoredRun, chosen: pd.DataFrame) -> str:
    """The most frequent error of the contenders, in brackets."""
    mine = pd.concat([tables.in_cell(stored.pulls, cell) for cell in records(chosen)])
    failures = tables.errors(mine)
    return f" (most often {failures.iloc[0]['code']})" if len(failures) else ""


def _lead(stored: StoredRun, chosen: pd.DataFrame, winner: Any) -> str:
    """By how much the winner leads the best other route, or the next setting where there is one route alone.

    The winner was picked as the least of all, so its p is corrected for every contender it could have been beside.
    """
    cell, rivals = records(chosen.loc[[winner]])[0], chosen.drop(index=winner)
    same_route = (rivals["registry"] == cell["registry"]) & (rivals["proxy"] == cell["proxy"])
    others, kind = (rivals, "setting") if same_route.all() else (rivals[~same_route], "route")
    second = tables.best(others)
    if second is None:
        return f", and no other {kind} was free of failures"
    mine, *theirs = wall_blocks(stored, [cell, *records(rivals)])
    answers = compare_paired([(blocks, mine) for blocks in theirs])
    answer = answers[rivals.index.get_loc(second)]
    beside = f"the {'best other route' if kind == 'route' else 'next'}"
    return _lead_over(answer, beside, tables.setting(records(rivals.loc[[second]])[0]))


def _lead_over(answer: Comparison, beside: str, second: str) -> str:
    if answer.verdict == ComparisonVerdict.NO_DIFFERENCE:
        return f", though {second} differs by less than 5%"
    if (
        answer.ratio
        and answer.ratio < 1
        and answer.verdict in (ComparisonVerdict.FASTER, ComparisonVerdict.TOO_FEW_SAMPLES)
    ):
        speed = numbers.significant(1 / answer.ratio)
        if answer.low and answer.high:
            return f", {speed} times ({numbers.ratio_range(1 / answer.high, 1 / answer.low)}) as fast as {beside}, {second}"
        return f", {speed} times as fast as {beside}, {second}, in {numbers.count(answer.blocks, 'block')}"
    return f", though this run cannot tell it from {second}"


def _reservations(chosen: pd.DataFrame, cell: dict[str, Any]) -> str:
    """What keeps the winner from being the last word."""
    said = ""
    if not numbers.known(cell["wall_per_pull_low_s"]):
        verb = "gives" if cell["blocks"] == 1 else "give"
        said += (
            f"; take it as a hint, for {numbers.count(int(cell['blocks']), 'block')} {verb} no interval "
            f"({ENOUGH_BLOCKS} do)"
        )
    said += _left_out(chosen[chosen["wall_per_pull_s"] < cell["wall_per_pull_s"]])
    if cell["found_cached"]:
        said += f"; {numbers.count(int(cell['found_cached']), 'pull')} that should have been cold found layers"
    if cell["proxy_other"]:
        trials = numbers.count(int(cell["proxy_other"]), "trial")
        said += f"; the mirror was not {cell['proxy_cache']} in {trials} that should have found it so"
    if busy.is_busy(cell):
        said += f"; {busy.says(cell)}, so the registry may be faster than that"
    elif held_back := sum(busy.is_busy(row) and busy.kind(row) == "client_busy" for row in records(chosen)):
        may = "another setting" if held_back == 1 else f"{held_back} other settings"
        said += f"; {may} may be faster than {'it looks' if held_back == 1 else 'they look'}, for there the client was at its limit"
    return said


def _left_out(faster: pd.DataFrame) -> str:
    """The settings that looked faster and cannot be the winner, with the reasons that there are."""
    if faster.empty:
        return ""
    failed = bool((faster["succeeded"] < faster["pulls"]).any())
    other = bool((faster["found_cached"] > 0).any() or (faster["proxy_other"] > 0).any())
    reasons = " or ".join([*(["failures"] if failed else []), *(["wrong cache states"] if other else [])])
    left = "is" if len(faster) == 1 else "are"
    return f"; left out {left} {numbers.count(len(faster), 'setting')} that looked faster, with {reasons}"
