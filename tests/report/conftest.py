"""Made-up runs, each stored once a session."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from pullbench.report.core.stored import StoredRun, read_run
from pullbench.report.render.html import escape
from pullbench.report.run.contrasts import contrasts
from pullbench.report.run.documents import run_document
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
    """Reads back the run that a recipe makes; a frame of it that a test writes into is its own (pandas copies on write)."""

    made_before: dict[str, StoredRun] = {}

    def made(recipe: Recipe) -> StoredRun:
        key = repr(recipe)
        if key not in made_before:
            store = synthetic.make(f"memory://report-{len(made_before)}", recipe)
            made_before[key] = with_texts(store, recipe.run_id)
        run = made_before[key]
        return dataclasses.replace(run, trials=run.trials.copy(deep=False), pulls=run.pulls.copy(deep=False))

    return made


@pytest.fixture(scope="session")
def differences(full: StoredRun) -> pd.DataFrame:
    """What the full run's settings do beside each other."""
    return contrasts(full)


@pytest.fixture(scope="session")
def document(store: ResultStore) -> dict[str, Any]:
    """The full run's document; no test writes into it."""
    return run_document(store, RUN_ID, "reports/index.html")


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures with their description in place of a drawing, for tests of what is said beside it."""
    monkeypatch.setattr("pullbench.report.figures.style._svg", lambda *given: escape(given[2]))
