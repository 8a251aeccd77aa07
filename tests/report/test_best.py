"""Which configuration a run names, where several are as good, and that verdict, page and advice agree."""

import dataclasses
import re
from collections.abc import Callable

import pytest

from pullbench.report.core import tables
from pullbench.report.core.stored import StoredRun
from pullbench.report.run.best import choose
from pullbench.report.run.documents import document_of
from pullbench.report.run.page import RunPage
from pullbench.report.run.pulls import median_pull, waterfalls
from tests.report.synthetic import Recipe
from tests.words import text_of

Make = Callable[[Recipe], StoredRun]
ONE_PLACE = Recipe(
    engines=("wire",), routes=(("eu", "direct"),), concurrency=(1, 2, 4), failure_rate=0.0, warmup=0, pulls=4
)
NOISY = dataclasses.replace(ONE_PLACE, noise=0.5)
RECIPES = {
    "clear": ONE_PLACE,
    "noisy": NOISY,
    "two levels": dataclasses.replace(NOISY, concurrency=(2, 4)),
    "one level": dataclasses.replace(ONE_PLACE, concurrency=(1,)),
    "too few": dataclasses.replace(NOISY, blocks=2),
    "routes": Recipe(concurrency=(1, 2), noise=0.4, blocks=3, warmup=0, pulls=2),
    "docker": Recipe(engines=("docker",), concurrency=(1, 4), blocks=3, warmup=0, pulls=4),
}


def choice_of(stored: StoredRun):  # type: ignore[no-untyped-def]
    return choose(stored, tables.cells(stored.pulls, stored.trials))


def test_a_clear_lead_names_the_fastest(make: Make) -> None:
    choice = choice_of(make(ONE_PLACE))
    assert choice.is_clear and choice.cell["concurrency"] == 4


def test_where_no_difference_is_significant_the_lowest_concurrency_is_named_and_none_is_called_the_best(
    make: Make,
) -> None:
    stored = make(NOISY)
    choice, document = choice_of(stored), document_of(stored)
    assert list(choice.tied["concurrency"]) == [1, 2, 4] and choice.cell["concurrency"] == 1
    said = " ".join(document["summary"]["best"])
    assert "concurrency 1, 2 and 4" in said and re.search(r"\d+ more repetitions", said)
    assert not [clause for clause in document["headline"]["clauses"] if clause.startswith("Best")]
    assert ">best<" not in RunPage(stored).configurations()


def test_too_few_repetitions_are_no_tie(make: Make) -> None:
    stored = make(RECIPES["too few"])
    assert choice_of(stored).place == tables.best(tables.cells(stored.pulls, stored.trials))
    assert "needs 3 repetitions, and has 2" in " ".join(document_of(stored)["summary"]["best"])


@pytest.mark.parametrize("name", RECIPES)
def test_page_console_and_advice_name_the_same_configuration(make: Make, name: str) -> None:
    stored = make(RECIPES[name])
    choice, document = choice_of(stored), document_of(stored)
    header = text_of(RunPage(stored).header())
    assert all(clause in header for clause in document["headline"]["clauses"])
    used = [re.match(r"Use concurrency (\d+)", entry["what"]) for entry in document["advice"]]
    assert {int(found[1]) for found in used if found} <= {choice.cell["concurrency"]}
    assert "next best" not in str(document)


@pytest.mark.parametrize("busy", [0.1, 0.95])
@pytest.mark.parametrize("name", RECIPES)
def test_advice_names_only_what_the_run_has_and_can_be_followed(make: Make, name: str, busy: float) -> None:
    recipe = RECIPES[name]
    stored = make(recipe)
    stored = dataclasses.replace(stored, trials=stored.trials.assign(client_busy=busy))
    document = document_of(stored)
    said = " ".join(
        [
            *(f"{entry['what']}: {entry['why']}" for entry in document["advice"]),
            *(sentence for sentences in document["summary"].values() for sentence in sentences),
            *(row["remedy"] for row in document["stability"]),
        ]
    )
    assert {int(level) for level in re.findall(r"oncurrency (\d+)", said)} <= set(recipe.concurrency)
    if min(recipe.concurrency) == 1:
        of_all = [*document["summary"]["notes"], *(row["remedy"] for row in document["stability"] if row["n"] == 0)]
        assert "ower the concurrency" not in " ".join(of_all)
    for scope, remedy in ((row["scope"], row["remedy"]) for row in document["stability"]):
        if "concurrency 1" in scope.split(" · "):
            assert "ower the concurrency" not in remedy
    proxies = {entry["name"] for entry in stored.spec["proxies"]}
    assert set(re.findall(r"through (\w+)", said)) <= proxies | {"a", "the"}


