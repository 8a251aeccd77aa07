"""The record of a regional benchmark."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from pullbench.errors import UsageError
from pullbench.store.dataset import ResultStore
from pullbench.store.regional import Regional, RegionalRecords, VantageResult

RECORD = Regional(
    regional_id="20261125T120000Z-0001",
    name="regions",
    started_at=datetime(2026, 11, 25, 12, tzinfo=UTC),
    finished_at=datetime(2026, 11, 25, 13, tzinfo=UTC),
    in_turn=True,
    asked=(
        VantageResult(vantage="eu", answer="complete", run_id="20261125T120001Z-aaaa"),
        VantageResult(vantage="us", answer="missing", reason="nobody took the run"),
    ),
)


@pytest.fixture
def records(tmp_path: Path) -> RegionalRecords:
    return RegionalRecords(ResultStore(str(tmp_path)))


def test_what_was_written_is_read_back(records: RegionalRecords) -> None:
    records.write(RECORD)
    assert records.read(RECORD.regional_id) == RECORD


def test_one_that_is_not_there_is_told_with_those_that_are(records: RegionalRecords) -> None:
    records.write(RECORD)
    with pytest.raises(UsageError, match=r"'20261125T120000Z-9999' .* 20261125T120000Z-0001"):
        records.read("20261125T120000Z-9999")


def test_a_file_of_another_shape_is_told_in_one_line(records: RegionalRecords) -> None:
    records._store.files.put("regional/20261125T120000Z-0001.json", b'{"asked": 3}')
    with pytest.raises(UsageError, match="remove the file"):
        records.read("20261125T120000Z-0001")


def test_a_name_that_is_a_path_is_refused(records: RegionalRecords) -> None:
    with pytest.raises(UsageError, match="is not a run_id"):
        records.read("../../etc/passwd")
