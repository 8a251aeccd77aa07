"""The report's section about preflight."""

import pandas as pd

from pullbench.report.core.sections import preflight
from pullbench.report.core.stored import StoredRun


def test_what_preflight_found_wrong_comes_first_with_its_remedy(full: StoredRun) -> None:
    made = preflight(full.checks)
    assert made.index("rate-limit") < made.index("api")
    assert "twice what" in made
    assert "a higher limit" in made
    assert "5 findings: 1 warn, 4 pass" in made


def many(full: StoredRun, number: int = 30) -> pd.DataFrame:
    first = full.checks[full.checks["check"] == "dns"]
    return pd.concat([first.assign(target=f"registry-{place}") for place in range(number)], ignore_index=True)


def test_what_passed_at_many_places_is_one_row_and_each_finding_is_folded(full: StoredRun) -> None:
    made = preflight(many(full))
    shown, _, folded = made.partition("<details>")
    assert shown.count("<tr") == 2
    assert "30 targets" in shown and "registry-0" in shown and "registry-1" not in shown
    assert "What to do" not in made and "To fix" not in made
    assert folded.count("<tr") == 31


def test_a_place_has_its_images_in_its_row(full: StoredRun) -> None:
    images = many(full, 3).assign(check="image", target=["eu a:1", "eu b:1", "eu via cache a:1"])
    places = many(full, 2).assign(target=["eu", "eu via cache"])
    shown = preflight(pd.concat([places, images], ignore_index=True)).partition("<details>")[0]
    assert shown.count("<tr") == 3
    assert shown.count("dns, image") == 2 and "dns, image (2)" in shown


def test_every_failed_finding_has_a_row_of_its_own(full: StoredRun) -> None:
    failed = full.checks.assign(status="fail", remedy="mend it")
    assert preflight(failed).count('class="failed"') == 5


def test_what_a_failed_check_saw_is_folded_beside_it_and_bounded(full: StoredRun) -> None:
    failed = full.checks.iloc[:1].assign(status="fail", remedy="mend it", evidence='{"body": "<b>' + "x" * 9_000 + '"}')
    made = preflight(failed)
    assert "<details" in made
    assert "&lt;b&gt;xxx" in made and "<b>" not in made
    assert made.count("x") < 4_500


def test_a_run_without_preflight_says_so(full: StoredRun) -> None:
    made = preflight(full.checks.iloc[:0])
    assert "skipped" in made and "<table>" not in made


def test_digests_in_findings_are_short(full: StoredRun) -> None:
    found = full.checks.assign(observed="sha256:" + "a" * 64, status="fail", remedy="mend it")
    assert ">sha256:aaaaaaaaaaaa…<" in preflight(found)


def test_a_command_that_mends_stands_in_full_and_as_code_and_is_no_markup(full: StoredRun) -> None:
    command = "sudo sh -c 'echo <b>' && " + "true && " * 60 + "systemctl reload docker"
    made = preflight(full.checks.iloc[:1].assign(status="fail", remedy=f"`{command}` mends it"))
    shown = made.partition("<details>")[0]
    assert "systemctl reload docker</code> mends it" in shown and "<b>" not in shown
