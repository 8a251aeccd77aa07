"""The sections about the run itself."""

import dataclasses
import json

from pullbench.report.core import sections
from pullbench.report.core.stored import StoredRun
from pullbench.report.run import page


def test_the_environment_is_told_with_units(full: StoredRun) -> None:
    made = sections.environment(full)
    assert "8.00 GB" in made and "docker · max concurrent downloads" in made and "library/nginx:1.27" in made


def test_a_run_without_an_environment_has_what_was_asked(full: StoredRun) -> None:
    bare = dataclasses.replace(full, run=dataclasses.replace(full.run, environment=""))
    made = sections.environment(bare)
    assert "Where it ran" not in made and "What was asked" in made


def test_the_method_says_how_many_blocks_there_were(full: StoredRun) -> None:
    assert "Each of 5 blocks runs every cell once" in page.method_notes(full)


def test_an_interfaces_speed_has_a_unit_and_none_is_unknown(full: StoredRun) -> None:
    environment = json.dumps({"nics": {"eth0": 10_000, "lo": 0}})
    made = sections.environment(dataclasses.replace(full, run=dataclasses.replace(full.run, environment=environment)))
    assert "eth0 (10,000 Mbit/s), lo (speed unknown)" in made


def test_the_ceilings_of_several_sinks_have_units_and_that_of_one_stands_once(full: StoredRun) -> None:
    def made(**ceilings: float) -> str:
        told = {
            "client_ceiling_bytes_per_s": min(ceilings.values()),
            "client_ceiling_by_sink_bytes_per_s": ceilings,
        }
        run = dataclasses.replace(full.run, environment=json.dumps(told))
        return str(sections.environment(dataclasses.replace(full, run=run)))

    assert "by sink · disk" in made(discard=1e9, disk=4e8) and "1.00 GB/s" in made(discard=1e9, disk=4e8)
    assert "by sink" not in made(discard=1e9)


def test_no_warm_up_is_not_told_of(full: StoredRun) -> None:
    bare = dataclasses.replace(full, spec=dict(full.spec) | {"warmup": 0})
    assert "warm-up, stored" in page.method_notes(full) and "warm-up, stored" not in page.method_notes(bare)
