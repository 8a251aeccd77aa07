"""Findings as the JSON document of `preflight --json`."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from pullbench.model.finding import Finding, worst


def findings_document(findings: Sequence[Finding]) -> dict[str, Any]:
    """`{"status", "findings": [{"check", "target", "status", "observed", "expected", "remedy", "duration_s"}]}`."""
    return {"status": worst(findings).value, "findings": [asdict(finding) for finding in findings]}
