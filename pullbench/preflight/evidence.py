"""What a probe saw, as JSON: kept beside the finding, so that a verdict can be checked later. And no secret in either."""

import base64
import dataclasses
import json
import re
from collections.abc import Collection, Mapping
from datetime import date
from typing import Any

from pullbench.model.finding import Finding
from pullbench.registry.auth import Credentials
from pullbench.registry.faults import clean

MOST_CHARACTERS = 20_000
_MOST_ITEMS = 200
_SHORTEST_SECRET = 6
"""Shorter ones are words that stand in findings by themselves; no registry that echoes them tells more than a guess."""
_REDACTED = "(redacted)"
_LOOKS_SECRET = re.compile(
    r"(?P<before>\b(?:Bearer|Basic)\s+)[\w.~+/-]{16,}=*"  # an Authorization header's value
    r"|(?P<scheme>\b[a-z][a-z0-9+.-]*://)[^\s/@\"']+(?=@)"  # who a URL would log in as
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?",  # a JSON Web Token (RFC 7519)
    re.IGNORECASE,
)


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
    """The finding without what a registry may have echoed of our credentials, and without what looks like any.

    A token that a registry gave is known by its looks alone: after Bearer or Basic, as a JSON Web Token, or in a URL.
    """
    secrets = sorted({form for each in known for form in _forms(each)}, key=len, reverse=True)

    def redacted(text: str) -> str:
        for secret in secrets:
            text = text.replace(secret, _REDACTED)
        return _LOOKS_SECRET.sub(lambda found: f"{found['before'] or found['scheme'] or ''}{_REDACTED}", text)

    return dataclasses.replace(
        finding,
        observed=redacted(finding.observed),
        expected=redacted(finding.expected),
        remedy=redacted(finding.remedy),
        evidence=None if finding.evidence is None else redacted(finding.evidence),
    )


def _forms(credentials: Credentials) -> set[str]:
    """How the secrets may stand in a text: as they are, inside JSON, and as HTTP's Basic sends them (RFC 7617)."""
    plain = {secret for secret in (credentials.password, credentials.identity_token or "") if secret}
    basic = base64.b64encode(f"{credentials.username}:{credentials.password}".encode()).decode()
    long = {secret for secret in plain if len(secret) >= _SHORTEST_SECRET}
    return long | {json.dumps(secret, ensure_ascii=False)[1:-1] for secret in long} | ({basic} if plain else set())
