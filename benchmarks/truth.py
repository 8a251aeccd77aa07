"""Whether the statistics are right: simulated runs of known truth, and how often intervals, verdicts and change points find it.

A pull takes exp(configuration + repetition + drift + noise). All configurations share the speed of a repetition and the drift. Each
pull has noise of its own, normal or with a heavy tail. With a heavy tail one pull in twenty stalls for ten times as long, and
repetitions follow Student's t with three degrees of freedom. `pullbench.stats` judges the data sets as it judges a run's.
"""

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pullbench.stats.change_points import find_change_points
from pullbench.stats.compare import MARGIN, Blocks, Comparison, ComparisonVerdict, compare_paired, compare_unpaired
from pullbench.stats.scaling import Scaling, scaling
from pullbench.stats.slo import score_mean, score_percentile
from pullbench.stats.summary import median_estimate, wilson

PULLS = 8
DATA_SETS_A_ROUND = 200
BLOCK_SPREAD = 0.15
"""Standard deviation of the speed of a repetition, as a logarithm: about 15%."""
PULL_SPREAD = 0.3
RAMP = 0.15
"""Drift from a run's first repetition to its last, as a logarithm: as large as a repetition's spread, too small to be detected."""
STEEP_RAMP = 0.6
STALLED, STALL = 0.05, math.log(10)
CONCURRENCIES = (1, 2, 4, 8, 16, 32)
RUN_NOISE, CURVE_NOISE = 0.06, 0.08
RUNS, STEP_IN_NOISE, NEAR = 60, 1.5, 5
"""Of a history: its runs, its change in units of the noise, and how many runs off a change point still counts as found."""

