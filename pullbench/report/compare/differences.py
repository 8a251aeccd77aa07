"""What differs between two runs apart from their times: spec, images, engines, machine, environment; and the words for it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pullbench.report.core import numbers
from pullbench.report.core.stored import StoredRun

_NOT_MEASURED = frozenset({"name", "labels", "budget"})
"""Keys of a spec that do not change what is measured; name and labels are shown with the run."""
_MACHINE = ("architecture", "cpu", "cores", "memory_bytes")
_MEMORY_SLACK = 0.05
"""Two machines of one kind report slightly different memory, depending on what their kernels reserve."""
_VARIES_BY_ITSELF = frozenset(
    {"load_before", "client_ceiling_bytes_per_s", "client_ceiling_by_sink_bytes_per_s", "clock_offset"}
)

_NOTHING = {"images": "not there", "engines": "not there", "machine": "not known", "environment": "not known"}
"""What a missing value means, by the kind of a difference; of a spec, that its key is not set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that differs. `kind` is run, spec, images, engines, machine or environment."""

    kind: str
    what: str
    baseline: Any
    candidate: Any

    @property
    def before(self) -> str:
        """The baseline's value in words."""
        return self._words(self.baseline)

    @property
    def after(self) -> str:
        """The candidate's value in words."""
        return self._words(self.candidate)

    def _words(self, value: Any) -> str:
        if value is None:
            return _NOTHING.get(self.kind, "not set")
        if self.what.endswith("_bytes") and isinstance(value, int | float) and not isinstance(value, bool):
            return numbers.size(value)
        return in_words(value)


def in_words(value: Any) -> str:
    """A value of a spec or an environment as a person writes it: `not set`, `yes`, `any`, `1, 4`, `name eu, region west`."""
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{str(key).replace('_', ' ')} {in_words(entry)}" for key, entry in value.items()) or "none"
    if isinstance(value, Sequence) and not isinstance(value, str):
        separator = "; " if any(isinstance(entry, Mapping) for entry in value) else ", "
        return separator.join(map(in_words, value)) or "none"
    return str(value) or "empty"


def differences(baseline: StoredRun, candidate: StoredRun) -> list[Difference]:
    """Everything that differs except labels and times, the most important first; empty where nothing does."""
    return [
        *_of("run", _identity(baseline), _identity(candidate)),
        *_of("images", _digests(baseline), _digests(candidate)),
        *_machines(baseline.environment, candidate.environment),
        *_of("engines", _engines(baseline), _engines(candidate)),
        *_of("spec", _spec(baseline), _spec(candidate)),
        *_of("environment", _rest(baseline.environment), _rest(candidate.environment)),
    ]


def other_machine(found: list[Difference]) -> bool:
    """Whether the runs come from different vantages or kinds of machine, so that a ratio may come from those."""
    return any(entry.kind == "machine" or (entry.kind, entry.what) == ("run", "vantage") for entry in found)


def _identity(stored: StoredRun) -> dict[str, Any]:
    run = stored.run
    return {"name": run.name, "kind": run.kind, "vantage": run.vantage, "status": run.status}


def _digests(stored: StoredRun) -> dict[str, Any]:
    """The digest of each image, by registry and platform."""
    found = json.loads(stored.run.facts or "{}").get("images", [])
    return {
        f"{entry['image']} {platform} at {entry['registry']}": image["digest"]
        for entry in found
        for platform, image in entry["platforms"].items()
    }


def _engines(stored: StoredRun) -> dict[str, Any]:
    found = json.loads(stored.run.facts or "{}").get("engines", [])
    return {entry["name"]: f"{entry['kind']} {entry.get('version') or ''}".strip() for entry in found}


def _spec(stored: StoredRun) -> dict[str, Any]:
    measured = {key: value for key, value in stored.spec.items() if key not in _NOT_MEASURED}
    return dict(_flat(_named(measured)))


def _named(value: Any) -> Any:
    """Lists of named entries (registries, proxies, engines) as mappings, so that a new entry does not shift the others."""
    if isinstance(value, Mapping):
        return {str(key): _named(entry) for key, entry in value.items()}
    if isinstance(value, list) and value and all(isinstance(entry, Mapping) and "name" in entry for entry in value):
        return {str(entry["name"]): _named({key: entry[key] for key in entry if key != "name"}) for entry in value}
    return value


def _flat(value: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, entry in value.items():
        if isinstance(entry, Mapping) and entry:
            yield from _flat(entry, f"{before}{key}.")
        else:
            yield f"{before}{key}", entry


def _machines(baseline: Mapping[str, Any], candidate: Mapping[str, Any]) -> Iterator[Difference]:
    for name in _MACHINE:
        before, after = baseline.get(name), candidate.get(name)
        if not _same_part(name, before, after):
            yield Difference(kind="machine", what=name, baseline=before, candidate=after)


def _same_part(name: str, before: Any, after: Any) -> bool:
    if name == "memory_bytes" and before and after:
        return bool(abs(after - before) <= _MEMORY_SLACK * max(before, after))
    return bool(before == after)


def _rest(environment: Mapping[str, Any]) -> dict[str, Any]:
    left = {
        key: value
        for key, value in environment.items()
        if key not in (*_MACHINE, *_VARIES_BY_ITSELF, "engines")  # engines are compared by the facts
    }
    return dict(_flat(left))


def _of(kind: str, baseline: Mapping[str, Any], candidate: Mapping[str, Any]) -> Iterator[Difference]:
    for what in dict.fromkeys((*baseline, *candidate)):
        before, after = baseline.get(what), candidate.get(what)
        if before != after:
            yield Difference(kind=kind, what=what, baseline=before, candidate=after)
