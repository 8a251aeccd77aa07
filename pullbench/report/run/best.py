"""Which configuration is best, by how much, and what limits that answer.

Best means one thing in headline, tables and console: the most images/s: a trial's pulls divided by its wall time.
"""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from pullbench.model.capability import CAPABILITIES
from pullbench.report.core import numbers, tables
from pullbench.report.core.client_limit import is_limited, limit_kind
from pullbench.report.core.stored import StoredRun, records
from pullbench.report.run.contrasts import wall_blocks
from pullbench.stats.compare import Comparison, ComparisonVerdict, compare_paired

ENOUGH_BLOCKS = 5
_SHARED = ("engine_kind", "platform", "cache")
"""What contenders have in common: another value of these is other work, not a faster way to the same result."""


def contenders(stored: StoredRun, cells: pd.DataFrame) -> pd.DataFrame:
    """The configurations among which one can be chosen: engines that do the same work, one platform, one cache state.

    The engines are those that unpack into a store, as users' clients do, where there are any, else one kind; the platform
    is this machine's; the cache cold. Other engines or platforms do other work, which is no faster way to the same result.
    """
    kinds = list(cells["engine_kind"].unique())
    stores = [kind for kind in kinds if CAPABILITIES[kind].has_store]
    chosen: pd.DataFrame = cells[cells["engine_kind"].isin(stores or kinds[:1])]
    for column, wanted in (("platform", stored.host_platform), ("cache", "cold")):
        some = chosen[chosen[column] == wanted]
        chosen = some if len(some) else chosen[chosen[column] == chosen[column].iloc[0]]
    return chosen


def images_per_s(row: dict[str, Any]) -> str:
    """A configuration's rate with its interval: `82.1 images/s (95% CI 72.0–95.4)`."""
    said = f"{numbers.significant(row['images_per_s'])} images/s"
    if numbers.known(row["images_per_s_low"]):
        said += f" (95% CI {numbers.ratio_range(row['images_per_s_low'], row['images_per_s_high'])})"
    return said


def best_title(stored: StoredRun, cells: pd.DataFrame) -> str:
    """The best configuration in a few words, or that there is none."""
    chosen = contenders(stored, cells)
    winner = tables.best(chosen)
    if winner is None:
        return "No configuration was free of failures"
    cell = records(chosen.loc[[winner]])[0]
    return f"{numbers.significant(cell['images_per_s'])} images/s with {tables.configuration(cell, _factors(cells, chosen))}"


def best(stored: StoredRun, cells: pd.DataFrame) -> list[str]:
    """The best configuration with its rate, and how it compares with the next; or why there is none."""
    chosen = contenders(stored, cells)
    winner = tables.best(chosen)
    if winner is None:
        return [
            f"No configuration{_shared(cells, chosen)} was free of failures{_most_often(stored, chosen)}. None can be recommended."
        ]
    cell = records(chosen.loc[[winner]])[0]
    name = tables.configuration(cell, _factors(cells, chosen))
    return [f"{name}: {images_per_s(cell)}, p50 {numbers.seconds(cell['median_s'])}.", *_lead(stored, chosen, winner)]


def _factors(cells: pd.DataFrame, chosen: pd.DataFrame) -> list[str]:
    """What names a contender: what varies among them, and the engine where others were measured or nothing else names it."""
    varying = tables.varying(chosen)
    wanted = cells["engine"].nunique() > 1 or "concurrency" not in varying
    return [*(["engine"] if wanted and "engine" not in varying else []), *varying]


def _shared(cells: pd.DataFrame, chosen: pd.DataFrame) -> str:
    """` with docker, cold cache`: what all contenders share, where not every configuration of the run has it."""
    words = {"cache": "{} cache"}
    values = [
        words.get(name, "{}").format(" or ".join(map(str, chosen[name].unique())))
        for name in _SHARED
        if cells[name].nunique() > chosen[name].nunique()
    ]
    return f" with {', '.join(values)}" if values else ""


def _most_often(stored: StoredRun, chosen: pd.DataFrame) -> str:
    """The most frequent error of the contenders, in brackets."""
    failures = tables.errors(stored, records(chosen))
    return f" (most often {failures.iloc[0]['code']})" if len(failures) else ""


