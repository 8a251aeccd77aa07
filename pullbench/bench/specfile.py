"""Reads a spec from a YAML file, with overrides; nothing is contacted."""

import copy
import glob
import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import yaml

from pullbench.bench.facts import offline_facts
from pullbench.errors import UsageError
from pullbench.model.plan import plan_cells
from pullbench.model.spec import ProxyEntry, RegistryEntry, Spec, Stress, read_spec
from pullbench.model.stress_plan import plan_stress
from pullbench.store.shipped import shipped

_MAX_SPEC_BYTES = 1_000_000
Entry = TypeVar("Entry", RegistryEntry, ProxyEntry)
_STEP = re.compile(r"([A-Za-z0-9_-]+)((?:\[\d+\])*)")


class Changes(Protocol):
    """What a form changes of a spec before it is read."""

    def apply(self, data: Mapping[str, Any]) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedSpec:
    """A valid spec whose relative paths are resolved; `hash` is that of the spec as written, overrides included."""

    spec: Spec
    hash: str
    source: Path


def load_spec(
    path: Path,
    *,
    sets: Sequence[str] = (),
    overrides: Changes | None = None,
    values: Mapping[str, Any] | None = None,
) -> LoadedSpec:
    """Read, override and validate; raises UsageError: one line that names the file and the key path.

    `sets` are KEY=VALUE with YAML values, `values` the same as a mapping. A spec that leaves nothing to measure, whatever
    the registries hold, is a mistake too. Where there is no such file, `specs/NAME` is the ready spec of that name.
    """
    if path.parent == Path("specs") and not path.exists() and (ready := shipped(str(path))).is_file():
        path = ready
    data = _read_mapping(path)
    if overrides is not None:
        data = overrides.apply(data)
    for assignment in sets:
        _assign(data, assignment)
    return _validated(data, values or {}, path)


def spec_of(
    source: Spec | Mapping[str, Any],
    *,
    sets: Sequence[str] = (),
    values: Mapping[str, Any] | None = None,
    place: Path = Path("spec"),
) -> LoadedSpec:
    """The same of a spec that is no file: of one that is read already, or of a mapping; `place` names it in errors.

    Relative paths are relative to the current folder.
    """
    if isinstance(source, Spec) and not values and not sets:
        return LoadedSpec(spec=source, hash=source.hash(), source=place)
    data = copy.deepcopy(source.model_dump(mode="json") if isinstance(source, Spec) else dict(source))
    for assignment in sets:
        _assign(data, assignment)
    return _validated(data, values or {}, place)


def as_stress_spec(loaded: LoadedSpec) -> LoadedSpec:
    """The spec for a stress test, its `stress` filled in where it has none; raises UsageError where it cannot be one."""
    spec = loaded.spec.model_copy(update={"stress": loaded.spec.stress or Stress()})
    try:
        plan_stress(spec, offline_facts())
    except UsageError as error:
        raise UsageError(f"{loaded.source}: {error}") from error
    return replace(loaded, spec=spec)


