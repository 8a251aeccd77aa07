"""When a fleet has an image, by hand-made arrivals whose answers are known."""

import dataclasses
import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pullbench.errors import ErrorCode
from pullbench.model.plan import Cell, Trial
from pullbench.model.record import Pull, RunRecord, TrialRecord, TrialResult
from pullbench.report.core.stored import StoredRun, read_run
from pullbench.report.fleet import times
from pullbench.report.fleet.page import FleetPage
from pullbench.report.render.render import FLEET_NOTEBOOK, RUN_NOTEBOOK, check_parameters
from pullbench.report.run.documents import document_of
from pullbench.report.run.verdicts import judged
from pullbench.store.dataset import ResultStore
from tests.words import text_of

RUN_ID = "20261125T120000Z-f1ee"
START = datetime(2026, 11, 25, 12, tzinfo=UTC)
SIZE = 1000
_NUMBERS = itertools.count(1)
Arrivals = Sequence[float | None]
"""When each node has the image, in seconds after the common start; None for one that failed."""


def cell(proxy: str, nodes: int) -> Cell:
    return Cell(
        engine="wire",
        engine_kind="wire",
        registry="up",
        region="eu",
        proxy=proxy,
        platform="linux/amd64",
        concurrency=nodes,
        cache="cold",
        proxy_cache="any",
        auth="persisted",
    )


def pull_of(number: int, at_s: float | None, late_s: float) -> Pull:
    return Pull(
        pull=number,
        image="app:1",
        digest="sha256:" + "0" * 64,
        intended_at=START,
        started_at=START + timedelta(seconds=late_s),
        queued_s=late_s,
        duration_s=(at_s or 9.0) - late_s,
        ok=at_s is not None,
        error_code=None if at_s is not None else ErrorCode.RESET,
        error=None,
        attempts=1,
        bytes=SIZE if at_s is not None else None,
        layers=1,
        layers_cached=None,
        layers_shared=None,
        auth_s=None,
        resolve_s=None,
        download_s=None,
        extract_s=None,
        served_by=None,
        node=f"10.0.0.{number}:4000/0",
    )


def stored(blocks: Mapping[str, Sequence[Arrivals]], *, origin: int | None = None, late_s: float = 0.0) -> StoredRun:
    """A run with these arrivals, by proxy and block."""
    store, number = ResultStore(f"memory://fleet-report-{next(_NUMBERS)}"), 0
    for proxy, trials in blocks.items():
        for block, arrivals in enumerate(trials):
            where = cell(proxy, len(arrivals))
            pulls = tuple(pull_of(place, at, late_s) for place, at in enumerate(arrivals))
            got = SIZE * sum(pull.ok for pull in pulls)
            record = TrialRecord(
                started_at=START,
                wall_s=1.0,
                setup_s=0.0,
                pulls=len(pulls),
                succeeded=sum(pull.ok for pull in pulls),
                bytes=got,
                throughput_bytes_per_s=float(got),
                cpu_s=0.1,
                client_busy=0.9,
                load_mode="closed",
                offered_rate=None,
                nodes=len(pulls),
                origin_bytes=origin,
            )
            trial = Trial(number=number, block=block, warmup=False, cell=where, images=("app:1",) * len(pulls))
            store.write_trial(RUN_ID, "fleet", trial, TrialResult(record=record, pulls=pulls, transfers=()))
            number += 1
    member = {"host": "<b>node</b>", "cores": 2, "clock_offset_s": -0.002, "clock_known_to_s": 0.001}
    run = RunRecord(
        run_id=RUN_ID,
        vantage="fleet",
        name="fleet",
        kind="fleet",
        started_at=START,
        finished_at=START,
        status="complete",
        seed=1,
        spec=json.dumps({"name": "fleet", "images": ["app:1"], "slo": {}}),
        spec_hash="0" * 64,
        facts="{}",
        environment=json.dumps({"fleet": {"tcp://10.0.0.1:4000": member}}),
        trials_planned=number,
    )
    store.write_run(run)
    return read_run(store, RUN_ID)


def only(run: StoredRun) -> dict[str, Any]:
    [row] = times.cells(run).to_dict("records")
    return {str(name): value for name, value in row.items()}


def test_first_half_and_last_count_from_the_common_start_lateness_included() -> None:
    row = only(stored({"direct": [[0.5, 3.0, 1.0, 2.0, 4.0]]}, late_s=0.25))
    assert (row["first_s"], row["half_s"], row["last_s"]) == pytest.approx((0.5, 2.0, 4.0))
    assert row["late_s"] == 0.25
    assert row["nodes"] == 5


def test_times_of_several_blocks_are_their_geometric_mean_with_an_interval() -> None:
    row = only(stored({"direct": [[1.0, 2.0], [1.0, 4.0], [1.0, 8.0]]}))
    assert row["last_s"] == pytest.approx(4.0)
    assert row["last_low_s"] < 4.0 < row["last_high_s"]


def test_where_a_node_failed_there_is_no_last_but_a_half() -> None:
    row = only(stored({"direct": [[1.0, None, 2.0, 3.0]]}))
    assert row["half_s"] == 2.0
    assert math.isnan(row["last_s"])
    assert (row["succeeded"], row["pulls"]) == (3, 4)


