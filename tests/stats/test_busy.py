"""How near a client was to its ceiling: by which of its limits, in the busier half of a trial."""

import pytest

from pullbench.stats.busy import MIN_WAKES, Busy, Window, busier_half, client_busy, machine_busy, waited_share


def window(**changes: float | None) -> Window:
    """A quarter of a second in which nothing happened; two cores were free."""
    idle = {"lasted_s": 0.25, "cpu_s": 0.0, "waited_s": 0.0, "used_s": 0.0, "wakes": 12, "late": 0}
    return Window(**{**idle, **changes})  # type: ignore[arg-type]


def test_an_idle_client_is_not_busy() -> None:
    assert client_busy([window()] * 4, cores=2, bytes_share=0.0).share == 0.0  # type: ignore[union-attr]


def test_guard_cores_a_client_that_uses_all_its_cores_is_at_its_ceiling() -> None:
    found = client_busy([window(cpu_s=0.5, used_s=0.5)] * 4, cores=2)
    assert found == Busy(share=1.0, limit="cores")


def test_guard_run_queue_a_client_whose_core_others_take_is_at_its_ceiling() -> None:
    taken = window(cpu_s=0.125, waited_s=0.125, used_s=0.25)
    assert client_busy([taken] * 4, cores=1) == Busy(share=1.0, limit="cores")


def test_guard_run_queue_others_on_a_core_that_it_does_not_want_are_no_limit() -> None:
    beside = window(cpu_s=0.05, waited_s=0.0, used_s=0.3)
    found = client_busy([beside] * 4, cores=2)
    assert found is not None and found.share == pytest.approx(0.1)


def test_guard_run_queue_its_own_threads_that_wait_for_each_other_count_once() -> None:
    crowded = window(cpu_s=0.25, waited_s=2.0, used_s=0.26)
    found = client_busy([crowded] * 4, cores=2)
    assert found is not None and found.share == pytest.approx(0.52)


def test_guard_lag_a_client_in_which_one_thread_at_a_time_may_run_is_at_its_ceiling_on_any_machine() -> None:
    locked = window(cpu_s=0.25, used_s=0.25, wakes=10, late=10)
    assert client_busy([locked] * 4, cores=64) == Busy(share=1.0, limit="lag")


def test_a_single_late_wake_of_a_short_trial_is_no_limit() -> None:
    short = window(wakes=MIN_WAKES - 1, late=MIN_WAKES - 1)
    assert client_busy([short], cores=2) == Busy(share=0.0, limit="cores")


def test_guard_bytes_a_client_that_receives_what_it_can_is_at_its_ceiling() -> None:
    assert client_busy([window(cpu_s=0.1)] * 4, cores=2, bytes_share=0.97) == Busy(share=0.97, limit="bytes")


def test_guard_windows_a_trial_at_its_limit_for_half_of_its_time_was_at_its_limit() -> None:
    full, idle = window(cpu_s=0.5, used_s=0.5), window()
    found = client_busy([idle, full, full, idle], cores=2)
    assert found is not None and found.share == pytest.approx(1.0)
    found = client_busy([full, idle, idle, idle], cores=2)
    assert found is not None and found.share == pytest.approx(0.5), "a burst in a quarter of it was not"


def test_windows_weigh_by_how_long_they_lasted() -> None:
    assert busier_half([(1.0, 1.0), (9.0, 0.0)]) == pytest.approx(0.2)
    assert busier_half([(2.0, 0.4)]) == pytest.approx(0.4)


def test_where_the_kernel_tells_nothing_of_others_its_own_time_is_what_counts() -> None:
    blind = window(cpu_s=0.2, waited_s=None, used_s=None)
    assert client_busy([blind] * 4, cores=1) == Busy(share=pytest.approx(0.8), limit="cores")
    assert machine_busy([blind] * 4, cores=1) is None
    assert waited_share([blind]) is None


def test_nothing_watched_is_nothing_known() -> None:
    assert client_busy([], cores=2) is None
    assert machine_busy([], cores=2) is None
    assert waited_share([window()]) is None


def test_a_machine_is_as_busy_as_its_cores_whoever_uses_them() -> None:
    assert machine_busy([window(cpu_s=0.01, used_s=0.75)] * 4, cores=4) == Busy(share=0.75, limit="cores")


def test_the_wait_for_a_core_is_a_share_of_the_time_in_which_one_was_wanted() -> None:
    assert waited_share([window(cpu_s=0.3, waited_s=0.1), window()]) == pytest.approx(0.25)


def test_a_client_that_did_better_than_its_ceiling_was_at_it_and_not_beyond() -> None:
    assert client_busy([window()] * 4, cores=2, bytes_share=1.42) == Busy(share=1.0, limit="bytes")