def _lead(stored: StoredRun, chosen: pd.DataFrame, winner: Any) -> Iterator[str]:
    """By how much the winner leads the next on the same route, and the best other route.

    The winner is the best of all, so its p is corrected for every contender that it could have been compared with.
    """
    if len(chosen) == 1:
        return
    cell, rivals = records(chosen.loc[[winner]])[0], chosen.drop(index=winner)
    mine, *theirs = wall_blocks(stored, [cell, *records(rivals)])
    answers = compare_paired([(blocks, mine) for blocks in theirs])
    same_route = (rivals["registry"] == cell["registry"]) & (rivals["proxy"] == cell["proxy"])
    for title, others in (("The best other route", rivals[~same_route]), ("The next", rivals[same_route])):
        second = tables.best(others)
        if second is not None:
            name = tables.configuration(records(rivals.loc[[second]])[0], tables.varying(chosen))
            yield _lead_over(answers[rivals.index.get_loc(second)], f"{title} ({name})")
        elif len(others):
            yield f"{title} had failures."


def _lead_over(answer: Comparison, second: str) -> str:
    """How the best compares with another: `The next (concurrency 4) reaches 88% of it (95% CI 82%–95%).`"""
    if answer.verdict == ComparisonVerdict.NO_DIFFERENCE:
        return f"{second} differs by less than 5%."
    if answer.ratio and answer.ratio < 1:
        share = numbers.percent(answer.ratio)
        if answer.verdict == ComparisonVerdict.FASTER and answer.low and answer.high:
            return (
                f"{second} reaches {share} of it (95% CI {numbers.percent(answer.low)}–{numbers.percent(answer.high)})."
            )
        if answer.verdict == ComparisonVerdict.TOO_FEW_SAMPLES:
            return f"{second} reaches {share} of it, from {numbers.count(answer.blocks, 'repetition')}."
    return f"{second} may be as good: the difference is not significant."


def reservations(stored: StoredRun, cells: pd.DataFrame) -> list[str]:
    """What limits the answer of `best`: each one sentence, or two with what to do."""
    chosen = contenders(stored, cells)
    winner = tables.best(chosen)
    if winner is None:
        return []
    cell = records(chosen.loc[[winner]])[0]
    return [
        *_of_the_best(cell),
        *_left_out(chosen[chosen["wall_per_pull_s"] < cell["wall_per_pull_s"]]),
        *_limited(chosen, cell),
    ]


def _of_the_best(cell: dict[str, Any]) -> Iterator[str]:
    if not numbers.known(cell["wall_per_pull_low_s"]):
        verb = "gives" if cell["blocks"] == 1 else "give"
        measured = numbers.count(int(cell["blocks"]), "repetition")
        yield f"{measured} {verb} no interval. Set `repetitions` to {ENOUGH_BLOCKS} or more."
    if cell["found_cached"]:
        found = numbers.count(int(cell["found_cached"]), "cold pull")
        yield f"{found} of the best configuration found layers in the local store, so its rate is too high."
    if cell["proxy_other"]:
        trials = numbers.count(int(cell["proxy_other"]), "trial")
        yield f"The mirror's cache was not {cell['proxy_cache']} in {trials} of the best configuration."


def _left_out(faster: pd.DataFrame) -> Iterator[str]:
    """The configurations that looked faster and cannot be the winner, with the reason."""
    if faster.empty:
        return
    failed = bool((faster["succeeded"] < faster["pulls"]).any())
    other = bool((faster["found_cached"] > 0).any() or (faster["proxy_other"] > 0).any())
    reasons = " or ".join([*(["failed pulls"] if failed else []), *(["the wrong cache state"] if other else [])])
    they = "it has" if len(faster) == 1 else "they have"
    yield f"{numbers.count(len(faster), 'faster configuration')} cannot be the best: {they} {reasons}."


def _limited(chosen: pd.DataFrame, cell: dict[str, Any]) -> Iterator[str]:
    """That other contenders may be faster than measured, where the best is not client-limited itself."""
    limited = [row for row in records(chosen) if is_limited(row) and limit_kind(row) == "client_busy"]
    if limited and not is_limited(cell):
        yield f"{numbers.count(len(limited), 'other configuration')} may be faster than measured: client-limited."
