"""What `import pullbench` offers, and what it costs."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import pullbench as pb

PAGE = Path(__file__).parents[1] / "docs" / "api.md"
NAMES = [
    *("BenchmarkTrend", "ErrorCode", "Finding", "IncompleteError", "InterruptedRunError", "MissingExtraError"),
    *("PreflightFailed", "PullbenchError", "RegistryError", "Run", "RunComparison", "Spec", "Status", "UsageError"),
    *("compare", "load_spec", "open_regional", "open_run", "open_runs", "plan", "preflight", "run", "trend"),
]


def test_the_exported_names_are_these() -> None:
    assert pb.__all__ == NAMES
    assert {*NAMES, "__version__"} == set(dir(pb))


@pytest.mark.parametrize("name", NAMES)
def test_every_exported_name_is_there_documented_and_in_the_page(name: str) -> None:
    found = getattr(pb, name)
    assert inspect.isclass(found) or inspect.isfunction(found)
    assert found.__doc__
    assert f"`{name}" in PAGE.read_text()


def test_preflight_is_the_function_also_once_the_package_of_that_name_is_imported() -> None:
    from pullbench.preflight import runner

    assert callable(pb.preflight)
    assert runner.__name__ == "pullbench.preflight.runner"


def test_a_name_that_is_not_offered_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = pb.nothing


def test_the_import_itself_loads_no_library() -> None:
    code = "import sys; import pullbench; print(sorted({name.partition('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for heavy in ("pandas", "numpy", "pydantic", "prefect", "httpx", "yaml", "matplotlib"):
        assert f"'{heavy}'" not in loaded
    assert "'pullbench'" in loaded


def test_a_spec_from_a_mapping_is_changed_by_key_path_and_a_mistake_is_one_line() -> None:
    given = {
        "name": "x",
        "registries": [{"name": "eu", "url": "https://r.example.com"}],
        "images": ["library/nginx:1.27"],
    }
    spec = pb.load_spec(given, set={"matrix.concurrency": [1, 4], "repetitions": 3})
    assert (spec.matrix.concurrency, spec.repetitions) == ([1, 4], 3)
    assert "matrix" not in given, "what was given is not changed"
    assert pb.load_spec(spec, set={"repetitions": 2}).matrix.concurrency == [1, 4]
    with pytest.raises(pb.UsageError, match=r"^spec: matrix.concurrency") as refused:
        pb.load_spec(given, set={"matrix.concurrency": [0]})
    assert "\n" not in str(refused.value)
