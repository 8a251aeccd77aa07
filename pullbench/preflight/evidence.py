"""What a probe saw, as JSON: kept beside the finding, so that a verdict can be checked later. And no secret in either."""

import dataclasses
import json
from collections.abc import Collection, Mapping
from datetime import date
from typing import Any

from pullbench.model.finding import Finding
from pullbench.model.text import clean
from pullbench.registry.auth import Credentials
from pullbench.registry.redaction import redacted

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


def without_secrets(finding: Finding, known: Collection[Credentials] = ()) -> Finding:
    """The finding without what a registry may have echoed of our credentials, and without what looks like any."""
    return dataclasses.replace(
        finding,
        observed=redacted(finding.observed, known),
        expected=redacted(finding.expected, known),
        remedy=redacted(finding.remedy, known),
        evidence=None if finding.evidence is None else redacted(finding.evidence, known),
    )