def test_where_most_failed_there_is_no_half_either() -> None:
    row = only(stored({"direct": [[1.0, None, None, None]]}))
    assert row["first_s"] == 1.0
    assert math.isnan(row["half_s"])


def test_the_registry_s_bytes_are_a_share_of_the_nodes_bytes_and_unknown_is_no_zero() -> None:
    row = only(stored({"cache": [[1.0, 2.0, 3.0, 4.0]]}, origin=SIZE))
    assert (row["delivered_bytes"], row["origin_bytes"], row["origin_share"]) == (4 * SIZE, SIZE, 0.25)
    assert only(stored({"cache": [[1.0, 2.0]]}, origin=0))["origin_share"] == 0
    assert math.isnan(only(stored({"cache": [[1.0, 2.0]]}))["origin_share"])


def test_a_mirror_is_compared_with_direct_by_the_last_node_of_the_same_block() -> None:
    blocks = {"direct": [[1.0, 4.0], [1.0, 8.0], [1.0, 4.4]], "cache": [[1.0, 2.0], [1.0, 4.1], [1.0, 2.15]]}
    [row] = times.comparisons(stored(blocks)).to_dict("records")
    assert (row["baseline"], row["candidate"], row["verdict"]) == ("direct", "cache", "faster")
    assert row["ratio"] == pytest.approx(0.5, rel=0.02)


def test_no_mirror_no_comparison() -> None:
    assert times.comparisons(stored({"direct": [[1.0]]})).empty


def test_the_line_of_a_cell_rises_by_the_median_of_each_place() -> None:
    run = stored({"direct": [[1.0, 2.0], [3.0, 8.0], [2.0, None]]})
    assert times.arrivals(run, times.cells(run).iloc[0].to_dict()) == [2.0, 5.0]


def test_the_slowest_node_comes_first_and_a_failed_one_before_all() -> None:
    found = times.nodes(stored({"direct": [[1.0, None, 2.0]]}))
    assert found["node"].tolist() == ["10.0.0.1:4000/0", "10.0.0.2:4000/0", "10.0.0.0:4000/0"]
    assert found["failed"].tolist() == [1, 0, 0]


def test_the_page_has_the_times_and_escapes_the_names_of_machines() -> None:
    run = stored({"direct": [[1.0, 4.0]], "cache": [[1.0, 2.0]]}, origin=SIZE, late_s=0.5)
    page = FleetPage(run)
    head = page.header()
    assert 'class="verdict good"' in head
    for part in ("through cache", "1.00 s", "2.00 s", "50.0%"):
        assert part in head, part
    table = page.cells()
    assert "500 ms" in table and "90% busy" in table
    workers = page.nodes()
    assert "<b>node</b>" not in workers and "&lt;b&gt;node" in workers
    assert "−2.00 ms" in workers
    assert page.spread().count("<svg role") == 2


def test_the_golden_page_of_a_fleet(golden: Callable[[str, str], None]) -> None:
    blocks = {"direct": [[1.0, 4.0], [1.0, 8.0], [1.0, 4.4]], "cache": [[1.0, 2.0], [1.0, 4.1], [1.0, 2.15]]}
    page = FleetPage(stored(blocks, origin=SIZE))
    golden("report/fleet.txt", text_of(page.header() + page.cells() + page.comparisons() + page.nodes()))


def test_a_run_that_measured_nothing_has_a_page_too() -> None:
    run = stored({})
    page = FleetPage(run)
    assert 'class="verdict bad"' in page.header()
    assert page.spread() == page.cells() == ""
    assert page.nodes() == ""
    assert page.comparisons() == ""


def test_failed_pulls_are_in_the_title_of_the_page() -> None:
    run = stored({"direct": [[1.0, None]]})
    assert "1 pull failed" in FleetPage(run).header()


def test_the_document_of_a_fleets_run_has_its_times() -> None:
    run = stored({"direct": [[1.0, 4.0]]})

    document = document_of(run)
    assert [(row["proxy"], row["last_s"], row["origin_bytes"]) for row in document["fleet"]] == [("direct", 4.0, None)]


def test_the_headline_of_a_fleet_run_is_that_of_its_page() -> None:
    run = stored({"direct": [[1.0, 4.0]]})

    found, said = document_of(run), [f"{clause}." for clause in times.summary(times.cells(run))]
    assert found["summary"]["best"] == said and found["summary"]["cause"] == []
    assert found["headline"]["clauses"][: len(said)] == said
    assert found["headline"]["sentence"] == " ".join(found["headline"]["clauses"])


def test_its_notebook_takes_the_parameters_of_any_runs() -> None:
    for notebook in (FLEET_NOTEBOOK, RUN_NOTEBOOK):
        check_parameters(notebook, {"results_url": "", "run_id": ""})


@pytest.mark.parametrize(("target_s", "kind"), [(0.5, "bad"), (60.0, "good")])
def test_the_slo_is_in_the_verdict_of_the_page(target_s: float, kind: str) -> None:
    run = stored({"direct": [[1.0, 2.0], [1.1, 2.1], [1.0, 2.2]]})
    run = dataclasses.replace(run, spec=dict(run.spec) | {"slo": {"mean_pull_s": target_s}})
    head = FleetPage(run).header()
    assert f'class="verdict {kind}"' in head
    verdict = judged(run)
    assert verdict is not None and verdict.title in head
    assert judged(stored({"direct": [[1.0]]})) is None
