"""The examples of docs/api.md, run from top to bottom against an embedded registry."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from pullbench.lab.embedded import EmbeddedLab

pytestmark = [pytest.mark.integration]
PAGE = Path(__file__).parents[2] / "docs" / "api.md"


def test_every_example_of_the_page_runs(
    lab: EmbeddedLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = lab.spec(True)
    data["images"], data["warmup"] = data["images"][:1], 1
    data["matrix"] = {"registries": ["eu"], "platforms": data["matrix"]["platforms"][:1]}
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(data))
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    assert len(blocks) == 4
    run, later = names["run"], names["later"]
    assert (run.status, later.status) == ("complete", "complete")
    assert len(run.configurations) == 2 and set(run.configurations["concurrency"]) == {1, 2}
    assert len(run.pulls) == 3 * 2 * data["pulls_per_trial"], "three repetitions of two configurations, without warm-up"
    assert len(run.table("pulls", warmup=True)) == 4 * 2 * data["pulls_per_trial"]
    assert run.transfers["warmup"].sum() == 0
    assert len(names["comparison"].configurations) == 2
    assert list(names["history"].runs["run_id"]) == [run.run_id, later.run_id]
    assert names["page"].is_file()
    assert run.run_id in capsys.readouterr().out