Random = np.random.Generator
Values = NDArray[np.float64]
Hit = Callable[[Random], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """The kind of runs that are simulated."""

    heavy: bool = False
    ramp: float = 0.0
    spread: float = 1.0
    """Spread of configurations and pulls, as a share of the usual."""

    def shared(self, random: Random, blocks: int) -> Values:
        """What all configurations share: the speed of each repetition, and the drift, around zero."""
        speeds = random.standard_t(3, blocks) / math.sqrt(3) if self.heavy else random.normal(0, 1, blocks)
        drift: Values = BLOCK_SPREAD * speeds + self.ramp * np.linspace(-0.5, 0.5, blocks)
        return drift

    def cell(self, random: Random, shared: Values, effect: float) -> dict[int, list[float]]:
        """A configuration's pulls by repetition, in seconds; `effect` is the logarithm of its time in seconds."""
        own = self.spread * random.normal(0, BLOCK_SPREAD / 2, len(shared))
        noise = self.spread * random.normal(0, PULL_SPREAD, (len(shared), PULLS))
        if self.heavy:
            noise += np.where(random.random(noise.shape) < STALLED, STALL, 0.0)
        times = np.exp(effect + (shared + own)[:, None] + noise)
        return dict(enumerate(times.tolist()))

    @functools.cache  # noqa: B019  (a world is a constant)
    def typical(self) -> float:
        """The logarithm that a configuration's median estimates: the mean over very many repetitions of their medians' logarithms."""
        many = self.cell(np.random.default_rng(0), np.zeros(30_000), 0.0)
        return float(np.mean(np.log(np.median(list(many.values()), axis=1))))


CALM, HEAVY, DRIFTING, STEEP = Scenario(), Scenario(heavy=True), Scenario(ramp=RAMP), Scenario(ramp=STEEP_RAMP)
QUIET = Scenario(spread=0.25)
Question = tuple[str, Hit, float, float]
Compare = Callable[[Sequence[tuple[Blocks, Blocks]]], list[Comparison]]
COVERS, COVERS_97, RARE = (0.93, 0.97), (0.95, 0.99), (0.0, 0.05)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of the table: how often it was right, and the bounds for that."""

    name: str
    share: float
    least: float
    most: float
    of: int

    @property
    def right(self) -> bool:
        return self.least <= self.share <= self.most


def figures(data_sets: int, seed: int = 1, *, of_curves: int | None = None) -> Iterator[Figure]:
    """Every figure, each with `data_sets` data sets (`of_curves` where a curve is fitted) and random numbers of its own."""
    for number, (name, hit, least, most) in enumerate(questions()):
        random = np.random.default_rng([seed, number])
        count = of_curves if of_curves and hit.__qualname__.startswith(("_knee", "_law")) else data_sets
        yield Figure(name=name, share=sum(map(hit, [random] * count)) / count, least=least, most=most, of=count)


def questions() -> Iterator[Question]:
    """Every question with the bounds of the share of data sets that must answer yes."""
    yield from _intervals()
    yield from _verdicts()
    yield from _curves()
    yield from _histories()


def _intervals() -> Iterator[Question]:
    typical = HEAVY.typical()
    for blocks in (3, 5, 10, 30, 60):
        yield f"interval of a median, {blocks} repetitions", _median(CALM, blocks), *COVERS
        yield f"interval of a median, {blocks} repetitions, heavy tails", _median(HEAVY, blocks, typical), *COVERS
        yield f"interval of a median, {blocks} repetitions, drift", _median(DRIFTING, blocks), *COVERS
    yield "interval of a median, 10 repetitions, steep drift (warned)", _median(STEEP, 10), 0.93, 1.0
    for kind, world in (("", CALM), (", heavy tails", HEAVY), (", steep drift", STEEP)):
        yield f"interval of a ratio within a run, 5 repetitions{kind}", _ratio(world, compare_paired), *COVERS_97
    for kind, world in (("", CALM), (", heavy tails", HEAVY)):
        yield f"interval of a ratio between runs, 5 repetitions{kind}", _ratio(world, compare_unpaired), *COVERS_97
    yield "interval of a mean, 10 repetitions", _mean, *COVERS
    yield "interval of a success rate, 50 to 2,000 pulls", _success, *COVERS
    # Ranks are whole numbers: the exact interval never contains the truth too rarely, and contains it too often for small n.
    yield "interval of a 99th percentile, 1,000 answers (exact)", _percentile(1_000), 0.93, 1.0
    yield "interval of a 99th percentile, 10,000 answers", _percentile(10_000), *COVERS


def _verdicts() -> Iterator[Question]:
    for kind, world in (("", CALM), (", heavy tails", HEAVY), (", steep drift", STEEP)):
        yield f"false alarm within a run{kind}", _alarm(world, compare_paired, 1), *RARE
        yield f"false alarm in any of 8 comparisons{kind}", _alarm(world, compare_paired, 8), *RARE
    for kind, world in (("", CALM), (", heavy tails", HEAVY)):
        yield f"false alarm between runs{kind}", _alarm(world, compare_unpaired, 1), *RARE
        yield f"false alarm in any of 8 configurations between runs{kind}", _alarm(world, compare_unpaired, 8), *RARE
    yield "50% slower is called slower, 5 repetitions", _called(CALM, 5, 1.5, ComparisonVerdict.SLOWER), 0.8, 1.0
    yield (
        "no difference is called no difference, 30 quiet repetitions",
        _called(QUIET, 30, 1.0, ComparisonVerdict.NO_DIFFERENCE),
        0.8,
        1.0,
    )
    yield "10% slower called no difference", _called(QUIET, 30, 1.1, ComparisonVerdict.NO_DIFFERENCE), *RARE
    yield (
        "exactly the margin called no difference",
        _called(QUIET, 30, 1 + MARGIN, ComparisonVerdict.NO_DIFFERENCE),
        *RARE,
    )


def _curves() -> Iterator[Question]:
    yield "saturation point within one level, scalability law", _knee(law=True), 0.95, 1.0
    yield "saturation point within one level, hard limit", _knee(law=False), 0.95, 1.0
    yield "interval of the law's contention", _law_covers("contention"), *COVERS
    yield "interval of the law's coherency", _law_covers("coherency"), *COVERS


def _histories() -> Iterator[Question]:
    for kind, heavy in (("", False), (", heavy tails", True)):
        yield f"change of 1.5 × noise found within 5 of {RUNS} runs{kind}", _step(heavy), 0.85, 1.0
        yield f"false change point in {RUNS} steady runs{kind}", _false_step(heavy), *RARE


def _median(world: Scenario, blocks: int, truth: float = 0.0) -> Hit:
    def hit(random: Random) -> bool:
        found = median_estimate(list(world.cell(random, world.shared(random, blocks), 0.0).values()))
        return _within(found.low, math.exp(truth), found.high)

    return hit


def _ratio(world: Scenario, compare: Compare, truth: float = 0.8) -> Hit:
    def hit(random: Random) -> bool:
        (found,) = compare([_pair(world, random, 5, truth, paired=compare is compare_paired)])
        return _within(found.low, truth, found.high)

    return hit


def _mean(random: Random) -> bool:
    blocks = list(CALM.cell(random, CALM.shared(random, 10), 0.0).values())
    found = score_mean(blocks, 3.0)
    return _within(found.low, math.exp((BLOCK_SPREAD**2 * 1.25 + PULL_SPREAD**2) / 2), found.high)


def _success(random: Random) -> bool:
    rate, n = random.uniform(0.9, 1.0), int(random.integers(50, 2001))
    found = wilson(int(random.binomial(n, rate)), n)
    return _within(found.low, rate, found.high)


def _percentile(n: int) -> Hit:
    def hit(random: Random) -> bool:
        found = score_percentile(random.random(n).tolist(), 99, 1.0)
        return _within(found.low, 0.99, found.high)

    return hit


def _alarm(world: Scenario, compare: Compare, cells: int) -> Hit:
    """Whether any of `cells` configurations that are as fast as the baseline is called faster or slower."""

    def hit(random: Random) -> bool:
        shared = world.shared(random, 5)
        theirs = shared if compare is compare_paired else world.shared(random, 5)
        baselines = [world.cell(random, shared, 0.0)] * cells
        if compare is compare_unpaired:
            baselines = [world.cell(random, shared, 0.0) for _ in range(cells)]
        found = compare([(baseline, world.cell(random, theirs, 0.0)) for baseline in baselines])
        return any(entry.verdict in (ComparisonVerdict.FASTER, ComparisonVerdict.SLOWER) for entry in found)

    return hit


def _called(world: Scenario, blocks: int, truth: float, verdict: ComparisonVerdict) -> Hit:
    def hit(random: Random) -> bool:
        (found,) = compare_paired([_pair(world, random, blocks, truth, paired=True)])
        return found.verdict is verdict

    return hit


def _pair(world: Scenario, random: Random, blocks: int, truth: float, *, paired: bool) -> tuple[Blocks, Blocks]:
    """A baseline and a candidate that takes `truth` times as long, in the same repetitions or in those of another run."""
    shared = world.shared(random, blocks)
    theirs = shared if paired else world.shared(random, blocks)
    return world.cell(random, shared, 0.0), world.cell(random, theirs, math.log(truth))


def _curve(random: Random, *, law: bool) -> tuple[Values, float, float]:
    """True rates by concurrency, of the law with the contention and coherency given back, or proportional up to a limit."""
    n = np.asarray(CONCURRENCIES, dtype=np.float64)
    contention, coherency = random.uniform(0, 0.4), 10 ** random.uniform(-4, -1.3)
    if law:
        return n / (1 + contention * (n - 1) + coherency * n * (n - 1)), contention, coherency
    return np.minimum(n, 2 ** random.uniform(0, 5)), contention, coherency


def _scaled(random: Random, truth: Values) -> Scaling:
    noise = random.normal(0, BLOCK_SPREAD, (5, 1)) + random.normal(0, CURVE_NOISE, (5, len(truth)))
    rates = truth * np.exp(noise)
    return scaling({n: dict(enumerate(rates[:, index].tolist())) for index, n in enumerate(CONCURRENCIES)})


def _knee(*, law: bool) -> Hit:
    def hit(random: Random) -> bool:
        truth, _, _ = _curve(random, law=law)
        knee = int(np.argmax(truth >= truth.max() / (1 + MARGIN)))
        found = _scaled(random, truth).recommended
        return found is not None and abs(CONCURRENCIES.index(found) - knee) <= 1

    return hit


def _law_covers(name: str) -> Hit:
    def hit(random: Random) -> bool:
        truth, contention, coherency = _curve(random, law=True)
        found = _scaled(random, truth).law
        if found is None:
            return False
        value = {"contention": contention, "coherency": coherency}[name]
        return _within(getattr(found, f"{name}_low"), value, getattr(found, f"{name}_high"))

    return hit


def _history(random: Random, heavy: bool) -> Values:
    noise = random.standard_t(3, RUNS) / math.sqrt(3) if heavy else random.normal(0, 1, RUNS)
    values: Values = RUN_NOISE * noise
    return values


def _step(heavy: bool) -> Hit:
    def hit(random: Random) -> bool:
        logs, at = _history(random, heavy), int(random.integers(RUNS // 3, 2 * RUNS // 3))
        logs[at:] += STEP_IN_NOISE * RUN_NOISE
        return any(
            abs(step.at - at) <= NEAR and step.ratio > 1
            for step in find_change_points(np.exp(logs).tolist()).change_points
        )

    return hit


def _false_step(heavy: bool) -> Hit:
    return lambda random: bool(find_change_points(np.exp(_history(random, heavy)).tolist()).change_points)


def _within(low: float | None, value: float, high: float | None) -> bool:
    return low is not None and high is not None and low <= value <= high


def run(rounds: int) -> None:
    """Print each figure, with 200 data sets a round, and the bounds for it."""
    wrong = 0
    print(f"simulated truth, {DATA_SETS_A_ROUND * rounds:,} data sets a line")
    for figure in figures(DATA_SETS_A_ROUND * rounds):
        wrong += not figure.right
        must = f"{figure.least:.0%} to {figure.most:.0%}"
        print(
            f"  {figure.name:<62} {figure.share:6.1%}  {must:>12}  {'' if figure.right else 'WRONG'}".rstrip(),
            flush=True,
        )
    print("every figure is within its bounds" if not wrong else f"{wrong} figures are out of their bounds")
