"""Made-up runs, each stored once a session."""

import dataclasses
import itertools
from collections.abc import Callable

import pytest

from pullbench.report.stored import StoredRun, read_run
from pullbench.store.dataset import ResultStore
from tests.report import synthetic
from tests.report.synthetic import RUN_ID, Recipe

Make = Callable[[Recipe], StoredRun]


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> ResultStore:
    """The full run: two engines, three routes, four concurrencies, failures on the far route."""
    return synthetic.make(tmp_path_factory.mktemp("full"), Recipe(concurrency=(1, 4), pulls=8))


@pytest.fixture(scope="session")
def full(store: ResultStore) -> StoredRun:
    return with_texts(store, RUN_ID)


def with_texts(store: ResultStore, run_id: str) -> StoredRun:
    """A stored run whose pulls have texts in place of categories, for tests that write other values into them."""
    return dataclasses.replace(read_run(store, run_id), pulls=store.frame("pulls", run_id))


@pytest.fixture(scope="session")
def make() -> Make:
    """Reads back the run that a recipe makes."""

    stores = itertools.count()

    def made(recipe: Recipe) -> StoredRun:
        return with_texts(synthetic.make(f"memory://report-{next(stores)}", recipe), recipe.run_id)

    return made