def test_the_pulls_that_are_drawn_are_of_the_recommended_configuration(make: Make) -> None:
    stored = make(Recipe(concurrency=(1, 4), blocks=5, failure_rate=0.0, warmup=0))
    cells = tables.cells(stored.pulls, stored.trials)
    choice = choose(stored, cells)
    assert choice is not None
    drawn = {each.pull["engine"]: each.pull for each in waterfalls(stored, cells, choose(stored, cells))}
    assert set(drawn) == {"docker", "wire"}
    for pull in drawn.values():
        assert (pull["concurrency"], pull["proxy"]) == (choice.cell["concurrency"], choice.cell["proxy"])


def test_the_pull_that_is_drawn_is_the_nearest_to_the_p50_of_the_table(make: Make) -> None:
    stored = make(dataclasses.replace(ONE_PLACE, concurrency=(1,), noise=0.0))
    first = stored.pulls["block"] == stored.pulls["block"].max()
    pulls = stored.pulls.assign(duration_s=range(1, len(stored.pulls) + 1)).assign(
        duration_s=lambda frame: frame["duration_s"].where(~first, 1000.0)
    )
    stored = dataclasses.replace(stored, pulls=pulls)
    (cell,) = tables.cells(stored.pulls, stored.trials).to_dict("records")
    found = median_pull(stored.pulls, cell)
    times = tables.latency_s(pulls)
    assert abs(times.median() - cell["median_s"]) > 1
    assert found is not None
    assert abs(found["duration_s"] - cell["median_s"]) == (times - cell["median_s"]).abs().min()


def test_where_the_machine_was_the_limit_no_number_of_repetitions_is_advised(make: Make) -> None:
    stored = make(NOISY)
    busy = dataclasses.replace(stored, trials=stored.trials.assign(client_busy=0.95))
    said = " ".join(document_of(busy)["summary"]["best"])
    assert "larger machine" in said and not re.search(r"\d+ more repetition", said)


@pytest.mark.parametrize(
    ("limited", "said"),
    [((1, 2, 4), "at every concurrency measured"), ((1, 4), "at concurrency 1 and 4"), ((4,), "at concurrency 4")],
)
def test_where_the_machine_was_the_limit_is_told_of_all_that_was_measured(
    make: Make, limited: tuple[int, ...], said: str
) -> None:
    stored = make(NOISY)
    busy = stored.trials["concurrency"].isin(limited).map({True: 0.95, False: 0.1})
    found = document_of(dataclasses.replace(stored, trials=stored.trials.assign(client_busy=busy)))
    assert f"This machine was the limit {said}: " in " ".join(found["summary"]["best"])


def test_a_concurrency_that_is_significantly_below_the_tie_is_named(make: Make) -> None:
    stored = make(NOISY)
    assert "significantly slower" not in " ".join(document_of(stored)["summary"]["best"])
    slow = stored.trials["concurrency"] == 2
    trials = stored.trials.assign(wall_s=stored.trials["wall_s"].mask(slow, stored.trials["wall_s"] * 50))
    stored = dataclasses.replace(stored, trials=trials.assign(client_busy=0.95))
    choice, document = choice_of(stored), document_of(stored)
    assert list(choice.tied["concurrency"]) == [1, 4]
    said = " ".join(document["summary"]["best"])
    assert "Concurrency 2 is significantly slower." in said and "at every concurrency measured" in said


def test_the_runner_up_comes_first(make: Make) -> None:
    stored = make(Recipe(engines=("wire",), concurrency=(1, 4), failure_rate=0.0, warmup=0, noise=0.01))
    found = document_of(stored)["summary"]["best"]
    shares = [float(share) for sentence in found for share in re.findall(r"([\d.]+)% of that", sentence)]
    assert len(shares) == 2 and shares == sorted(shares, reverse=True)
