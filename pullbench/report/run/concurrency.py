"""What a higher concurrency gives, configuration by configuration: the curve, its saturation point, and what to choose."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pullbench.model.plan import FACTORS
from pullbench.report.core import numbers
from pullbench.report.core.client_limit import LIMITED_FROM, may_be_more
from pullbench.report.core.stored import StoredRun, measured, records
from pullbench.report.core.tables import label, varying
from pullbench.report.render.html import Column, Html, Row, join, paragraph, table, tag
from pullbench.stats.scaling import ConcurrencyLevel, Cost, Law, NoLaw, Scaling, scaling
from pullbench.stats.summary import MIN_BLOCKS

MOST_CURVES = 24
OTHERS = [name for name in FACTORS if name != "concurrency"]
_NEAR = 1.25
"""A peak up to so many times the highest concurrency measured leaves nothing to look for beyond it."""
_FAR = 4
"""A peak beyond so many times the highest concurrency measured is not reported: it is too much of a guess."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One configuration over the concurrencies that were measured; rates are pulls a second of trials without failures."""

    factors: Mapping[str, Any]
    """Every factor but concurrency."""
    name: str
    """What tells the run's curves apart; empty where there is one."""
    scaling: Scaling
    limited_from: int | None
    """The lowest concurrency that was client-limited."""
    may_be_more: str
    """What that leaves open, in words."""
    left_out: tuple[int, ...]
    """Measured concurrencies that have too few repetitions without failures."""

    @property
    def levels(self) -> tuple[ConcurrencyLevel, ...]:
        return self.scaling.levels


def curves(stored: StoredRun) -> list[Curve]:
    """A curve for each combination of the other factors that has two concurrencies, in the order of the factors."""
    trials = measured(stored.trials)
    if trials.empty:
        return []
    rates = (trials["pulls"] / trials["wall_s"]).where(trials["succeeded"] == trials["pulls"])
    several = [
        (dict(zip(OTHERS, key, strict=True)), mine, may_be_more(mine["engine_kind"].iloc[0], stored.environment))
        for key, mine in trials.assign(rate=rates).groupby(OTHERS, dropna=False)
        if mine["concurrency"].nunique() > 1
    ]
    shown = [name for name in varying(pd.DataFrame([factors for factors, *_ in several])) if name in OTHERS]
    return [_curve(factors, label(factors, shown), mine, more) for factors, mine, more in several]


def _curve(factors: Mapping[str, Any], name: str, trials: pd.DataFrame, more: str) -> Curve:
    rates: dict[int, dict[int, float]] = {}
    for row in records(trials.loc[trials["rate"].notna(), ["concurrency", "block", "rate"]]):
        rates.setdefault(int(row["concurrency"]), {})[int(row["block"])] = float(row["rate"])
    limited = trials.loc[trials["client_busy"] >= LIMITED_FROM, "concurrency"]
    limited_from = int(limited.min()) if len(limited) else None
    found = scaling(rates)
    kept = {level.concurrency for level in found.levels}
    left_out = tuple(sorted(int(each) for each in trials["concurrency"].unique() if each not in kept))
    return Curve(
        factors=factors, name=name, scaling=found, limited_from=limited_from, may_be_more=more, left_out=left_out
    )


def curve_of(found: Sequence[Curve], cell: Mapping[str, Any]) -> Curve | None:
    """The curve that a configuration lies on."""
    return next((curve for curve in found if all(cell[name] == curve.factors[name] for name in OTHERS)), None)


def json_curves(found: Sequence[Curve]) -> list[dict[str, Any]]:
    """The curves as JSON values: the factors, and `stats.scaling`'s fields; None for what is not known."""
    return [
        {
            **curve.factors,
            **dataclasses.asdict(curve.scaling),
            "levels": [dataclasses.asdict(level) for level in curve.scaling.levels],
            "costs": [dataclasses.asdict(cost) for cost in curve.scaling.costs],
            "client_busy_from": curve.limited_from,
            "left_out": list(curve.left_out),
        }
        for curve in found
    ]


def curve_says(curve: Curve) -> str:
    """Which concurrency to choose, how sure that is, and what a lower one would cost: a few short sentences."""
    found = curve.scaling
    if found.recommended is None:
        return f"The saturation point (knee) is not known: {_why_none(found)}."
    at = next(level for level in found.levels if level.concurrency == found.recommended)
    lowest = found.levels[0].concurrency
    chosen = f"Concurrency {at.concurrency}"
    if found.knee is None:
        end = (
            "The scalability law has its peak about there."
            if at_peak(found)
            else f"It is the highest {_measured(curve)}; a higher one may be better."
        )
        said = f"{chosen} gives {_gain(at)} the images/s of concurrency {lowest}. {end}"
    elif found.knee == lowest:
        said = f"{chosen} is enough. {_beyond(found)}"
    else:
        said = f"{chosen} gives {_gain(at)} the images/s of concurrency {lowest}. {_beyond(found)}"
    return f"{said}{_cost(found)}{_client_limit(curve)}"


