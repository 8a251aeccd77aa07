"""Why a goal was missed is reckoned from what was measured."""

from benchmarks.large_layers import why_missed


def test_the_cores_that_client_and_registry_share_bound_a_pull() -> None:
    said = why_missed(0.6, 0.4, 2)
    assert "0.60 + 0.40 CPU s" in said and "at least 0.50 s" in said
