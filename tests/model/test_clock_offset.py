"""What Date tells of two clocks: never more than it can, and never wrong."""

import math
import random

import pytest

from pullbench.model.clock_offset import ClockOffset, ClockReading, between, clock_offset


def reading(true_offset_s: float, at_s: float, way_s: float = 0.0) -> ClockReading:
    """An answer of a server whose clock is `true_offset_s` behind this one; the server stamps it half way."""
    stamped = at_s + way_s / 2 - true_offset_s
    return ClockReading(asked_s=at_s, answered_s=at_s + way_s, date_s=math.floor(stamped))


def test_one_answer_tells_half_a_second_and_half_the_way() -> None:
    found = clock_offset([reading(0.0, 100.25, way_s=0.1)])
    assert found is not None
    assert found.known_to_s == pytest.approx(0.55)
    assert abs(found.offset_s) <= found.known_to_s


def test_answers_at_every_tenth_of_a_second_narrow_it_to_a_tenth() -> None:
    found = clock_offset([reading(3.7, 100 + number / 10) for number in range(11)])
    assert found is not None
    assert found.known_to_s <= 0.0501
    assert abs(found.offset_s - 3.7) <= found.known_to_s


def test_the_true_offset_lies_within_the_bounds_wherever_in_the_second_and_however_long_the_way() -> None:
    draw = random.Random(4)
    for _ in range(300):
        offset, at = draw.uniform(-400, 400), draw.uniform(0, 1000)
        readings = [reading(offset, at + number * draw.uniform(0.05, 0.2), draw.uniform(0, 0.3)) for number in range(6)]
        found = clock_offset(readings)
        assert found is not None
        assert abs(found.offset_s - offset) <= found.known_to_s + 1e-6


def test_answers_that_contradict_each_other_make_it_less_known_not_more() -> None:
    found = clock_offset([reading(0.0, 100.5), reading(10.0, 100.6)])
    assert found is not None
    assert found.known_to_s > 5
    assert found.offset_s - found.known_to_s <= 0.0 and found.offset_s + found.known_to_s >= 10.0


def test_nothing_is_known_without_an_answer() -> None:
    assert clock_offset([]) is None


def test_between_two_machines_what_is_not_known_of_either_adds_up() -> None:
    apart = between(ClockOffset(offset_s=2.0, known_to_s=0.1), ClockOffset(offset_s=-1.0, known_to_s=0.3))
    assert apart == ClockOffset(offset_s=3.0, known_to_s=0.4)
