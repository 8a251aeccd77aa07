"""What is not told of a trial: secrets of ours that a registry's words hold, as clients pass them on."""

from collections.abc import Collection
from dataclasses import replace
from functools import cache

from pullbench.model.record import TrialResult
from pullbench.registry.auth import Credentials
from pullbench.registry.redaction import redacted


def without_secrets(result: TrialResult, known: Collection[Credentials]) -> TrialResult:
    """The result with errors and headers of servers (`served_by`) as they may be stored; the same where none holds any."""

    @cache
    def clean(text: str) -> str:
        return redacted(text, known)

    told = [text for pull in result.pulls for text in (pull.error, pull.served_by)]
    told += [row.served_by for row in result.transfers]
    if all(clean(text) == text for text in told if text is not None):
        return result

    def cleaned(text: str | None) -> str | None:
        return None if text is None else clean(text)

    pulls = (replace(pull, error=cleaned(pull.error), served_by=cleaned(pull.served_by)) for pull in result.pulls)
    transfers = (replace(row, served_by=cleaned(row.served_by)) for row in result.transfers)
    return replace(result, pulls=tuple(pulls), transfers=tuple(transfers))
