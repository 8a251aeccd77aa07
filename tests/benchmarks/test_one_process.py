"""What a sitting says of the cores is what it measured."""

from benchmarks.one_process import cores_note


def test_more_than_one_core_in_use_is_shown_and_less_shows_nothing() -> None:
    assert "more than one" in cores_note(1.4)
    assert "does not show" in cores_note(0.58)
