"""The catalog makes every kind that a spec may name."""

from typing import get_args

import pytest

from pullbench.engines.base import SystemClock
from pullbench.engines.catalog import _CLASSES, make_engine
from pullbench.model.capability import CAPABILITIES, EngineKind
from pullbench.model.spec import EngineEntry
from pullbench.registry.keychain import Keychain


def entry(kind: str) -> EngineEntry:
    return EngineEntry.model_validate({"name": f"my-{kind}", "kind": kind})


@pytest.mark.parametrize("kind", get_args(EngineKind))
def test_an_engine_carries_the_name_and_kind_of_its_entry(kind: str) -> None:
    engine = make_engine(entry(kind), keychain=Keychain(environ={}), clock=SystemClock())
    assert (engine.name, engine.kind) == (f"my-{kind}", kind)
    engine.close()


def test_every_kind_of_a_spec_can_be_made() -> None:
    assert set(_CLASSES) == set(get_args(EngineKind)) == set(CAPABILITIES)
