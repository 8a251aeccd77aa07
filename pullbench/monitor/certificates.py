"""When the certificates of a registry end, from what the check `tls` saw."""

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from pullbench.model.finding import Finding

_CHECK = "tls"


def expiries(findings: Iterable[Finding]) -> dict[str, datetime]:
    """By the check's target (`eu`, `eu via cache`), the end of the certificate that ends first: the one the check judges.

    A target without a handshake, or whose evidence is not whole, is left out.
    """
    found = {finding.target: _ends_first(finding.evidence) for finding in findings if finding.check == _CHECK}
    return {target: ends_at for target, ends_at in found.items() if ends_at is not None}


def _ends_first(evidence: str | None) -> datetime | None:
    try:
        handshake: Any = json.loads(evidence or "null")["handshake"]
        certificates = handshake["path"] or handshake["chain"]
        ends = [datetime.fromisoformat(certificate["ends_at"]) for certificate in certificates]
    except (ValueError, KeyError, TypeError):
        return None
    # A certificate that could not be read stands with the last of all days.
    return min((end for end in ends if end.year < datetime.max.year), default=None)
