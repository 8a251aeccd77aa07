"""The specs that ship: each loads, plans without contact, asks its question, and can be paid by its own budget."""

import json
from functools import cache
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml

from pullbench.bench.facts import offline_facts
from pullbench.bench.specfile import as_stress_spec, load_spec
from pullbench.model.plan import plan
from pullbench.model.spec import Spec, read_spec
from pullbench.model.stress_plan import plan_stress

SPECS = Path(__file__).parents[2] / "specs"
READY = sorted(SPECS.glob("*.yaml"))
VARIES = {
    "auth": "auth",
    "concurrency": "concurrency",
    "engines": "engine",
    "platforms": "platform",
    "proxy": "proxy",
    "regions": "region",
}
"""The factor that a spec is there for."""


@cache
def read(path: Path) -> Spec:
    return load_spec(path).spec


@cache
def schema() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads((SPECS / "spec.schema.json").read_text()))


def test_there_is_a_ready_spec_for_every_question() -> None:
    assert VARIES.keys() <= {path.stem for path in READY}


@pytest.mark.parametrize("path", READY, ids=lambda path: str(path.stem))
class TestAReadySpec:
    def test_is_read_again_from_what_a_run_stores_of_it(self, path: Path) -> None:
        spec = read(path)
        assert read_spec(json.loads(json.dumps(spec.redacted()))).hash() == spec.hash()

    def test_plans_offline_with_every_cell_that_it_names(self, path: Path) -> None:
        made = plan(read(path), offline_facts())
        assert made.trials
        assert all(entry.reason.endswith("it is measured with `any`") for entry in made.planned_out)

    def test_has_a_budget_that_its_plan_keeps(self, path: Path) -> None:
        spec = read(path)
        requests = plan(spec, offline_facts()).manifest_requests
        assert spec.budget.bytes is not None
        assert spec.budget.minutes is not None
        assert spec.budget.manifest_requests is not None
        assert spec.budget.manifest_requests >= requests

    def test_has_blocks_enough_for_a_verdict_and_a_block_of_warm_up(self, path: Path) -> None:
        assert read(path).repetitions >= 5
        assert read(path).warmup >= 1

    def test_has_an_slo_that_judges_only_where_it_is_the_question(self, path: Path) -> None:
        assert (read(path).slo is not None) == (path.stem == "stress")
        lines = path.read_text().splitlines(keepends=True)
        start = next(number for number, line in enumerate(lines) if line.startswith(("slo:", "# slo:")))
        uncommented = "".join((*lines[:start], *(line.removeprefix("# ") for line in lines[start:])))
        assert read_spec(yaml.safe_load(uncommented)).slo is not None

    def test_is_what_an_editor_accepts_by_the_schema_that_it_names(self, path: Path) -> None:
        first, _, rest = path.read_text().partition("\n")
        assert first == "# yaml-language-server: $schema=spec.schema.json"
        assert rest.startswith("# ")
        schema().validate(yaml.safe_load(rest))


def test_the_stress_test_that_ships_keeps_its_budget_and_ramps_one_setting() -> None:
    spec = as_stress_spec(load_spec(SPECS / "stress.yaml")).spec
    made = plan_stress(spec, offline_facts())
    assert [cell.concurrency for cell in made.cells] == [1, 2, 4, 8, 16, 32, 64]
    assert spec.budget.manifest_requests is not None
    assert made.manifest_requests <= spec.budget.manifest_requests


@pytest.mark.parametrize("stem", ["proxy-cache"])
def test_the_spec_of_a_mirror_measures_all_that_tells_when_it_pays(stem: str) -> None:
    made = plan(read(SPECS / f"{stem}.yaml"), offline_facts())
    assert {("direct", "any"), ("cache", "cold"), ("cache", "warm")} <= {
        (cell.proxy, cell.proxy_cache) for cell in made.cells
    }


@pytest.mark.parametrize(("stem", "factor"), VARIES.items())
def test_the_cells_differ_in_what_the_spec_is_there_for(stem: str, factor: str) -> None:
    made = plan(read(SPECS / f"{stem}.yaml"), offline_facts())
    assert len({cell.as_dict()[factor] for cell in made.cells}) > 1
