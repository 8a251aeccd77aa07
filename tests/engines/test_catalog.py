"""The catalog makes every kind that a plan lets through, and names the ones that it cannot make."""

import subprocess
import sys

import pytest

from pullbench.engines.catalog import make_engine
from pullbench.engines.clock import SystemClock
from pullbench.errors import UsageError
from pullbench.model.spec import EngineEntry
from pullbench.registry.keychain import Keychain


def entry(kind: str) -> EngineEntry:
    return EngineEntry.model_validate({"name": f"my-{kind}", "kind": kind})


@pytest.mark.parametrize("kind", ["wire", "fake"])
def test_an_engine_carries_the_name_and_kind_of_its_entry(kind: str) -> None:
    engine = make_engine(entry(kind), keychain=Keychain(environ={}), clock=SystemClock())
    assert (engine.name, engine.kind) == (f"my-{kind}", kind)
    engine.close()


@pytest.mark.parametrize("kind", ["podman", "skopeo", "containerd"])
def test_a_kind_that_is_not_built_is_a_usage_error_that_names_the_entry(kind: str) -> None:
    with pytest.raises(UsageError, match=rf"engines\.my-{kind}: kind '{kind}' is not built yet; there are: wire"):
        make_engine(entry(kind), keychain=Keychain(environ={}), clock=SystemClock())


def test_making_one_kind_imports_no_other_kinds_library() -> None:
    script = (
        "import sys; from pullbench.engines.catalog import make_engine; "
        "assert 'pycurl' not in sys.modules and 'docker' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=30)
