"""The report's section about concurrency: what to choose in each setting, and what less would cost."""

from collections.abc import Sequence

from pullbench.report.core import numbers
from pullbench.report.render.html import Column, Html, Row, join, paragraph, table, tag
from pullbench.report.run.curves import Curve, at_once, at_peak, law_says, says
from pullbench.stats.scaling import ConcurrencyLevel, Cost

MOST_CURVES = 24


def chosen(found: Sequence[Curve]) -> Html:
    """A sentence, or a row a setting, with the recommendation; folded all levels; nothing without a curve."""
    if not found:
        return Html()
    if len(found) == 1:
        law = paragraph(f"Universal scalability law: {law_says(found[0])}.", kind="note")
        return join([paragraph(says(found[0])), law, _levels(found)])
    columns = [
        Column(title="Setting", setting=True),
        Column(title="Recommended", number=True, hint="the fewest at once from which more brings nothing that matters"),
        Column(
            title="Speed-up", number=True, hint="images a second beside the fewest at once; 95% interval over blocks"
        ),
        Column(title="With fewer at once", number=True, hint="how much of that rate the next fewer would lose"),
        Column(title="Scalability law", prose=True, hint="the universal scalability law, fitted; 95% interval"),
        Column(title="Notes", setting=True),
    ]
    rows = [_row(curve) for curve in found[:MOST_CURVES]]
    left = f" {len(found) - len(rows)} more are in `pullbench show --json`." if len(found) > len(rows) else ""
    caption = f"How many pulls at once, in {numbers.count(len(found), 'setting')}.{left}"
    return join([table(columns, rows, caption=caption), _levels(found[:MOST_CURVES])])


def _row(curve: Curve) -> Row:
    found = curve.scaling
    if found.recommended is None:
        empty = [numbers.NOT_KNOWN] * 3
        return Row(contents=[curve.name, *empty, law_says(curve), says(curve)])
    at = next(level for level in found.levels if level.concurrency == found.recommended)
    less = found.costs[-1] if found.costs else None
    lost = numbers.NOT_KNOWN if less is None else f"{at_once(less.concurrency)}: {_less(less)}"
    return Row(
        contents=[
            curve.name,
            at_once(found.recommended),
            _speedup(at, of=found.levels[0]),
            lost,
            law_says(curve),
            _notes(curve),
        ]
    )


def _speedup(level: ConcurrencyLevel, *, of: ConcurrencyLevel) -> str:
    """Of the fewest at once there is none to tell: it is what the others are held against, and known without an interval."""
    if level is of:
        return numbers.NOT_KNOWN
    return f"{numbers.ratio(level.speedup)} ({numbers.ratio_range(level.speedup_low, level.speedup_high)})"


def _less(cost: Cost) -> str:
    shown = cost.low is not None and cost.low > 0
    return f"{numbers.percent(cost.lost)} less" if shown else "no loss shown"


def _notes(curve: Curve) -> str:
    found, notes = curve.scaling, []
    if found.knee is None:
        near = "about the law's peak" if at_peak(found) else "the rate still rises"
        notes.append(f"the highest measured: {near}")
    elif found.knee_low != found.knee_high:
        notes.append(f"at 95% from {found.knee_low} to {found.knee_high} at once")
    if curve.left_out:
        listed = ", ".join(map(str, curve.left_out))
        notes.append(f"left out for failures: {listed} at once")
    if curve.busy_from is not None:
        notes.append(f"client near its limit from {curve.busy_from} at once on")
    return "; ".join(notes)


def _levels(found: Sequence[Curve]) -> Html:
    """Every level of every curve, folded: rate, speed-up, efficiency, and the loss beside the recommended one."""
    columns = [
        *([Column(title="Setting", setting=True)] if len(found) > 1 else []),
        Column(title="At once", number=True),
        Column(title="Images a second", number=True, hint="geometric mean over blocks, trials without failures"),
        Column(title="Speed-up", number=True, hint="beside the fewest at once, paired by block"),
        Column(title="95% interval", number=True),
        Column(title="Efficiency", number=True, hint="the speed-up by what perfect scaling would give"),
        Column(title="Loses", number=True, hint="of the recommended concurrency's rate"),
        Column(title="95% interval", number=True),
    ]
    rows = [_level(curve, level, named=len(found) > 1) for curve in found for level in curve.levels]
    if not rows:
        return Html()
    made = table(columns, rows, caption="Speed-up, efficiency, and what choosing fewer at once costs")
    return tag("details", tag("summary", "Speed-up and efficiency by concurrency"), made)


def _level(curve: Curve, level: ConcurrencyLevel, *, named: bool) -> Row:
    recommended = level.concurrency == curve.scaling.recommended
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
        "recommended" if recommended else numbers.percent(None if cost is None else cost.lost),
        _span(cost),
    ]
    return Row(contents=contents, kind="best" if recommended else None)


def _span(cost: Cost | None) -> str:
    if cost is None or cost.low is None or cost.high is None:
        return numbers.NOT_KNOWN
    return f"{numbers.percent(cost.low)} – {numbers.percent(cost.high)}"
