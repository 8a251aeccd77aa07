"""Which configuration is best, by how much, and what limits that answer.

Best means one thing in headline, tables and console: the most images/s: a trial's pulls divided by its wall time.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pullbench.model.capability import CAPABILITIES
from pullbench.model.factor_words import factor_text
from pullbench.model.route import DIRECT
from pullbench.report.core import numbers, tables
from pullbench.report.core.client_limit import is_limited, limit_kind, other_load
from pullbench.report.core.stored import StoredRun, records
from pullbench.report.run.contrasts import wall_blocks
from pullbench.report.run.phases import PullPhases, a_pull_takes
from pullbench.stats.compare import Blocks, Comparison, ComparisonVerdict, compare_paired, more_repetitions
from pullbench.stats.summary import MIN_BLOCKS

ENOUGH_BLOCKS = 5
_SHARED = ("engine_kind", "platform", "cache")
"""What contenders have in common: another value of these is other work, not a faster way to the same result."""


def contenders(stored: StoredRun, cells: pd.DataFrame) -> pd.DataFrame:
    """The configurations among which one can be chosen: engines that do the same work, one platform, one state of each cache.

    The engines are those that unpack into a store, as users' clients do, where there are any, else one kind; the platform
    is this machine's; the client's cache cold, and a mirror's warm. Other engines or platforms do other work, which is no
    faster way to the same result; and nobody chooses the state of a mirror's cache.
    """
    kinds = list(cells["engine_kind"].unique())
    stores = [kind for kind in kinds if CAPABILITIES[kind].has_store]
    chosen: pd.DataFrame = cells[cells["engine_kind"].isin(stores or kinds[:1])]
    for column, wanted in (("platform", stored.host_platform), ("cache", "cold")):
        some = chosen[chosen[column] == wanted]
        chosen = some if len(some) else chosen[chosen[column] == chosen[column].iloc[0]]
    return tables.in_everyday_mirrors(chosen)


def images_per_s(row: Mapping[str, Any]) -> str:
    """A configuration's rate with its interval: `82.1 images/s (95% CI 72.0–95.4)`."""
    said = f"{numbers.significant(row['images_per_s'])} images/s"
    if numbers.known(row["images_per_s_low"]):
        said += f" (95% CI {numbers.ratio_range(row['images_per_s_low'], row['images_per_s_high'])})"
    return said


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The configuration to use: the one with the most images/s, or the simplest of those that are as good."""

    cell: Mapping[str, Any]
    place: Any
    """Its row label in the table of contenders."""
    tied: pd.DataFrame
    """The fastest contender, and the trusted ones that are not significantly slower than it or another."""
    chosen: pd.DataFrame
    """All contenders."""
    answers: Mapping[Any, Comparison]
    """How each other contender compares with the fastest, by row label."""

    @property
    def is_clear(self) -> bool:
        """Whether every other contender is significantly slower."""
        return len(self.tied) == 1

    @property
    def unclear(self) -> list[Comparison]:
        """The comparisons of the tied contenders with the fastest."""
        return [self.answers[place] for place in self.tied.index if place in self.answers]


def choose(stored: StoredRun, cells: pd.DataFrame) -> Choice | None:
    """Which configuration to use; None where none was free of failures.

    The fastest is the best of all, so its p is corrected for every contender that it could have been compared with. Among
    those that are not significantly slower than it, nor than another, the lowest concurrency without a proxy is the simplest:
    a fastest that varies much is as good as many that differ from each other.
    """
    chosen = contenders(stored, cells) if len(cells) else cells
    fastest = tables.best(chosen) if len(chosen) else None
    if fastest is None:
        return None
    rivals = chosen.drop(index=fastest)
    mine, *theirs = wall_blocks(stored, [records(chosen.loc[[fastest]])[0], *records(rivals)])
    answers = dict(zip(rivals.index, compare_paired([(blocks, mine) for blocks in theirs]), strict=True))
    times = {fastest: mine, **dict(zip(rivals.index, theirs, strict=True))}
    times = {place: times[place] for place in tables.trusted(chosen).index}
    same = [
        place
        for place in times
        if place != fastest and answers[place].verdict != ComparisonVerdict.FASTER and not _is_beaten(place, times)
    ]
    tied = chosen.loc[[place for place in chosen.index if place == fastest or place in same]]
    too_few = any(answers[place].verdict == ComparisonVerdict.TOO_FEW_SAMPLES for place in same)
    place = fastest if too_few else _simplest(tied)
    return Choice(cell=records(chosen.loc[[place]])[0], place=place, tied=tied, chosen=chosen, answers=answers)


def _is_beaten(place: Any, times: Mapping[Any, Blocks]) -> bool:
    """Whether another trusted contender is significantly faster."""
    others = compare_paired([(times[place], blocks) for other, blocks in times.items() if other != place])
    return any(answer.verdict == ComparisonVerdict.FASTER for answer in others)


def _simplest(tied: pd.DataFrame) -> Any:
    """The row label of the lowest concurrency, without a proxy where there is such a one."""
    effort = [(row["concurrency"], row["proxy"] != DIRECT) for row in records(tied)]
    return tied.index[effort.index(min(effort))]


def best_title(cells: pd.DataFrame, choice: Choice | None, phases: Sequence[PullPhases]) -> str:
    """The configuration to use in a few words, or that there is none; where nothing can be chosen, how long a pull takes."""
    if choice is None:
        return "No configuration was free of failures"
    of_cell = [each for each in phases if each.engine == choice.cell["engine"]]
    if len(choice.chosen) == 1 and of_cell:
        return a_pull_takes(of_cell[0])
    name = tables.configuration(choice.cell, _factors(cells, choice.chosen))
    rate = f"{numbers.significant(choice.cell['images_per_s'])} images/s"
    if any(answer.verdict == ComparisonVerdict.INCONCLUSIVE for answer in choice.unclear):
        return f"Inconclusive: use {name}, {rate}"
    return f"{rate} with {name}"


def said_of_a_tie(stored: StoredRun, choice: Choice) -> str:
    """Why the configuration to use is one of several, and what would tell; of a choice that is not clear."""
    name = tables.configuration(choice.cell, tables.varying(choice.tied))
    return " ".join([_tie(choice, name), *_below(choice), *_needs(stored, choice)])


def best(stored: StoredRun, cells: pd.DataFrame, choice: Choice | None) -> list[str]:
    """The configuration to use with its rate, and how sure that is; or why there is none. Nothing where there is no choice."""
    if choice is None:
        chosen = contenders(stored, cells)
        return [
            f"No configuration{_shared(cells, chosen)} was free of failures{_most_often(stored, chosen)}. None can be recommended."
        ]
    if len(choice.chosen) == 1:
        return []
    name = tables.configuration(choice.cell, _factors(cells, choice.chosen))
    rate = f"{images_per_s(choice.cell)}, p50 {numbers.seconds(choice.cell['median_s'])}."
    if choice.is_clear:
        return [f"{name}: {rate}", *_lead(choice)]
    few = [answer.blocks for answer in choice.unclear if answer.verdict == ComparisonVerdict.TOO_FEW_SAMPLES]
    if few:
        return [
            f"{name[:1].upper()}{name[1:]} has the highest rate so far: {rate}",
            f"No difference can be shown yet: a comparison needs {MIN_BLOCKS} repetitions, and has {min(few)}.",
        ]
    return [_tie(choice, name), f"It gives {rate}", *_below(choice), *_needs(stored, choice)]


def _tie(choice: Choice, name: str) -> str:
    """`No difference between concurrency 1, 2 and 4 is significant: use the lowest, concurrency 1.`"""
    tied, varying = records(choice.tied), tables.varying(choice.tied)
    if varying == ["concurrency"]:
        levels = sorted(int(row["concurrency"]) for row in tied)
        names, which = (
            f"concurrency {numbers.listed([str(each) for each in levels])}",
            "lowest" if levels[2:] else "lower",
        )
        name = f"concurrency {choice.cell['concurrency']}"
    else:
        names, which = numbers.count(len(tied), "configuration"), "simplest"
        if len(tied) == 2:
            names = " and ".join(tables.configuration(row, varying) for row in tied)
    if varying != ["concurrency"] and len(tied) > 2:
        names = f"the {'' if len(tied) == len(choice.chosen) else 'fastest '}{names}"
    if all(answer.verdict == ComparisonVerdict.NO_DIFFERENCE for answer in choice.unclear):
        return f"{names[:1].upper()}{names[1:]} differ by less than 5%: use the {which}, {name}."
    return f"No difference between {names} is significant: use the {which}, {name}."


def _needs(stored: StoredRun, choice: Choice) -> Iterator[str]:
    """What would tell the inconclusive ones apart: more repetitions, or a larger or idle machine where this one was the limit."""
    unclear = [answer for answer in choice.unclear if answer.verdict == ComparisonVerdict.INCONCLUSIVE]
    if not unclear:
        return
    limited = [row for row in records(choice.tied) if is_limited(row)]
    if limited:
        where = "on an idle node" if other_load(stored.environment) else "from a larger machine"
        yield f"This machine was the limit{_where_limited(choice, limited)}: to learn more, repeat {where}."
        return
    more = [more_repetitions(answer) for answer in unclear]
    known = [each for each in more if each is not None]
    if len(known) == len(more):
        verb = "is" if max(known) == 1 else "are"
        yield f"About {numbers.count(max(known), 'more repetition')} {verb} needed to decide."
    else:
        yield "The times vary too much to decide: measure on a quieter machine and network."


def _where_limited(choice: Choice, limited: Sequence[Mapping[str, Any]]) -> str:
    """` at concurrency 1 and 4`, ` at every concurrency measured`; nothing where there is one."""
    if choice.chosen["concurrency"].nunique() == 1:
        return ""
    if all(map(is_limited, records(choice.chosen))):
        return " at every concurrency measured"
    levels = sorted({int(row["concurrency"]) for row in limited})
    return f" at concurrency {numbers.listed(list(map(str, levels)))}"


def _below(choice: Choice) -> Iterator[str]:
    """`Concurrency 2 is significantly slower.`: what a tie of concurrencies leaves out, where nothing else varies."""
    if tables.varying(choice.chosen) != ["concurrency"]:
        return
    left = tables.trusted(choice.chosen).drop(index=choice.tied.index, errors="ignore")
    levels = [str(each) for each in sorted(left["concurrency"])]
    verb = "is" if len(levels) == 1 else "are"
    if levels:
        yield f"Concurrency {numbers.listed(levels)} {verb} significantly slower."


def _factors(cells: pd.DataFrame, chosen: pd.DataFrame) -> list[str]:
    """What names a contender: what varies among them, and the engine where others were measured or nothing else names it."""
    varying = tables.varying(chosen)
    wanted = cells["engine"].nunique() > 1 or "concurrency" not in varying
    return [*(["engine"] if wanted and "engine" not in varying else []), *varying]


def _shared(cells: pd.DataFrame, chosen: pd.DataFrame) -> str:
    """` with docker, cold cache`: what all contenders share, where not every configuration of the run has it."""
    values = [
        factor_text(name, " or ".join(map(str, chosen[name].unique())))
        for name in _SHARED
        if cells[name].nunique() > chosen[name].nunique()
    ]
    return f" with {', '.join(values)}" if values else ""


def _most_often(stored: StoredRun, chosen: pd.DataFrame) -> str:
    """The most frequent error of the contenders, in brackets."""
    failures = tables.errors(stored, records(chosen))
    return f" (most often {failures.iloc[0]['code']})" if len(failures) else ""


def _lead(choice: Choice) -> Iterator[str]:
    """By how much the best leads the next on the same route, and the best other route: the faster of the two first."""
    cell, rivals = choice.cell, choice.chosen.drop(index=choice.place)
    same_route = (rivals["registry"] == cell["registry"]) & (rivals["proxy"] == cell["proxy"])
    found: list[tuple[float, str]] = []
    for title, others in (("The best other route", rivals[~same_route]), ("The next", rivals[same_route])):
        second = tables.best(others)
        if second is not None:
            name = tables.configuration(records(rivals.loc[[second]])[0], tables.varying(choice.chosen))
            rate = float(rivals.loc[second, "images_per_s"])
            start = f"{title} ({name}): {numbers.significant(rate)} images/s"
            found += [(-rate, said) for said in _lead_over(choice.answers[second], start)]
        elif len(others):
            found.append((math.inf, f"{title} had failures."))
    yield from (said for _, said in sorted(found))


def _lead_over(answer: Comparison, second: str) -> Iterator[str]:
    """How another compares with the best: `The next (concurrency 4): 72.1 images/s, 88% of that (CI 82%–95%).`"""
    if answer.ratio and answer.low and answer.high:
        share, low, high = map(numbers.percent, (answer.ratio, answer.low, answer.high))
        yield f"{second}, {share} of that (CI {low}–{high})."


def reservations(choice: Choice | None) -> list[str]:
    """What limits the answer of `best`: each one sentence, or two with what to do."""
    if choice is None:
        return []
    chosen, cell = choice.chosen, choice.cell
    fastest = choice.tied["wall_per_pull_s"].min()
    return [
        *_of_the_best(cell),
        *_left_out(chosen[chosen["wall_per_pull_s"] < fastest]),
        *_limited(chosen, cell),
    ]


def one_route(cells: pd.DataFrame) -> list[str]:
    """Of each mirror that was measured warm and with `any` cache: that both are one route, so that only warm can be the best."""
    states = cells.groupby("proxy", sort=False)["proxy_cache"].agg(set)
    both = [str(proxy) for proxy, seen in states.items() if {"any", "warm"} <= seen]
    return [f"`any` and `warm` use the same mirror, {proxy}. BEST compares only `warm`." for proxy in both]


def _of_the_best(cell: Mapping[str, Any]) -> Iterator[str]:
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


def _limited(chosen: pd.DataFrame, cell: Mapping[str, Any]) -> Iterator[str]:
    """That other contenders may be faster than measured, where the best is not client-limited itself."""
    limited = [row for row in records(chosen) if is_limited(row) and limit_kind(row) == "client_busy"]
    if limited and not is_limited(cell):
        yield f"{numbers.count(len(limited), 'other configuration')} may be faster than measured: client-limited."
