"""The made-up runs that the other tests read are stored as real ones are."""

import pyarrow.parquet as pq

from pullbench.store.dataset import ResultStore
from tests.report import synthetic
from tests.report.synthetic import RUN_ID, Recipe


def test_a_made_up_run_is_stored_as_writing_its_trials_and_compacting_them_would(tmp_path) -> None:
    recipe = Recipe(concurrency=(1,), blocks=2, pulls=2)
    synthetic.make(tmp_path / "at-once", recipe)
    store = ResultStore(str(tmp_path / "by-trial"))
    for trial, result in synthetic.trials_of(recipe)[0]:
        store.write_trial(RUN_ID, "office", trial, result)
    store.compact(RUN_ID)
    for name in ("pulls", "transfers", "trials"):
        one, other = (pq.read_table(tmp_path / each / name / RUN_ID) for each in ("at-once", "by-trial"))
        assert len(one) and one.equals(other, check_metadata=True)
        assert [path.name for path in (tmp_path / "at-once" / name / RUN_ID).iterdir()] == ["compacted.parquet"]
