"""What the registry's share of the cores leaves of a ratio."""

from benchmarks.small_pulls import bound


def test_the_registrys_cpu_time_bounds_the_ratio_of_two_clients() -> None:
    said = bound(1.0, 2.5, 1.5)
    assert "1.60" in said and "2.7" in said
