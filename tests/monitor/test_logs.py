"""Log lines: ECS, one a line, with codes and without secrets; and the Elasticsearch and Filebeat examples agree with them."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import yaml

from pullbench.errors import ErrorCode, UsageError
from pullbench.model.finding import Finding, Status
from pullbench.monitor.logs import EcsLog
from tests.monitor.samples import STARTED_AT, run
from tests.store.sample import pull, result, trial

ELK = Path(__file__).parents[2] / "monitoring" / "elk"
FAILED = Finding(
    check="tcp",
    target="eu",
    status=Status.FAIL,
    observed="[connect_refused] 192.0.2.1:443: connection refused",
    remedy="start the registry",
    duration_s=0.25,
    code=ErrorCode.CONNECT_REFUSED,
)
Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "pullbench.json"


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def log(path: Path, told: list[str]) -> Iterator[EcsLog]:
    opened = EcsLog(path, told.append)
    yield opened
    opened.close()


@pytest.fixture
def lines(path: Path) -> Lines:
    return lambda: [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def everything(log: EcsLog) -> None:
    """A line of every kind."""
    about = run(labels={"commit": "3f4ff3c", "team.name": "Zoë"})
    log.run_started(about, cells=2, trials=6)
    log.findings([FAILED, replace(FAILED, status=Status.WARN)], benchmark="weekly", run=about)
    failing = result(1)
    served = replace(failing.pulls[0], served_by="192.0.2.1", attempts=3)
    log.trial(about, trial(1), replace(failing, pulls=(served, *failing.pulls[1:])))
    log.run_ended(about, message="complete", verdict="met", exit_code=0, report=Path("reports/x/index.html"))
    log.run_stopped(about, why="interrupted", error_type="KeyboardInterrupt", exit_code=3)


def flat(document: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Leaves by their dotted names, as Elasticsearch sees them."""
    leaves: dict[str, Any] = {}
    for name, value in document.items():
        leaves |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return leaves


def test_a_failed_pull_is_a_line_with_its_error_code_and_where_it_came_from(log: EcsLog, lines: Lines) -> None:
    log.trial(run(), trial(7), result(7))
    failed, measured = lines()
    assert failed["error"] == {"code": "reset", "message": "connection reset by peer"}
    assert failed["event"]["action"] == "pull-failed"
    assert failed["event"]["outcome"] == "failure"
    assert failed["log.level"] == "error"
    assert failed["container"]["image"]["name"] == "app:1"
    where = failed["pullbench"]
    assert (where["run_id"], where["benchmark"], where["vantage"]) == (run().run_id, "weekly", "office")
    assert (where["trial"], where["engine"], where["registry"], where["proxy"]) == (7, "wire-serial", "eu", "direct")
    assert measured["event"]["action"] == "trial-measured"
    assert (measured["pullbench"]["pulls"], measured["pullbench"]["succeeded"]) == (2, 1)


def test_pulls_that_succeeded_are_counted_in_their_trials_line_alone(log: EcsLog, lines: Lines) -> None:
    fine = result(1)
    log.trial(run(), trial(1), replace(fine, pulls=tuple(pull(n) for n in range(50))))
    assert [line["event"]["action"] for line in lines()] == ["trial-measured"]


def test_a_failed_pull_stands_at_the_time_at_which_it_failed(log: EcsLog, lines: Lines) -> None:
    made = result(3)
    log.trial(run(), trial(3), made)
    failed = made.pulls[0]
    said = datetime.fromisoformat(lines()[0]["@timestamp"])
    assert abs(said - (failed.started_at + timedelta(seconds=failed.duration_s))) < timedelta(milliseconds=2)
    assert lines()[0]["event"]["duration"] == failed.duration_s * 1e9


def test_every_line_is_ecs_and_says_what_kind_it_is(log: EcsLog, lines: Lines) -> None:
    everything(log)
    assert len(lines()) == 7
    for line in lines():
        assert {"@timestamp", "message", "log.level", "ecs.version", "event", "service"} <= set(line)
        assert line["event"]["dataset"].startswith("pullbench.")
        assert line["event"]["outcome"] in ("success", "failure", "unknown")
        assert line["service"]["name"] == "pullbench"
        assert "origin" not in line["log"]
        assert "process" not in line


@pytest.mark.parametrize(
    ("status", "observed", "level", "outcome", "code"),
    [
        (Status.PASS, "connected in 4 ms", "info", "success", None),
        (Status.WARN, "[stalled] slow", "warning", "success", ErrorCode.STALLED),
        (Status.FAIL, "[connect_refused] refused", "error", "failure", ErrorCode.CONNECT_REFUSED),
        (Status.ERROR, "[connect_refused] as a registry may write", "error", "unknown", None),
        (Status.SKIP, "plain HTTP", "info", "unknown", None),
    ],
)
def test_a_finding_has_its_status_and_its_own_code_whatever_its_text_starts_with(
    log: EcsLog, lines: Lines, status: Status, observed: str, level: str, outcome: str, code: ErrorCode | None
) -> None:
    log.findings([replace(FAILED, status=status, observed=observed, code=code)], benchmark="daily")
    (line,) = lines()
    assert (line["log.level"], line["event"]["outcome"]) == (level, outcome)
    assert line.get("error", {}).get("code") == code
    assert line["pullbench"]["check_status"] == status
    assert line["pullbench"]["benchmark"] == "daily"
    assert "run_id" not in line["pullbench"]


