"""The arithmetic of the table of pullbench's own speed."""

from dataclasses import replace

import pyarrow.parquet as pq
import pytest

from benchmarks import record
from benchmarks.scorecard import (
    BEGIN,
    END,
    Goal,
    ScoreLine,
    as_markdown,
    as_text,
    measured,
    put_between_markers,
    ratios,
    wanted,
)
from benchmarks.sitting import measure


def line(**given: object) -> ScoreLine:
    return ScoreLine(**{"what": "wall beside curl", "values": (0.7, 0.9, 0.8), **given})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "goal", "verdict"),
    [
        ((0.7, 0.95, 0.9), Goal(bound=0.9), "met"),  # the bound itself meets it
        ((0.7, 0.95, 0.91), Goal(bound=0.9), "missed"),
        ((1.4, 1.5, 2.0), Goal(bound=1.5, at_least=True), "met"),
        ((1.4, 1.49, 2.0), Goal(bound=1.5, at_least=True), "missed"),
        ((0.0,), Goal(bound=0), "met"),
        ((1.0,), Goal(bound=0), "missed"),
        ((), Goal(bound=0.9), "not measured"),
        ((0.7,), None, "no goal"),
    ],
)
def test_the_median_of_the_rounds_is_held_against_the_goal(
    values: tuple[float, ...], goal: Goal | None, verdict: str
) -> None:
    assert line(values=values, goal=goal).verdict == verdict


def test_ratios_are_paired_by_round_so_that_a_slow_round_falls_out() -> None:
    ours, theirs = (1.0, 5.0, 1.0), (2.0, 10.0, 2.0)
    assert ratios(ours, theirs) == (0.5, 0.5, 0.5)
    assert line(values=ratios(ours, theirs)).spread == (0.5, 0.5)
    with pytest.raises(ValueError, match="shorter"):
        ratios(ours, theirs[:2])


def test_a_measure_shows_its_unit_and_the_spread_of_its_rounds() -> None:
    assert measured(line()) == "0.8 (0.7–0.9)"
    assert measured(line(values=(0.25,), unit="s")) == "0.25 s"
    assert measured(line(values=(1234.5, 150.0, 160.0), unit="MB")) == "160 MB (150–1,234)"
    assert measured(line(values=())) == "–"
    assert wanted(line(goal=Goal(bound=0.9))) == "≤ 0.9"
    assert wanted(line(goal=Goal(bound=1.5, at_least=True), unit="×")) == "≥ 1.5 ×"


def test_the_tables_say_what_was_missed_and_why_and_what_was_not_measured() -> None:
    lines = [
        line(goal=Goal(bound=0.5), ours="0.8 s", theirs="curl | openssl 1 s", note="the disk was slow"),
        line(what="wall beside crane", values=(), note="crane is not installed: not measured"),
    ]
    table = as_markdown(lines, "Measured here.")
    assert table.startswith("Measured here.\n\n| what |")
    assert "| wall beside curl [1] | 0.8 (0.7–0.9) | ≤ 0.5 | **missed** | 0.8 s | curl \\| openssl 1 s |" in table
    assert "| wall beside crane [2] | – |  | not measured |" in table
    assert "[1] the disk was slow  \n[2] crane is not installed: not measured" in table
    text = as_text(lines)
    assert "missed" in text and "    0.8 s against curl | openssl 1 s" in text and "    the disk was slow" in text


def test_a_new_table_takes_the_place_of_the_old_one_and_of_nothing_else() -> None:
    document = f"head\n{BEGIN}\nold\n{END}\ntail\n"
    assert put_between_markers(document, "new") == f"head\n{BEGIN}\nnew\n{END}\ntail\n"
    with pytest.raises(ValueError, match="benchmarks: begin"):
        put_between_markers("no markers", "new")


def test_each_round_has_every_contestant_once_in_no_fixed_turn_and_the_first_round_does_not_count() -> None:
    called: list[str] = []

    def counted(name: str, seconds: float) -> float:
        called.append(name)
        return seconds + 10 * (len(called) <= 2)

    taken = measure({"a": lambda: counted("a", 1.0), "b": lambda: counted("b", 2.0)}, rounds=9)
    pairs = {(called[turn], called[turn + 1]) for turn in range(0, 20, 2)}
    assert len(called) == 20 and pairs == {("a", "b"), ("b", "a")}
    assert (taken["a"].wall_s, taken["b"].wall_s) == ((1.0,) * 9, (2.0,) * 9)


def test_a_sitting_is_kept_with_its_machine_one_row_a_line(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record.clients, "versions", lambda: {"curl": "curl 7.88.1 (x86_64)"})
    machine = record.this_machine()
    path = tmp_path / "kept" / "sitting.parquet"
    record.write(path, [line(goal=Goal(bound=0.9), ours="0.8 s"), line(values=())], machine)
    first, second = pq.read_table(path).to_pylist()
    assert (first["median"], first["low"], first["high"], first["verdict"]) == (0.8, 0.7, 0.9, "met")
    assert (first["values"], first["cores"], first["kernel"]) == ([0.7, 0.9, 0.8], machine.cores, machine.kernel)
    assert (second["median"], second["goal"], second["verdict"]) == (None, None, "not measured")
    assert [each.name for each in path.parent.iterdir()] == ["sitting.parquet"]
    assert "curl 7.88.1, libcurl" in machine.caption()


def test_a_table_of_a_machine_with_other_work_says_so() -> None:
    machine = record.this_machine()
    assert "other work" not in replace(machine, load_before=0.2, cores=2).caption()
    assert "other work" in replace(machine, load_before=3.0, cores=2).caption()
