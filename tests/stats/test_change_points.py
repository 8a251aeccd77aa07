"""Steps in a history of runs: found where they are, and seldom where they are not."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pullbench.stats.change_points import MIN_RUNS, find_change_points

STEADY = settings(deadline=None, derandomize=True, database=None, max_examples=60)


def history(*levels: tuple[int, float], noise: float = 0.02, seed: int = 1) -> list[float]:
    """Runs at each level (how many, seconds) with noise."""
    generator = np.random.default_rng(seed)
    values = np.concatenate([np.full(runs, value) for runs, value in levels])
    return list(values * np.exp(generator.normal(0, noise, len(values))))


def test_a_step_is_found_where_it_is_with_its_ratio() -> None:
    found = find_change_points(history((15, 1.0), (15, 1.2)))
    (change,) = found.change_points
    assert change.at == 15
    assert change.ratio == pytest.approx(1.2, rel=0.03)
    assert change.ratio == pytest.approx(change.after / change.before)
    assert change.p < 0.01
    assert [(segment.start, segment.end) for segment in found.segments] == [(0, 15), (15, 30)]
    assert found.segments[0].low is not None and found.segments[0].high is not None
    assert found.segments[0].low <= 1.0 <= found.segments[0].high


def test_a_regression_that_was_mended_is_two_steps() -> None:
    found = find_change_points(history((20, 1.0), (10, 1.3), (20, 1.0)))
    assert [change.at for change in found.change_points] == [20, 30]
    assert [change.ratio > 1 for change in found.change_points] == [True, False]


def test_a_steady_history_has_no_step() -> None:
    found = find_change_points(history((40, 1.0)))
    assert found.change_points == ()
    assert [(segment.start, segment.end) for segment in found.segments] == [(0, 40)]


def test_one_bad_run_or_two_are_no_step_however_bad() -> None:
    for bad in ([10], [10, 11]):
        values = history((25, 1.0))
        for at in bad:
            values[at] *= 50
        assert find_change_points(values).change_points == ()


@pytest.mark.parametrize("runs", [0, 1, 2, 5])
def test_too_few_runs_show_no_step(runs: int) -> None:
    found = find_change_points([float(2**run) for run in range(runs)])
    assert found.change_points == ()
    assert len(found.segments) == (1 if runs else 0)
    assert all((segment.low is None) == (runs < 3) for segment in found.segments)


def test_runs_that_are_all_equal_have_no_step() -> None:
    assert find_change_points([0.3] * 30).change_points == ()


def test_a_step_without_noise_is_found() -> None:
    (change,) = find_change_points([1.0] * 10 + [2.0] * 10).change_points
    assert (change.at, change.ratio) == (10, pytest.approx(2.0))


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_a_history_takes_only_numbers_above_zero(value: float) -> None:
    with pytest.raises(ValueError, match="above zero"):
        find_change_points([1.0, value])


@STEADY
@given(st.lists(st.floats(0.01, 100), max_size=40), st.floats(0.1, 10))
def test_levels_cover_the_history_once_whatever_the_unit(values: list[float], unit: float) -> None:
    found = find_change_points(values)
    assert [entry.at for entry in found.change_points] == [segment.start for segment in found.segments[1:]]
    assert all(a.end == b.start for a, b in itertools.pairwise(found.segments))
    assert all(segment.end - segment.start >= MIN_RUNS for segment in found.segments) or len(found.segments) == 1
    assert sum(segment.end - segment.start for segment in found.segments) == len(values)
    assert [entry.at for entry in find_change_points([value * unit for value in values]).change_points] == [
        s.at for s in found.change_points
    ]


@STEADY
@given(st.lists(st.floats(0.5, 2.0), min_size=6, max_size=40))
def test_the_same_history_has_the_same_steps(values: list[float]) -> None:
    assert find_change_points(values) == find_change_points(list(values))