def _validated(data: dict[str, Any], values: Mapping[str, Any], source: Path) -> LoadedSpec:
    for key, value in values.items():
        _put_at(data, key, value)
    try:
        spec = read_spec(data)
        plan_cells(spec, offline_facts())
    except UsageError as error:
        raise UsageError(f"{source}: {error}") from error
    return LoadedSpec(spec=_resolve_paths(spec, source), hash=spec.hash(), source=source)


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML that refuses a key given twice in one mapping, where the plain loader takes the last in silence."""


def _unique_mapping(loader: _UniqueKeyLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if isinstance(key, str) and key in seen:
            raise yaml.constructor.ConstructorError(None, None, f"the key '{key}' is given twice", key_node.start_mark)
        if isinstance(key, str):
            seen.add(key)
    loader.flatten_mapping(node)
    return loader.construct_mapping(node, deep=True)


_UniqueKeyLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _unique_mapping)


def _read_mapping(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_SPEC_BYTES + 1)
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file; `pullbench init` writes a first spec") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    if len(content) > _MAX_SPEC_BYTES:
        raise UsageError(f"{path}: is larger than 1 MB, so it is not a spec")
    try:
        data = yaml.load(content, Loader=_UniqueKeyLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise UsageError(f"{path}{where}: is not YAML: {problem}") from error
    if not isinstance(data, dict):
        raise UsageError(f"{path}: this is not a spec: a spec has at least `name:`, `registries:` and `images:`")
    return data


def _assign(data: dict[str, Any], assignment: str) -> None:
    """Put VALUE (YAML) at KEY (`matrix.concurrency`, `registries[0].url`)."""
    key, equals, text = assignment.partition("=")
    if not equals or not key.strip():
        raise UsageError(f"--set {assignment}: write KEY=VALUE, such as matrix.concurrency=[1,2,4]")
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:
        raise UsageError(f"--set {key}: '{text}' is not YAML; lists are written [1,2,4]") from error
    _put_at(data, key, value)


def _put_at(data: dict[str, Any], key: str, value: Any) -> None:
    """Put a value at a key path."""
    steps = _steps(key)
    place: Any = data
    for step, following in itertools.pairwise(steps):
        place = _descend(place, step, following, key)
    _put(place, steps[-1], value, key)


def _steps(key: str) -> list[str | int]:
    steps: list[str | int] = []
    for part in key.strip().split("."):
        found = _STEP.fullmatch(part)
        if found is None:
            raise UsageError(f"--set {key}: is not a key path, such as matrix.concurrency or registries[0].url")
        steps.append(found[1])
        steps.extend(int(index) for index in re.findall(r"\d+", found[2]))
    return steps


def _descend(place: Any, step: str | int, following: str | int, key: str) -> Any:
    if isinstance(step, int):
        if not isinstance(place, list) or step >= len(place):
            raise UsageError(f"--set {key}: the spec has no entry [{step}] here")
        return place[step]
    if not isinstance(place, dict):
        raise UsageError(f"--set {key}: '{step}' is not inside a mapping")
    if place.get(step) is None and isinstance(following, str):
        place[step] = {}
    return place.get(step)


def _put(place: Any, step: str | int, value: Any, key: str) -> None:
    fits = step < len(place) if isinstance(step, int) and isinstance(place, list) else isinstance(place, dict)
    if not fits or (isinstance(place, dict) and not isinstance(step, str)):
        raise UsageError(f"--set {key}: the spec has no such key")
    place[step] = value


def _resolve_paths(spec: Spec, path: Path) -> Spec:
    """CA files and programs relative to the spec become absolute; a missing one is a mistake in the spec."""
    folder = path.resolve().parent

    def resolved(entry: Entry, where: str) -> Entry:
        if entry.ca_file is None:
            return entry
        file = folder / Path(entry.ca_file).expanduser()
        if not file.is_file():
            raise UsageError(f"{path}: {where}.ca_file: no file {file}")
        return entry.model_copy(update={"ca_file": str(file)})

    def with_command(entry: ProxyEntry, where: str) -> ProxyEntry:
        if entry.cold is None or entry.cold.reset is None or "/" not in entry.cold.reset[0]:
            return entry
        file = folder / Path(entry.cold.reset[0]).expanduser()
        if not file.is_file():
            raise UsageError(f"{path}: {where}.cold.reset[0]: no file {file}")
        cold = entry.cold.model_copy(update={"reset": [str(file), *entry.cold.reset[1:]]})
        return entry.model_copy(update={"cold": cold})

    registries = [resolved(entry, f"registries[{index}]") for index, entry in enumerate(spec.registries)]
    proxies = [
        with_command(resolved(entry, f"proxies[{index}]"), f"proxies[{index}]")
        for index, entry in enumerate(spec.proxies)
    ]
    dockerfiles = [_absolute_glob(folder, pattern) for pattern in spec.dockerfiles]
    return spec.model_copy(update={"registries": registries, "proxies": proxies, "dockerfiles": dockerfiles})


def _absolute_glob(folder: Path, pattern: str) -> str:
    """The folder's own name is no pattern, even where it has brackets in it."""
    expanded = str(Path(pattern).expanduser())
    return expanded if Path(expanded).is_absolute() else f"{glob.escape(str(folder))}/{expanded}"


def as_yaml(data: Mapping[str, Any]) -> str:
    """A mapping as a spec file's text, keys in the order given."""
    return yaml.safe_dump(dict(data), sort_keys=False, allow_unicode=True, width=120)