def at_peak(found: Scaling) -> bool:
    """Whether the law has its peak about at the highest concurrency measured: more gives no gain."""
    law = found.law
    return law is not None and law.peak is not None and law.peak <= _NEAR * found.levels[-1].concurrency


def _measured(curve: Curve) -> str:
    return "without failures in half of the repetitions" if curve.left_out else "measured"


def law_says(curve: Curve) -> str:
    """The universal scalability law of a curve in words, or why there is none; without a full stop."""
    law, found = curve.scaling.law, curve.scaling
    if not found.levels:
        return "not known"
    if law is None:
        return {
            NoLaw.TOO_FEW_LEVELS: "not computed: it needs 4 concurrencies",
            NoLaw.TOO_FEW_BLOCKS: f"not computed: it needs {MIN_BLOCKS} repetitions",
            NoLaw.MISFIT: "does not fit these rates",
        }[found.no_law or NoLaw.TOO_FEW_LEVELS]
    waits = f"{numbers.percent(law.contention)} ({_share_span(law)}) of the work is serial"
    return f"{waits}; {_peak(law, found.levels[-1].concurrency)}; it is off by {numbers.percent(law.misfit)} on average"


def _share_span(law: Law) -> str:
    return f"{numbers.percent(law.contention_low)} – {numbers.percent(law.contention_high)}"


def _peak(law: Law, highest: int) -> str:
    if law.peak is None or law.peak > _FAR * highest:
        return "no peak near the measured range"
    beyond = ", above what was measured" if round(law.peak) > highest else ""
    return f"peak near concurrency {max(1, round(law.peak))}{beyond}"


def _why_none(found: Scaling) -> str:
    if not found.levels:
        return "no repetition measured every concurrency without a failure"
    if undecided(found):
        return f"it may be any from {found.knee_low} to {found.knee_high} (95% CI); more repetitions narrow it"
    return f"{found.blocks} of the {MIN_BLOCKS} complete repetitions needed"


def _gain(level: ConcurrencyLevel) -> str:
    span = numbers.ratio_range(level.speedup_low, level.speedup_high)
    return f"{numbers.significant(level.speedup)} times" + ("" if span == numbers.NOT_KNOWN else f" ({span})")


def undecided(found: Scaling) -> bool:
    """Whether there are repetitions enough, and the knee may still be any of the concurrencies measured."""
    return found.recommended is None and found.knee_low is not None


def _beyond(found: Scaling) -> str:
    """What a higher concurrency than the saturation point gives: nothing, or nothing significant."""
    if found.knee is not None and found.knee_high is not None and found.knee_high > found.knee:
        return f"A gain from more, up to concurrency {found.knee_high}, is inconclusive."
    span = ""
    if found.knee_low is not None and found.knee_low != found.knee_high:
        span = f" (saturation point at {found.knee_low} to {found.knee_high}, 95% CI)"
    return f"More gives no gain that matters{span}."


def _cost(found: Scaling) -> str:
    """Which lower concurrencies lose nothing significant, and what the next lower one loses."""
    alike = _as_good(found)
    whose = "its" if len(alike) == 1 else "their"
    said = f" Concurrency {numbers.listed(alike)} may be as good: {whose} loss is not significant." if alike else ""
    cost = found.costs[-1] if found.costs else None
    if cost is None or _is_as_good(cost):
        return said
    span = (
        ""
        if cost.low is None or cost.high is None
        else f" ({numbers.percent(cost.low)} – {numbers.percent(cost.high)})"
    )
    return f"{said} Concurrency {cost.concurrency} loses {numbers.percent(cost.lost)}{span} of that rate."


def _is_as_good(cost: Cost) -> bool:
    """Whether a lower concurrency may be as good; not where its interval is unknown."""
    return cost.low is not None and cost.low <= 0


def _as_good(found: Scaling) -> list[str]:
    return [str(cost.concurrency) for cost in found.costs if _is_as_good(cost)]


def _client_limit(curve: Curve) -> str:
    if curve.limited_from is None:
        return ""
    return f" From concurrency {curve.limited_from} on, this machine was the bottleneck: {curve.may_be_more}."


def recommendations(found: Sequence[Curve]) -> Html:
    """The recommendation in sentences, or a row a configuration; all levels are folded; nothing without a curve."""
    if not found:
        return Html()
    if len(found) == 1:
        law = paragraph(f"Universal scalability law: {law_says(found[0])}.", kind="note") if _has_law(found) else ""
        return join([paragraph(curve_says(found[0])), law, _levels(found)])
    with_law = _has_law(found)
    columns = [
        Column(title="Configuration", setting=True),
        Column(
            title="Saturation point (knee)",
            number=True,
            hint="the lowest concurrency from which more gives no gain that matters",
        ),
        Column(
            title="Speed-up",
            number=True,
            hint="images/s compared with the lowest concurrency; 95% interval over repetitions",
        ),
        Column(title="Next lower", number=True, hint="how much of that rate the next lower concurrency loses"),
        *([Column(title="Scalability law", prose=True, hint=_LAW_HINT)] if with_law else []),
        Column(title="Notes", setting=True),
    ]
    rows = [_row(curve, with_law=with_law) for curve in found[:MOST_CURVES]]
    left = f" {len(found) - len(rows)} more are in `pullbench show --json`." if len(found) > len(rows) else ""
    caption = f"Saturation point of {numbers.count(len(found), 'configuration')}.{left}"
    return join([table(columns, rows, caption=caption), _levels(found[:MOST_CURVES])])


