"""Numbers as people read them."""

import math

import pytest

from pullbench.report.core import numbers


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0 µs"),
        (0.000_012_3, "12.3 µs"),
        (0.039_14, "39.1 ms"),
        (0.999_6, "1.00 s"),
        (1.0666, "1.07 s"),
        (9.996, "10.0 s"),
        (99.96, "100 s"),
        (125.2, "2 min 5 s"),
        (180.0, "3 min"),
        (7_384.0, "2 h 3 min"),
        (math.nan, "–"),
        (None, "–"),
    ],
)
def test_seconds(value: float | None, text: str) -> None:
    assert numbers.seconds(value) == text


def test_an_interval_names_its_unit_once_where_it_can() -> None:
    assert numbers.seconds_range(0.38, 0.402) == "380–402 ms"
    assert numbers.seconds_range(0.98, 1.02) == "980 ms – 1.02 s"
    assert numbers.seconds_range(110.0, 130.0) == "110 s – 2 min 10 s"
    assert numbers.seconds_range(math.nan, 1.0) == "–"


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (1.0, "100%"),
        (0.0, "0%"),
        (0.992, "99.2%"),
        (0.9996, "99.96%"),
        (0.99999, "99.999%"),
        (1 - 1e-8, "99.999999%"),
        (0.0004, "0.04%"),
    ],
)
def test_only_all_is_shown_as_100_percent(share: float, text: str) -> None:
    assert numbers.percent(share) == text


def test_ratios_rates_and_sizes_carry_their_unit() -> None:
    assert numbers.ratio(2.414) == "2.41×"
    assert numbers.ratio_range(2.31, 2.519) == "2.31–2.52"
    assert numbers.rate(96_100_000.0) == "96.1 MB/s"
    assert numbers.size(47_521_100) == "47.5 MB"
    assert {numbers.ratio(math.nan), numbers.rate(None), numbers.size(math.nan)} == {"–"}


def test_counts_agree_with_their_noun() -> None:
    assert [numbers.count(n, "pull") for n in (0, 1, 1_152)] == ["0 pulls", "1 pull", "1,152 pulls"]
    assert numbers.count(2, "registry") == "2 registries"


def test_a_share_below_nothing_or_above_the_whole_is_written_as_it_is() -> None:
    assert numbers.percent(-0.204) == "−20.4%"
    assert numbers.percent(1.25) == "125%"
