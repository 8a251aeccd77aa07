"""The pulls of a configuration by image."""

import dataclasses
from collections.abc import Callable

import pandas as pd
import pytest

from pullbench.report.core import tables
from pullbench.report.core.stored import StoredRun
from pullbench.report.run import advice, documents, page, pulls, verdicts
from pullbench.report.run.documents import document_of
from pullbench.report.run.page import RunPage
from pullbench.report.run.phases import pull_phases
from tests.report.synthetic import Recipe

Make = Callable[[Recipe], StoredRun]
SMALL = Recipe(engines=("docker", "wire"), routes=(("eu", "direct"),), concurrency=(1, 2), failure_rate=0.0)


def of_sizes(stored: StoredRun, **times: float) -> StoredRun:
    """The run with images whose size is a multiple of what it was, by the image's short name."""
    names = stored.pulls["image"].astype(str).str.extract(r"/(\w+):")[0]
    factor = names.map(times).fillna(1.0)
    return dataclasses.replace(stored, pulls=stored.pulls.assign(bytes=stored.pulls["bytes"].astype(float) * factor))


def test_every_image_of_each_engine_has_a_row(make: Make) -> None:
    rows = document_of(make(SMALL))["images"]
    assert [row["engine"] for row in rows] == ["docker"] * 4 + ["wire"] * 4
    assert {row["image"] for row in rows} == set(SMALL.images)
    assert {(row["concurrency"], row["pulls"], row["failed"], row["blocks"]) for row in rows} == {(1, 10, 0, 5)}
    assert all(row["median_low_s"] < row["median_s"] < row["median_high_s"] for row in rows)


def test_a_row_has_no_interval_under_three_repetitions(make: Make) -> None:
    rows = document_of(make(dataclasses.replace(SMALL, blocks=2)))["images"]
    assert {row["median_low_s"] for row in rows} == {None} and all(row["median_s"] for row in rows)


def test_the_pulls_of_all_images_are_those_of_the_configuration(make: Make) -> None:
    document = document_of(make(dataclasses.replace(SMALL, failure_rate=0.2, routes=(("us", "direct"),))))
    for phases in document["phases"]:
        mine = [row for row in document["images"] if row["engine"] == phases["engine"]]
        assert sum(row["pulls"] - row["failed"] for row in mine) == phases["pulls"]
    assert sum(row["failed"] for row in document["images"])


@pytest.mark.parametrize(("times", "is_said"), [(1.4, False), (20.0, True)])
def test_the_cause_names_the_images_sizes_where_they_differ(make: Make, times: float, is_said: bool) -> None:
    (first, *_) = document_of(of_sizes(make(SMALL), python=times))["summary"]["cause"]
    assert ("over 4 images of 47.5–951 MB" in first) is is_said


def test_the_page_has_the_rows_where_there_are_two_images(make: Make) -> None:
    stored = make(SMALL)
    assert RunPage(stored).where_the_time_goes().count("library/redis:7") == 2
    alone = make(dataclasses.replace(SMALL, images=("library/redis:7",)))
    assert "Pulls by image" not in RunPage(alone).where_the_time_goes()
    assert "library/redis:7" in document_of(alone)["summary"]["cause"][0]


COMPUTED_ONCE = ("break_evens", "choose", "pull_phases", "summary")


def run_all(made: RunPage) -> None:
    made.header(), made.to_do(), made.payback(), made.configurations(), made.where_the_time_goes()


@pytest.mark.parametrize("made", [document_of, lambda stored: run_all(RunPage(stored))], ids=["document", "page"])
def test_what_several_parts_need_is_computed_once(
    make: Make, made: Callable[[StoredRun], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    stored, counted = make(SMALL), list[str]()

    def counting(module: object, name: str) -> None:
        whole = getattr(module, name)

        def count(*given: object) -> object:
            counted.append(name)
            return whole(*given)

        monkeypatch.setattr(module, name, count)

    for name in COMPUTED_ONCE:
        for module in (documents, verdicts, page, pulls, advice):
            if hasattr(module, name):
                counting(module, name)
    made(stored)
    assert sorted(counted) == sorted(COMPUTED_ONCE)


def test_a_run_without_pulls_has_no_images(make: Make) -> None:
    stored = make(dataclasses.replace(SMALL, fail_everywhere=True))
    assert isinstance(document_of(stored)["images"], list)
    assert pd.DataFrame(document_of(stored)["images"]).empty


def test_an_image_has_one_size_whatever_layers_an_engine_had_already(make) -> None:  # type: ignore[no-untyped-def]
    stored = make(Recipe(concurrency=(1,), routes=(("eu", "direct"),), failure_rate=0.0))
    docker = stored.pulls["engine"] == "docker"
    stored.pulls.loc[docker, "bytes"] = stored.pulls.loc[docker, "bytes"] // 2
    rows = [row for each in pull_phases(stored, tables.cells(stored.pulls, stored.trials)) for row in each.images]
    sizes: dict[str, set[float]] = {}
    for row in rows:
        sizes.setdefault(row["image"], set()).add(row["size_bytes"])
    assert len({row["engine"] for row in rows}) == 2 and all(len(found) == 1 for found in sizes.values())
