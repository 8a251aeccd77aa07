"""The sections about the run itself."""

import dataclasses
import json

from pullbench.report.core import sections
from pullbench.report.core.stored import StoredRun
from pullbench.report.run import page


def test_the_environment_has_units(full: StoredRun) -> None:
    made = sections.environment(full)
    assert "8.00 GB" in made and "max concurrent downloads" in made and "library/nginx:1.27" in made


def test_a_run_without_an_environment_has_its_spec_alone(full: StoredRun) -> None:
    bare = dataclasses.replace(full, run=dataclasses.replace(full.run, environment=""))
    assert [made.count("<h3>") for made in map(sections.environment, (full, bare))] == [2, 1]
    assert "library/nginx:1.27" in sections.environment(bare)


def test_the_method_says_how_many_repetitions_there_were(full: StoredRun) -> None:
    assert "5 repetitions" in page.method_notes(full)


def test_an_interfaces_speed_has_a_unit_and_none_is_unknown(full: StoredRun) -> None:
    environment = json.dumps({"nics": {"eth0": 10_000, "lo": 0}})
    made = sections.environment(dataclasses.replace(full, run=dataclasses.replace(full.run, environment=environment)))
    assert "eth0 (10,000 Mbit/s), lo (speed unknown)" in made


def test_the_ceilings_of_several_sinks_have_units_and_that_of_one_is_listed_once(full: StoredRun) -> None:
    def made(**ceilings: float) -> str:
        reported = {
            "client_ceiling_bytes_per_s": min(ceilings.values()),
            "client_ceiling_by_sink_bytes_per_s": ceilings,
        }
        run = dataclasses.replace(full.run, environment=json.dumps(reported))
        return str(sections.environment(dataclasses.replace(full, run=run)))

    assert "by sink · disk" in made(discard=1e9, disk=4e8) and "1.00 GB/s" in made(discard=1e9, disk=4e8)
    assert "by sink" not in made(discard=1e9)


def test_the_method_says_nothing_of_a_warm_up_that_there_was_not(full: StoredRun) -> None:
    bare = dataclasses.replace(full, spec=dict(full.spec) | {"warmup": 0})
    assert "of warm-up" in page.method_notes(full) and "of warm-up" not in page.method_notes(bare)