def test_how_a_run_ended_is_a_line(log: EcsLog, lines: Lines) -> None:
    about = run()
    log.run_ended(about, message="complete, SLO missed: mean_pull_s", verdict="missed", exit_code=1, report=None)
    log.run_stopped(None, why="r.io: no such host", error_type="UsageError", exit_code=2)
    ended, stopped = lines()
    assert (ended["event"]["outcome"], ended["pullbench"]["verdict"], ended["log.level"]) == (
        "failure",
        "missed",
        "warning",
    )
    assert (stopped["error"]["type"], stopped["pullbench"]["exit_code"]) == ("UsageError", 2)
    assert "report" not in ended["pullbench"]


def test_what_is_not_known_is_left_out_rather_than_null(log: EcsLog, lines: Lines) -> None:
    everything(log)
    assert not [name for line in lines() for name, value in flat(line).items() if value is None]


def test_nothing_of_the_spec_but_names_and_labels_is_written(log: EcsLog, path: Path) -> None:
    secret = json.dumps({"registries": [{"headers": {"X-Token": "hunter2"}}]})
    log.run_started(run(spec=secret, environment='{"user": "hunter2"}', facts="hunter2"), cells=1, trials=1)
    assert "hunter2" not in path.read_text()


def test_a_text_with_line_ends_stays_one_line(log: EcsLog, lines: Lines) -> None:
    log.findings([replace(FAILED, observed='two\nlines and a "quote"')], benchmark="x")
    assert lines()[0]["error"]["message"] == 'two\nlines and a "quote"'


def test_a_file_that_logrotate_moved_away_is_opened_again(log: EcsLog, lines: Lines, path: Path) -> None:
    log.run_started(run(), cells=1, trials=1)
    path.rename(path.with_suffix(".1"))
    log.run_started(run(), cells=1, trials=1)
    assert len(lines()) == 1


def test_two_processes_append_to_one_file(log: EcsLog, lines: Lines, path: Path) -> None:
    other = EcsLog(path, print)
    for number in range(3):
        log.run_started(run(), cells=number, trials=1)
        other.run_started(run(), cells=number, trials=1)
    other.close()
    assert [line["pullbench"]["cells"] for line in lines()] == [0, 0, 1, 1, 2, 2]


def test_a_log_that_cannot_be_opened_is_told_before_anything_is_measured(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no/such/folder/x\.json: "):
        EcsLog(tmp_path / "no/such/folder/x.json", print)


def test_a_full_disk_is_told_once_and_stops_nothing(
    log: EcsLog, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(log._handler, "format", full)
    everything(log)
    assert len(told) == 1
    assert "[Errno 28]" in told[0]


def test_a_folder_that_went_away_is_told_once_and_stops_nothing(log: EcsLog, told: list[str], path: Path) -> None:
    path.unlink()
    path.parent.rename(path.parent.with_name("moved"))
    everything(log)
    assert len(told) == 1


def template() -> dict[str, str]:
    """The fields of the index template with their types, dotted."""
    mappings = json.loads((ELK / "index-template.json").read_text())["template"]["mappings"]
    return _fields(mappings["properties"], "")


def _fields(properties: dict[str, Any], prefix: str) -> dict[str, str]:
    found = {}
    for name, entry in properties.items():
        if "properties" in entry:
            found |= _fields(entry["properties"], f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = entry["type"]
    return found


def _is_date(value: Any) -> bool:
    return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None


FITS: dict[str, Callable[[Any], bool]] = {
    "keyword": lambda value: isinstance(value, str) and len(value) < 1024,
    "match_only_text": lambda value: isinstance(value, str),
    "long": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "date": _is_date,
}


def test_every_field_that_is_written_stands_in_the_index_template_with_its_type(log: EcsLog, lines: Lines) -> None:
    everything(log)
    known = template()
    for name, value in (leaf for line in lines() for leaf in flat(line).items()):
        if name.startswith("labels."):
            assert re.fullmatch(r"labels\.[^.]+", name)
            continue
        assert name in known, name
        for each in value if isinstance(value, list) else [value]:
            assert FITS[known[name]](each), f"{name} is no {known[name]}: {each!r}"


def test_every_field_of_the_index_template_is_written(log: EcsLog, lines: Lines) -> None:
    everything(log)
    written = {name for line in lines() for name in flat(line)}
    assert set(template()) - {"labels"} <= written


def test_labels_are_keywords_whatever_they_hold() -> None:
    mappings = json.loads((ELK / "index-template.json").read_text())["template"]["mappings"]
    first = mappings["dynamic_templates"][0]["labels"]
    assert first == {"path_match": "labels.*", "mapping": {"type": "keyword"}}


def test_every_error_code_fits_the_keyword_that_dashboards_group_by() -> None:
    assert template()["error.code"] == "keyword"
    assert all(re.fullmatch(r"[a-z_]+", code) for code in ErrorCode)


def test_filebeat_reads_the_lines_as_they_are_into_an_index_that_the_template_covers() -> None:
    config = yaml.safe_load((ELK / "filebeat.example.yml").read_text())
    (source,) = config["filebeat.inputs"]
    assert source["type"] == "filestream"
    parser = source["parsers"][0]["ndjson"]
    assert (parser["target"], parser["overwrite_keys"], parser["expand_keys"]) == ("", True, True)
    patterns = json.loads((ELK / "index-template.json").read_text())["index_patterns"]
    assert any(fnmatchcase(config["output.elasticsearch"]["index"], pattern) for pattern in patterns)
    assert config["setup.template.enabled"] is False
    assert config["setup.ilm.enabled"] is False


def test_a_run_that_goes_on_says_how_many_trials_are_left(log: EcsLog, lines: Lines) -> None:
    log.run_started(run(started_at=STARTED_AT), cells=2, trials=4)
    assert "4 trials left" in lines()[0]["message"]
