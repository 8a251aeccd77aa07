"""What a fleet's benchmark makes of a spec, before anything is contacted."""

from pathlib import Path

import pytest
import yaml

from pullbench.app.fleet import fleet_settings
from pullbench.bench.specfile import load_spec
from pullbench.cli import regional
from pullbench.errors import UsageError
from pullbench.model.spec import Overrides
from tests.bench.samples import spec_data


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "spec.yaml"
    path.write_text(yaml.safe_dump(spec_data(load={"mode": "open", "rate": 5})))
    return path


def test_every_node_pulls_the_first_image_once_and_all_at_the_same_moment(spec: Path) -> None:
    made = load_spec(spec, sets=fleet_settings(spec, 40, None, ["repetitions=3"])).spec
    assert made.images == ["app/one:1"]
    assert made.matrix.concurrency == [40]
    assert (made.pulls_per_trial, made.repetitions, made.load.mode) == (40, 3, "closed")


def test_another_image_may_be_named(spec: Path) -> None:
    assert load_spec(spec, sets=fleet_settings(spec, 2, "app/two:1", [])).spec.images == ["app/two:1"]


def test_the_number_of_nodes_goes_before_the_forms_concurrency(spec: Path) -> None:
    overrides = Overrides(concurrency=[1, 2])
    made = load_spec(spec, sets=fleet_settings(spec, 7, None, [], overrides), overrides=overrides).spec
    assert made.matrix.concurrency == [7]


def test_a_daemon_is_refused_by_name_and_so_is_a_fleet_of_none(spec: Path) -> None:
    with pytest.raises(UsageError, match="'docker' keeps what it pulls"):
        fleet_settings(spec, 2, None, ["matrix.engines=[docker]", "matrix.concurrency=[1]"])
    with pytest.raises(UsageError, match="nodes: 0 is too few"):
        fleet_settings(spec, 0, None, [])


def test_vantages_without_a_server_are_a_matter_of_usage(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regional, "server_address", lambda: None)
    with pytest.raises(UsageError, match="vantages are reached through a Prefect server: set PREFECT_API_URL"):
        regional.regional(spec, results="memory://", reports=spec.parent)
