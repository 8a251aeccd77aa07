"""What a calibration's lines are drawn to be, and what their processes are told."""

from pullbench.lab.calibration import draw_lines, link_part, server_part
from pullbench.model.calibration import Counted, Line, ReferenceMeasurement, Truth


def test_a_seed_draws_the_same_lines_again_and_another_seed_others() -> None:
    assert draw_lines(7, quick=False) == draw_lines(7, quick=False)
    assert draw_lines(7, quick=False) != draw_lines(8, quick=False)


def test_a_name_does_not_say_what_its_line_is_like() -> None:
    first = {draw_lines(seed, quick=True)[0].fault is not None for seed in range(1, 30)}
    assert first == {True, False}
    assert [line.name for line in draw_lines(3, quick=True)] == [f"line-{number}" for number in range(1, 8)]


def test_every_sort_of_truth_is_there_also_in_a_quick_calibration() -> None:
    for seed in range(1, 20):
        lines = draw_lines(seed, quick=True)
        assert any((line.round_trip_s or 0) >= 0.05 and (line.rate_bytes_per_s or 0) >= 25e6 for line in lines)
        assert any(0 < (line.round_trip_s or 0) < 0.03 and (line.rate_bytes_per_s or 1e9) <= 12e6 for line in lines)
        for name in ("jitter_s", "service_s", "fault_rate", "handshake_s", "hit_rate"):
            assert any(getattr(line, name) is not None for line in lines), name


def test_a_server_is_told_its_own_truth() -> None:
    late = server_part(Line(name="a", service_s=0.03), images="/images", seed=5)
    assert late == {"seed": 5, "service_s": 0.03, "images": "/images"}
    faulty = server_part(Line(name="b", fault="server_error", fault_rate=0.2), images="/images", seed=5)
    assert faulty["faults"] == [{"kind": "server_error", "rate": 0.2, "on": "layer"}]
    slow = server_part(Line(name="c", handshake_s=0.1), images="/images", seed=5)
    assert slow["faults"] == [{"kind": "latency", "rate": 1.0, "on": "connection", "seconds": 0.1}]
    cache = server_part(Line(name="d", hit_rate=0.75), images="/images", seed=5)
    assert cache == {"seed": 5, "forgets": 0.25}, "it has no images of its own"


def test_a_link_has_half_of_the_round_trip_each_way() -> None:
    line = Line(name="a", round_trip_s=0.08, rate_bytes_per_s=1e7, jitter_s=0.02)
    assert link_part(line, seed=5) == {
        "delay_s": 0.04,
        "rate_bytes_per_s": 1e7,
        "jitter_s": 0.02,
        "exact": True,
        "seed": 5,
    }


def test_the_truth_comes_back_from_json_as_it_was() -> None:
    truth = Truth(
        seed=5,
        load=0.3,
        lines=draw_lines(5, quick=True),
        counted={"line-1": Counted(layers=4, layer_bytes=40, layer_hits=0, faults=1)},
        references={"line-1": ReferenceMeasurement(wait_s=0.08)},
    )
    assert Truth.from_dict(truth.as_dict() | {"lines": [dict(line) for line in truth.as_dict()["lines"]]}) == truth
