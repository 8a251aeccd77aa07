"""What a probe saw, as JSON: kept beside the finding, so that a verdict can be checked later."""

import dataclasses
import json
from collections.abc import Mapping
from datetime import date
from typing import Any

from pullbench.registry.faults import clean

MOST_CHARACTERS = 20_000
_MOST_ITEMS = 200


def as_json(evidence: object) -> str:
    """One JSON document of a probe's result, made of the texts of a stranger: cleaned, and cut where it is too long.

    Fields of dataclasses keep their names; what JSON has no word for is told by its text. A document that stays longer
    than MOST_CHARACTERS becomes `{"cut": <its beginning>}`.
    """
    text = json.dumps(_plain(evidence), ensure_ascii=False, sort_keys=True)
    if len(text) <= MOST_CHARACTERS:
        return text
    return json.dumps({"cut": text[:MOST_CHARACTERS]}, ensure_ascii=False)


def _plain(value: object) -> Any:
    if isinstance(value, bool | int | float | None):
        return value
    if isinstance(value, str):
        return clean(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {entry.name: _plain(getattr(value, entry.name)) for entry in dataclasses.fields(value) if entry.repr}
    if isinstance(value, Mapping):
        return {clean(str(key)): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        ordered = sorted(value, key=str) if isinstance(value, set | frozenset) else list(value)
        kept = [_plain(entry) for entry in ordered[:_MOST_ITEMS]]
        return kept if len(ordered) <= _MOST_ITEMS else [*kept, f"and {len(ordered) - _MOST_ITEMS} more"]
    if isinstance(value, date):
        return value.isoformat()
    return clean(str(value))
