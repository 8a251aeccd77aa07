"""What an active run stores of a trial."""

from pathlib import Path

import pytest
import yaml

from pullbench.bench.active_run import ActiveRun
from pullbench.bench.specfile import load_spec
from pullbench.bench.workbench import Workbench
from pullbench.engines.base import PullOutcome, PullRequest
from pullbench.engines.fake import FakeEngine
from pullbench.errors import ErrorCode
from pullbench.store.dataset import ResultStore
from tests.bench.samples import facts_for, spec_data

SECRET = "hunter2-planted"


@pytest.mark.promise("secrets", "What a daemon, a client or a cache says is cleaned before it is stored")
def test_the_redaction_of_a_run_stores_no_secret_that_a_client_passes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon's words are a registry's, and a registry may say back what it was sent."""

    def pull(_self: FakeEngine, _request: PullRequest) -> PullOutcome:
        said = f"denied: you sent {SECRET}, Bearer abcdefghijklmnopqrst, https://x/y?sig=planted"
        return PullOutcome(ok=False, error_code=ErrorCode.FORBIDDEN, error=said, served_by=f"r.io X-Cache={SECRET}")

    monkeypatch.setattr(FakeEngine, "pull", pull)
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(spec_data()))
    environ = {"ME_USERNAME": "me", "ME_PASSWORD": SECRET}
    store = ResultStore(str(tmp_path / "results"))
    with Workbench(load_spec(tmp_path / "spec.yaml"), vantage="here", environ=environ) as bench:
        bench.keychain.credentials("env:ME", "r.io")
        active = ActiveRun.begin(bench, store, facts_for(bench.spec))
        active.run_trial(active.plan.trials[0])
    rows = store.table("pulls", active.run_id).to_pylist()
    assert {row["served_by"] for row in rows} == {"r.io X-Cache=(redacted)"}
    assert {row["error"] for row in rows} == {
        "denied: you sent (redacted), Bearer (redacted), https://x/y?sig=(redacted)"
    }