_LAW_HINT = "the universal scalability law, fitted; 95% interval"


def _has_law(found: Sequence[Curve]) -> bool:
    """Whether some curve has levels enough for the law: nobody asked for one of two or three."""
    return any(curve.scaling.no_law is not NoLaw.TOO_FEW_LEVELS for curve in found if curve.scaling.levels)


def _row(curve: Curve, *, with_law: bool) -> Row:
    found = curve.scaling
    law = [law_says(curve)] if with_law else []
    if found.recommended is None:
        empty = [numbers.NOT_KNOWN] * 3
        return Row(contents=[curve.name, *empty, *law, curve_says(curve)])
    at = next(level for level in found.levels if level.concurrency == found.recommended)
    less = found.costs[-1] if found.costs else None
    lost = numbers.NOT_KNOWN if less is None else f"concurrency {less.concurrency}: {_less(less)}"
    return Row(
        contents=[
            curve.name,
            found.recommended,
            _speedup(at, of=found.levels[0]),
            lost,
            *law,
            _notes(curve),
        ]
    )


def _speedup(level: ConcurrencyLevel, *, of: ConcurrencyLevel) -> str:
    """None of the lowest concurrency: the others are compared with it."""
    if level is of:
        return numbers.NOT_KNOWN
    return f"{numbers.ratio(level.speedup)} ({numbers.ratio_range(level.speedup_low, level.speedup_high)})"


def _less(cost: Cost) -> str:
    shown = cost.low is not None and cost.low > 0
    return f"{numbers.percent(cost.lost)} less" if shown else "no significant loss"


def _notes(curve: Curve) -> str:
    found, notes = curve.scaling, list[str]()
    if found.knee is None:
        near = "near the law's peak" if at_peak(found) else "higher may be better"
        notes.append(f"the highest measured; {near}")
    elif found.knee_low != found.knee_high:
        notes.append(f"saturation point at {found.knee_low} to {found.knee_high} (95% CI)")
    if any(map(_is_as_good, found.costs[:-1])):
        notes.append(f"concurrency {numbers.listed(_as_good(found))} may be as good")
    if curve.left_out:
        listed = ", ".join(map(str, curve.left_out))
        notes.append(f"left out for failures: concurrency {listed}")
    if curve.limited_from is not None:
        notes.append(f"client-limited from concurrency {curve.limited_from} on")
    return "; ".join(notes)


def _levels(found: Sequence[Curve]) -> Html:
    """Every level of every curve, folded: rate, speed-up, efficiency, and the loss compared with the saturation point."""
    columns = [
        *([Column(title="Configuration", setting=True)] if len(found) > 1 else []),
        Column(title="Concurrency", number=True),
        Column(title="Images/s", number=True, hint="geometric mean over repetitions, trials without failures"),
        Column(title="Speed-up", number=True, hint="compared with the lowest concurrency, paired by repetition"),
        Column(title="95% interval", number=True),
        Column(title="Efficiency", number=True, hint="the speed-up divided by that of perfect scaling"),
        Column(
            title="Below the saturation point",
            number=True,
            hint="images/s, as a share of those at the saturation point",
        ),
        Column(title="95% interval", number=True),
    ]
    rows = [_level(curve, level, named=len(found) > 1) for curve in found for level in curve.levels]
    if not rows:
        return Html()
    made = table(columns, rows, caption="Speed-up, efficiency, and what a lower concurrency costs")
    return tag("details", tag("summary", "Speed-up and efficiency by concurrency"), made)


def _level(curve: Curve, level: ConcurrencyLevel, *, named: bool) -> Row:
    saturated = level.concurrency == curve.scaling.recommended
    cost = next((cost for cost in curve.scaling.costs if cost.concurrency == level.concurrency), None)
    contents = [
        *([curve.name] if named else []),
        level.concurrency,
        numbers.significant(level.rate),
        numbers.ratio(level.speedup),
        numbers.NOT_KNOWN
        if level is curve.scaling.levels[0]
        else numbers.ratio_range(level.speedup_low, level.speedup_high),
        numbers.percent(level.efficiency),
        "saturation point" if saturated else numbers.percent(None if cost is None else cost.lost),
        _cost_span(cost),
    ]
    return Row(contents=contents, kind="best" if saturated else None)


def _cost_span(cost: Cost | None) -> str:
    if cost is None or cost.low is None or cost.high is None:
        return numbers.NOT_KNOWN
    return f"{numbers.percent(cost.low)} – {numbers.percent(cost.high)}"
