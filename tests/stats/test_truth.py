"""The statistics find the truth as often as they say, in fewer data sets than `python -m benchmarks truth` takes."""

import math

from benchmarks.truth import Figure, figures

OFF = 3.0
"""Standard errors that the share of a few data sets may lie beyond its limit."""


def allowed(limit: float, figure: Figure) -> float:
    """How far a figure may be off a limit by chance, where the limit is the truth."""
    return OFF * math.sqrt(limit * (1 - limit) / figure.of)


def test_intervals_verdicts_knees_and_steps_are_as_right_as_they_must_be() -> None:
    made = list(figures(40, seed=2, of_curves=14))
    assert len(made) > 40
    for one in made:
        assert one.least - allowed(one.least, one) <= one.share <= one.most + allowed(one.most, one), one


def test_the_same_seed_gives_the_same_figures() -> None:
    assert list(figures(1, seed=3, of_curves=1)) == list(figures(1, seed=3, of_curves=1))
