"""The ways out that need no other process: the textfile and the addresses."""

import re
from pathlib import Path

import pytest

from pullbench.errors import IncompleteError, UsageError
from pullbench.monitor.export import Collected, listen_address, text, textfile, write_textfile
from pullbench.monitor.metrics import exposition
from tests.monitor.samples import snapshot


def families() -> list[object]:
    return list(exposition([snapshot()], 10_000).families())


def test_the_text_says_help_and_type_before_the_samples_of_each_metric() -> None:
    shown = text(families()).decode()  # type: ignore[arg-type]
    assert shown.index("# HELP pullbench_pulls ") < shown.index("# TYPE pullbench_pulls gauge")
    assert shown.index("# TYPE pullbench_pulls gauge") < shown.index("pullbench_pulls{")
    assert "# TYPE pullbench_pull_duration_seconds histogram" in shown
    assert len(re.findall(r"^# TYPE pullbench_pulls ", shown, re.MULTILINE)) == 1


def test_a_textfile_takes_the_place_of_the_old_one_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "pullbench.prom"
    path.write_text("old")
    write_textfile(path, families())  # type: ignore[arg-type]
    assert path.read_bytes() == text(families())  # type: ignore[arg-type]
    assert [entry.name for entry in tmp_path.iterdir()] == ["pullbench.prom"]


@pytest.mark.parametrize(("name", "said"), [("out.txt", "out.txt.prom"), ("nowhere/x.prom", "no such directory")])
def test_a_file_that_node_exporter_would_not_read_is_refused(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        textfile(tmp_path / name)


def test_a_textfile_that_cannot_be_written_is_told_with_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pullbench.monitor.export.put_on_disk", full)
    with pytest.raises(IncompleteError, match=r"x\.prom: No space left on device"):
        write_textfile(tmp_path / "x.prom", [])


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("127.0.0.1:9464", ("127.0.0.1", 9464)),
        (":9464", ("0.0.0.0", 9464)),
        ("[::1]:0", ("::1", 0)),
        ("metrics.example.com:80", ("metrics.example.com", 80)),
    ],
)
def test_a_listen_address_is_host_and_port(given: str, address: tuple[str, int]) -> None:
    assert listen_address(given) == address


@pytest.mark.parametrize("given", ["9464", "localhost", "localhost:http", "localhost:70000", "a@b:1", "h:1/x", ""])
def test_what_is_no_address_is_told_with_an_example(given: str) -> None:
    with pytest.raises(UsageError, match=r"127\.0\.0\.1:9464"):
        listen_address(given)


def test_a_scrape_gets_what_was_put_last() -> None:
    collected = Collected()
    assert collected.collect() == []
    collected.put(families())  # type: ignore[arg-type]
    assert len(collected.collect()) > 10
