"""Preflight at a glance: the worst status of each check and place, and what to fix in words."""

import pandas as pd

from pullbench.report.figures import grids


def checks(*rows: tuple[str, str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["check", "target", "status"])


def test_a_place_shows_the_worst_of_its_targets() -> None:
    made = grids.panel(checks(("dns", "eu", "pass"), ("image", "eu a:1", "pass"), ("image", "eu b:1", "fail")))
    assert "1 failure: image." in made
    assert made.count(">fail<") == 2 and made.count(">pass<") == 2, "in the wide and the narrow drawing"


def test_a_check_that_could_not_run_differs_from_a_failure() -> None:
    made = grids.panel(checks(("dns", "eu", "pass"), ("http2", "eu", "error"), ("tls", "eu", "skip")))
    assert "1 error: http2." in made and ">fail<" not in made


def test_all_well_is_said_with_its_n() -> None:
    made = grids.panel(checks(("dns", "eu", "pass"), ("tcp", "eu", "pass")))
    assert "2 findings in 2 checks" in made and not any(word in made for word in ("failure", "warning", "error"))


def test_under_two_checks_there_is_nothing_to_draw() -> None:
    assert grids.panel(checks(("dns", "eu", "pass"))) == ""
    assert grids.panel(pd.DataFrame()) == ""


def test_the_worst_places_are_drawn_where_there_are_too_many() -> None:
    rows = [(check, f"r{number}", "pass") for number in range(9) for check in ("dns", "tcp")]
    made = grids.panel(checks(*rows, ("dns", "bad", "fail"), ("tcp", "bad", "pass")))
    assert "4 more " in made and "1 failure: dns." in made


def test_a_hostile_target_stays_text() -> None:
    name = "<script>x</script>\u202e" + "y" * 10_000
    made = grids.panel(checks(("dns", name, "fail"), ("tcp", name, "pass")))
    assert "<script" not in made and "\u202e" not in made
