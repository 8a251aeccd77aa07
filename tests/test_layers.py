"""Imports go down only and never in a circle: the house of docs/architecture.md, held by a test."""

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = (
    ("errors",),
    ("model", "stats"),
    ("registry", "daemon", "store", "lab"),
    ("engines", "preflight", "report", "monitor"),
    ("bench",),
    ("app",),
    ("tasks", "serving"),
    ("flows", "cli"),
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
FRONT_DOOR = ("", "__main__")
"""The public API (`pullbench/__init__.py`) and `python -m pullbench`: they may name any room, and no room names them."""
MAY_IMPORT_PREFECT = ("serving", "tasks", "flows")
FLOW_LINES = 80

Sources = Mapping[str, str]
"""Module name to source text, such as {"pullbench.bench.load": "import time"}."""


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def sources() -> dict[str, str]:
    found = (path for top in ("pullbench", "flows", "tasks") for path in sorted((ROOT / top).rglob("*.py")))
    return {module_of(path): path.read_text() for path in found}


def room_of(module: str) -> str | None:
    """The room of a module of ours; None for a library's."""
    top, _, rest = module.partition(".")
    if top in ("flows", "tasks"):
        return top
    return rest.partition(".")[0] if top == "pullbench" else None


def statements(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Those given and all in their bodies; no expressions, which are most of a tree and import nothing."""
    for node in nodes:
        yield node
        for part in ("body", "orelse", "finalbody", "handlers", "cases"):
            yield from statements(getattr(node, part, ()))


def imports(source: str, modules: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Line and module of each import; `from package import module` names the module."""
    known = frozenset(modules)
    for node in statements(ast.parse(source).body):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: write the whole name of what is imported"
            base = node.module or ""
            for alias in node.names:
                named = f"{base}.{alias.name}"
                yield node.lineno, named if named in known or base == "pullbench" else base


def violations(tree: Sources) -> list[str]:
    """Imports that go up or sideways, to a room that is none, to the public API from inside, or to Prefect from below."""
    found = []
    for module, source in tree.items():
        here = room_of(module)
        for line, target in imports(source, tree):
            there, where = room_of(target), f"{module}:{line}"
            if target.partition(".")[0] == "prefect" and here not in MAY_IMPORT_PREFECT:
                found.append(f"{where} imports Prefect")
            if there is None or there == here or target == "pullbench.__version__" or here in FRONT_DOOR:
                continue
            if there not in FLOOR_OF:
                found.append(f"{where} imports {target}, which is no room of the house")
            elif here not in FLOOR_OF:
                found.append(f"{where}: {here} is no room of the house")
            elif FLOOR_OF[there] >= FLOOR_OF[here]:
                found.append(f"{where} {here} imports {target}, which is on no lower floor")
    return found


def circle(tree: Sources) -> list[str]:
    """Modules that import each other in a circle; empty where there is none. Imports inside functions count too."""
    graph = {
        module: {target for _, target in imports(source, tree) if target in tree and target != module}
        for module, source in tree.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_every_import_goes_to_a_lower_floor() -> None:
    found = violations(sources())
    assert not found, "\n".join(found)


def test_every_room_of_the_floors_is_there() -> None:
    assert set(FLOOR_OF) == {room_of(module) for module in sources()} - {*FRONT_DOOR}


def test_only_the_caller_of_flows_and_the_public_api_import_by_a_name_that_is_made_up() -> None:
    """Such an import is no arrow here: `serving.flow` calls flows, which are above it, as Prefect does, by their place."""
    found = {module for module, source in sources().items() if re.search(r"\bimport_module\(|__import__\(", source)}
    by_an_extra = {"pullbench.bench.dask_fleet"}
    assert found == {
        "pullbench",
        *by_an_extra,
        "pullbench.engines.catalog",
        "pullbench.cli.main",
        "pullbench.serving.flow",
    }


def test_no_modules_import_each_other_in_a_circle() -> None:
    found = circle(sources())
    assert not found, " -> ".join(found)


def test_flows_holds_flows_only_and_each_is_short() -> None:
    for path in sorted((ROOT / "flows").glob("*.py")):
        lines = path.read_text().splitlines()
        assert len(lines) <= FLOW_LINES, f"{path.name}: {len(lines)} lines"
        assert path.name == "__init__.py" or any(line.startswith("@flow(") for line in lines), path.name


def test_a_class_name_has_one_meaning_in_the_whole_tree() -> None:
    homes: dict[str, list[str]] = {}
    for module, source in sources().items():
        for node in statements(ast.parse(source).body):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes.setdefault(node.name, []).append(module)
    shared = {name: modules for name, modules in homes.items() if len(modules) > 1}
    assert not shared


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("pullbench.engines.fake", "from pullbench.bench import trial"),
        ("pullbench.engines.fake", "import pullbench.report.core.tables"),
        ("pullbench.cli.run", "from flows.pull_benchmark import pull_benchmark"),
        ("pullbench.app.run", "import tasks.preflight"),
        ("pullbench.store.dataset", "from pullbench import engines"),
        ("pullbench.app.run", "from pullbench import run"),
        ("pullbench.app.run", "from pullbench.helpers import anything"),
        ("pullbench.helpers.anything", "from pullbench.model.spec import Spec"),
        (
            "pullbench.bench.trial",
            "def f():\n    try:\n        pass\n    except OSError:\n        from prefect import task",
        ),
        ("pullbench.bench.trial", "match 1:\n    case 1:\n        import prefect.flows"),
    ],
)
def test_an_import_that_runs_up_or_sideways_is_seen(module: str, source: str) -> None:
    assert violations({module: source})


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("pullbench.engines.fake", "from pullbench.model.plan import Cell\nfrom pullbench.errors import ErrorCode"),
        ("pullbench.stats.slo", "from pullbench.errors import UsageError\nimport numpy"),
        ("pullbench.serving.server", "from prefect import flow\nfrom pullbench.app.run import run"),
        ("pullbench.cli.main", "from pullbench import __version__"),
        ("pullbench", "from pullbench.app.run import run"),
    ],
)
def test_an_import_that_runs_down_is_allowed(module: str, source: str) -> None:
    assert violations({module: source}) == []


def test_a_circle_is_seen_also_where_an_import_stands_in_a_function() -> None:
    tree = {
        "pullbench.lab.a": "from pullbench.lab import b",
        "pullbench.lab.b": "def f():\n    from pullbench.lab.c import g",
        "pullbench.lab.c": "import pullbench.lab.a",
        "pullbench.lab.d": "import pullbench.lab.a",
    }
    assert set(circle(tree)) == {"pullbench.lab.a", "pullbench.lab.b", "pullbench.lab.c"}
    assert circle({**tree, "pullbench.lab.c": ""}) == []
