"""The sections about the run itself."""

import dataclasses
import json

import pandas as pd

from pullbench.report import context
from pullbench.report.stored import StoredRun


def test_what_preflight_found_wrong_comes_first_with_its_remedy(full: StoredRun) -> None:
    made = context.preflight(full.checks)
    assert made.index("rate-limit") < made.index("api")
    assert "expected: twice what the plan needs" in made
    assert "log in for a higher limit" in made
    assert "5 findings: 1 warn, 4 pass" in made


def test_what_passed_at_many_targets_is_one_row(full: StoredRun) -> None:
    first = full.checks[full.checks["check"] == "dns"]
    many = pd.concat([first.assign(target=f"registry-{number}") for number in range(30)], ignore_index=True)
    made = context.preflight(many)
    assert made.count("<tr") == 2
    assert "30 targets, such as registry-0" in made
    assert "What to do" not in made


def test_every_failed_finding_has_a_row_of_its_own(full: StoredRun) -> None:
    failed = full.checks.assign(status="fail", remedy="mend it")
    assert context.preflight(failed).count('class="failed"') == 5


def test_a_run_without_preflight_says_so(full: StoredRun) -> None:
    assert "Preflight was skipped" in context.preflight(full.checks.iloc[:0])


def test_the_environment_is_told_with_units(full: StoredRun) -> None:
    made = context.environment(full)
    assert "8.00 GB" in made and "docker · max concurrent downloads" in made and "library/nginx:1.27" in made


def test_a_run_without_an_environment_has_what_was_asked(full: StoredRun) -> None:
    bare = dataclasses.replace(full, run=dataclasses.replace(full.run, environment=""))
    made = context.environment(bare)
    assert "Where it ran" not in made and "What was asked" in made


def test_the_method_says_how_many_blocks_there_were(full: StoredRun) -> None:
    assert "Each of 5 blocks runs every cell once" in context.method(full)


def test_an_interfaces_speed_has_a_unit_and_none_is_unknown(full: StoredRun) -> None:
    environment = json.dumps({"nics": {"eth0": 10_000, "lo": 0}})
    made = context.environment(dataclasses.replace(full, run=dataclasses.replace(full.run, environment=environment)))
    assert "eth0 (10,000 Mbit/s), lo (speed unknown)" in made


def test_digests_in_findings_are_short(full: StoredRun) -> None:
    found = full.checks.assign(observed="sha256:" + "a" * 64, status="fail")
    made = context.preflight(found)
    assert ">sha256:aaaaaaaaaaaa…<" in made
