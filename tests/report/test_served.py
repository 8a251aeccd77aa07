"""Who served the bytes, by route."""

import dataclasses
from collections.abc import Callable

from pullbench.report.core import tables
from pullbench.report.core.stored import StoredRun, measured, records
from pullbench.report.run.served import PLACE, served, served_section
from tests.report.synthetic import Recipe

Make = Callable[[Recipe], StoredRun]
RECIPE = Recipe(engines=("wire",), concurrency=(1, 2), blocks=3, pulls=4, failure_rate=0.0)


def test_each_route_has_its_servers_and_their_shares(make: Make) -> None:
    stored = make(RECIPE)
    found = served(stored)
    assert len(found) == 3 and (found["share"] == 1.0).all()
    assert found["pulls"].sum() == len(measured(stored.pulls))
    assert {row["proxy"]: row["server"].partition(" ")[0] for row in records(found)}["cache"] == "192.0.2.10"


def test_answers_that_differ_in_hit_and_age_alone_are_of_one_server(make: Make) -> None:
    stored = make(RECIPE)
    texts = [f'192.0.2.9 via "1.1 m" x-cache={"HIT" if at % 4 else "MISS"} age={at}' for at in range(len(stored.pulls))]
    found = served(dataclasses.replace(stored, pulls=stored.pulls.assign(served_by=texts)))
    assert set(found["server"]) == {'192.0.2.9 via "1.1 m"'}
    assert (found["hits"] + found["misses"]).equals(found["pulls"]) and found["misses"].sum() > 0


def test_a_run_whose_engines_do_not_say_who_answered_has_no_table(make: Make) -> None:
    stored = make(RECIPE)
    found = served(dataclasses.replace(stored, pulls=stored.pulls.assign(served_by=None)))
    assert found.empty and set(PLACE) <= set(found.columns)
    assert served_section(found, tables.cells(stored.pulls, stored.trials)) == ""


def test_a_probed_route_has_the_server_that_the_probe_saw(make: Make) -> None:
    stored = make(RECIPE)
    text = "probe before: 192.0.2.9 x-cache=MISS; after: 192.0.2.9 x-cache=HIT age=1"
    found = served(dataclasses.replace(stored, pulls=stored.pulls.assign(served_by=text)))
    assert {server.partition(" ")[0] for server in found["server"]} == {"192.0.2.9"}
    assert not found["server"].str.contains("x-cache|age").any()


def test_hits_of_a_cold_mirror_are_explained_and_those_of_a_warm_one_are_not(make: Make) -> None:
    stored = make(RECIPE)
    cells = tables.cells(stored.pulls, stored.trials)
    for state, hits, notes in (("cold", 3, 1), ("cold", 0, 0), ("warm", 3, 0)):
        found = served(stored).assign(proxy_cache=state, hits=hits, misses=9)
        assert served_section(found, cells).count("layers that images share") == notes
