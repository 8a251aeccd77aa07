"""Imports go down only: the house of docs/architecture.md, held by a test."""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
FLOORS = (
    ("errors",),
    ("model", "stats"),
    ("registry", "daemon", "store", "lab"),
    ("engines", "preflight", "report", "monitor"),
    ("bench",),
    ("tasks",),
    ("flows",),
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


def room_of(parts: tuple[str, ...]) -> str | None:
    """The room of a module by its dotted parts; None for what is not ours and for the package's root."""
    if parts[0] in ("flows", "tasks"):
        return parts[0]
    if parts[0] != "pullbench" or len(parts) == 1:
        return None
    return parts[1]


def statements(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Those given and all in their bodies; no expressions, which are most of a tree and import nothing."""
    for node in nodes:
        yield node
        for part in ("body", "orelse", "finalbody", "handlers", "cases"):
            yield from statements(getattr(node, part, ()))


def imports(tree: ast.Module) -> Iterator[tuple[int, tuple[str, ...]]]:
    for node in statements(tree.body):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, tuple(alias.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: write the whole name of what is imported"
            base = tuple((node.module or "").split("."))
            for alias in node.names:
                yield node.lineno, (*base, alias.name) if base == ("pullbench",) else base


def violations(path: Path, source: str) -> list[str]:
    parts = path.with_suffix("").parts
    here = room_of(parts)
    if here is None:
        return []
    found = []
    for line, target in imports(ast.parse(source)):
        there = room_of(target)
        if target[0] == "prefect" and here not in ("flows", "tasks"):
            found.append(f"{path}:{line} imports Prefect below tasks/")
        elif there is not None and there != here and there in FLOOR_OF and FLOOR_OF[there] >= FLOOR_OF[here]:
            found.append(f"{path}:{line} {here} imports {'.'.join(target)}, which stands no lower")
        elif there is not None and there not in FLOOR_OF and target != ("pullbench", "__version__"):
            found.append(f"{path}:{line} imports {'.'.join(target)}, a room that the house does not have")
    return found


def sources() -> list[Path]:
    return sorted(p for top in ("pullbench", "flows", "tasks") for p in (ROOT / top).rglob("*.py"))


def test_every_import_goes_to_a_lower_floor() -> None:
    found = [entry for path in sources() for entry in violations(path.relative_to(ROOT), path.read_text())]
    assert not found, "\n".join(found)


def test_every_module_stands_in_a_room_of_the_house() -> None:
    rooms = {room_of(path.relative_to(ROOT).with_suffix("").parts) for path in sources()} - {None, "__init__"}
    assert rooms <= set(FLOOR_OF), rooms - set(FLOOR_OF)


def test_an_import_that_runs_up_or_sideways_is_seen() -> None:
    up = violations(Path("pullbench/engines/wire.py"), "from pullbench.bench import trial")
    sideways = violations(Path("pullbench/engines/wire.py"), "import pullbench.report.tables")
    by_package = violations(Path("pullbench/store/dataset.py"), "from pullbench import engines")
    nested = "def f():\n    try:\n        pass\n    except OSError:\n        match 1:\n            case 1:\n                from prefect import task"
    prefect = violations(Path("pullbench/bench/trial.py"), nested)
    assert up and sideways and by_package and prefect


def test_an_import_that_runs_down_is_allowed() -> None:
    source = "from pullbench.model.plan import Cell\nfrom pullbench.errors import ErrorCode\nimport httpx"
    assert violations(Path("pullbench/engines/wire.py"), source) == []
