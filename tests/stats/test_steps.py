"""Steps in a history of runs: found where they are, and seldom where they are not."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pullbench.stats.steps import MIN_RUNS, steps

STEADY = settings(deadline=None, derandomize=True, database=None, max_examples=60)


def history(*levels: tuple[int, float], noise: float = 0.02, seed: int = 1) -> list[float]:
    """Runs at each level (how many, seconds) with noise."""
    generator = np.random.default_rng(seed)
    values = np.concatenate([np.full(runs, value) for runs, value in levels])
    return list(values * np.exp(generator.normal(0, noise, len(values))))


def test_a_step_is_found_where_it_is_with_its_ratio() -> None:
    found = steps(history((15, 1.0), (15, 1.2)))
    (step,) = found.steps
    assert step.at == 15
    assert step.ratio == pytest.approx(1.2, rel=0.03)
    assert step.ratio == pytest.approx(step.after / step.before)
    assert step.p < 0.01
    assert [(level.start, level.end) for level in found.levels] == [(0, 15), (15, 30)]
    assert found.levels[0].low is not None and found.levels[0].high is not None
    assert found.levels[0].low <= 1.0 <= found.levels[0].high


def test_a_regression_that_was_mended_is_two_steps() -> None:
    found = steps(history((20, 1.0), (10, 1.3), (20, 1.0)))
    assert [step.at for step in found.steps] == [20, 30]
    assert [step.ratio > 1 for step in found.steps] == [True, False]


def test_a_steady_history_has_no_step() -> None:
    found = steps(history((40, 1.0)))
    assert found.steps == ()
    assert [(level.start, level.end) for level in found.levels] == [(0, 40)]


def test_one_bad_run_or_two_are_no_step_however_bad() -> None:
    for bad in ([10], [10, 11]):
        values = history((25, 1.0))
        for at in bad:
            values[at] *= 50
        assert steps(values).steps == ()


@pytest.mark.parametrize("runs", [0, 1, 2, 5])
def test_too_few_runs_show_no_step(runs: int) -> None:
    found = steps([float(2**run) for run in range(runs)])
    assert found.steps == ()
    assert len(found.levels) == (1 if runs else 0)
    assert all((level.low is None) == (runs < 3) for level in found.levels)


def test_runs_that_are_all_equal_have_no_step() -> None:
    assert steps([0.3] * 30).steps == ()


def test_a_step_without_noise_is_found() -> None:
    (step,) = steps([1.0] * 10 + [2.0] * 10).steps
    assert (step.at, step.ratio) == (10, pytest.approx(2.0))


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_a_history_takes_only_numbers_above_zero(value: float) -> None:
    with pytest.raises(ValueError, match="above zero"):
        steps([1.0, value])


@STEADY
@given(st.lists(st.floats(0.01, 100), max_size=40), st.floats(0.1, 10))
def test_levels_cover_the_history_once_whatever_the_unit(values: list[float], unit: float) -> None:
    found = steps(values)
    assert [entry.at for entry in found.steps] == [level.start for level in found.levels[1:]]
    assert all(a.end == b.start for a, b in itertools.pairwise(found.levels))
    assert all(level.end - level.start >= MIN_RUNS for level in found.levels) or len(found.levels) == 1
    assert sum(level.end - level.start for level in found.levels) == len(values)
    assert [entry.at for entry in steps([value * unit for value in values]).steps] == [s.at for s in found.steps]


@STEADY
@given(st.lists(st.floats(0.5, 2.0), min_size=6, max_size=40))
def test_the_same_history_has_the_same_steps(values: list[float]) -> None:
    assert steps(values) == steps(list(values))
