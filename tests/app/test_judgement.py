"""The exit code of a finished run follows its SLOs: a missed one is 1, an inconclusive one is not."""

from typing import Any

import pytest

from pullbench.app.run import judgement


def row(verdict: str, engine: str | None = "docker", configuration: str | None = None) -> dict[str, Any]:
    return {"name": "p95_pull_s", "engine": engine, "configuration": configuration, "verdict": verdict}


def judged(*rows: dict[str, Any]) -> tuple[int, str]:
    return judgement({"kind": "benchmark", "status": "complete", "preflight": {"findings": []}, "slo": list(rows)})


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ([], 0),
        ([row("met"), row("not_shown", None)], 0),
        ([row("met"), row("missed", "podman")], 1),
        ([row("met"), row("missed", "docker", "docker · ×8")], 1),
    ],
)
def test_one_engine_or_configuration_that_misses_its_slo_is_exit_code_1(rows: list[dict[str, Any]], code: int) -> None:
    assert judged(*rows)[0] == code


def test_the_message_names_the_slo_and_the_engine_where_there_are_several() -> None:
    assert judged(row("missed"), row("not_shown", None))[1].endswith(": p95_pull_s")
    assert judged(row("missed"), row("met", "podman"))[1].endswith(": p95_pull_s (docker)")
    assert judged(row("met"), row("missed", "docker", "docker · ×8"))[1].endswith(": p95_pull_s (docker · ×8)")
