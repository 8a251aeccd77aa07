"""`latency`: how long the registry's API takes to answer, compared with `slo.p99_api_s` where that is configured."""

import time
from dataclasses import dataclass, replace

from pullbench.errors import ErrorCode, RegistryError, Responder
from pullbench.model.finding import Finding, Status
from pullbench.model.remedy import curl
from pullbench.preflight.check import (
    Check,
    FindingKind,
    ObservedFault,
    Room,
    Target,
    cure_of,
    every_route,
    failed,
    passed,
    warned,
)
from pullbench.preflight.context import CheckContext
from pullbench.registry.client import RegistryClient
from pullbench.stats.summary import percentile, values_needed

ID = "latency"
SLOW = "latency-slow"
PROBES = values_needed(99)
"""As many as a p99 needs to be shown."""
ENOUGH_S = 3.0
"""On a slow way the probes end after so long, once there are LEAST of them."""
LEAST = 3
LONGEST_S = 20.0
"""And here whatever there is."""
MAX_FAULTS = 3
ALLOWED = 0.01
"""The share of the probes that may take longer than the SLO: that is what a p99 means."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiLatencies:
    """Answers to GET /v2/, one after the other over a kept connection; the one that opened it is not among them."""

    answered_s: tuple[float, ...] = ()
    faults: tuple[ObservedFault, ...] = ()
    """Probes without an answer that a registry gives."""
    target_s: float | None = None
    """`slo.p99_api_s`; None where it is not configured."""
    wanted: int = PROBES

    @property
    def made(self) -> int:
        return len(self.answered_s) + len(self.faults)

    @property
    def over(self) -> int:
        """Probes that took longer than the SLO, and those that failed."""
        limit = self.target_s
        late = 0 if limit is None else sum(1 for each in self.answered_s if each > limit)
        return late + len(self.faults)


def probe(context: CheckContext, target: Target) -> ApiLatencies:
    """Send requests without credentials, so that only the API is timed; stop early on a slow route, after failures or at a limit."""
    client = context.client(target.route)
    answered: list[float] = []
    faults: list[ObservedFault] = []
    if (fault := _fault(client)) is not None:
        faults.append(fault)
    began = time.monotonic()
    while len(answered) + len(faults) < PROBES and len(faults) < MAX_FAULTS:
        started = time.monotonic()
        elapsed_s, made = started - began, len(answered) + len(faults)
        if elapsed_s >= LONGEST_S or (elapsed_s >= ENOUGH_S and made >= LEAST):
            break
        if (fault := _fault(client)) is None:
            answered.append(round(time.monotonic() - started, 6))
        else:
            faults.append(fault)
            if fault.code is ErrorCode.RATE_LIMITED:
                break
    return ApiLatencies(
        answered_s=tuple(answered), faults=tuple(faults), target_s=context.spec.targets.get("p99_api_s")
    )


def _fault(client: RegistryClient) -> ObservedFault | None:
    """The fault of one request; None for an answer of the registry, which may refuse an anonymous client."""
    try:
        client.ping(authenticate=False, patient=False)
    except RegistryError as error:
        is_answer = error.code is ErrorCode.FORBIDDEN and error.answered_by is Responder.REGISTRY
        return None if is_answer else ObservedFault.of(error)
    return None


def judge(evidence: ApiLatencies, target: Target) -> list[Finding]:
    """More than 1% over the SLO fails; a single one of fewer than 100 does not show that much, and warns.

    Without that SLO the latency is reported and not judged; probes without an answer are judged all the same.
    """
    limit = evidence.target_s
    expected = f"at most 1% of the answers to GET /v2/ take over {limit:g} s" if limit else "GET /v2/ answers"
    observed = _shown(evidence)
    if limit is None:
        observed += "; not judged, because slo.p99_api_s is not configured"
    elif late := evidence.over - len(evidence.faults):
        observed += f"; {late} of {evidence.made} over {limit:g} s"
    if evidence.faults:
        observed += f"; {len(evidence.faults)} of {evidence.made} failed: {evidence.faults[0].text}"
    cure = _cure(evidence, target)
    limited = any(fault.code is ErrorCode.RATE_LIMITED for fault in evidence.faults)
    if limited and evidence.over == len(evidence.faults):
        cure = cure_of(evidence.faults[-1], target)
        return [warned(ID, target, observed, expected, cure, cause=evidence.faults[-1])]
    if evidence.made and evidence.over / evidence.made > ALLOWED:
        if evidence.over == 1 < evidence.made < round(1 / ALLOWED):
            return [
                warned(ID, target, f"{observed}: too few to say whether it is more than 1%", expected, cure, kind=SLOW)
            ]
        told = replace(evidence.faults[0], text=observed) if evidence.faults else observed
        return [failed(ID, target, told, expected, cure, kind=SLOW)]
    return [passed(ID, target, observed, expected)]


def _shown(evidence: ApiLatencies) -> str:
    """Percentiles as far as the number of probes carries them, and the slowest."""
    seen = evidence.answered_s
    if not seen:
        return "no probe was answered"
    shown = [f"{name} {value * 1000:.1f} ms" for name, value in _percentiles(seen) if value is not None]
    cut = f", stopped after {ENOUGH_S:g} s" if evidence.made < evidence.wanted and not evidence.faults else ""
    return f"{', '.join(shown)}, slowest {max(seen) * 1000:.1f} ms of {len(seen)} probes{cut}"


def _percentiles(seen: tuple[float, ...]) -> list[tuple[str, float | None]]:
    return [(f"p{q}", percentile(seen, q)) for q in (50, 95, 99)]


def _cure(evidence: ApiLatencies, target: Target) -> str:
    route = target.route
    if evidence.faults:
        return cure_of(evidence.faults[0], target)
    times = (
        "'dns %{time_namelookup} connect %{time_connect} tls %{time_appconnect} first byte %{time_starttransfer}\\n'"
    )
    return (
        f"see where the time goes: `{curl(route)} -s -o /dev/null -w {times} {route.url}/v2/`; then the registry's load, "
        "its database and its storage's latency (Prometheus: `registry_http_request_duration_seconds`), "
        "or a mirror that is nearer; `slo.p99_api_s` is the target"
    )


CHECK = Check(
    id=ID,
    room=Room.NETWORK,
    looks_at=f"Sends `GET /v2/` {PROBES} times over a kept connection, without credentials. On a slow route it stops after "
    f"{ENOUGH_S:g} s and reports the number. Percentiles are shown if there are enough requests.",
    statuses={
        Status.PASS: "at most 1% of the probes take longer than `slo.p99_api_s`; without that SLO the latency is reported and not "
        "judged",
        Status.WARN: "one does, of fewer than 100; or the registry's rate limit ended the probes",
        Status.FAIL: "more than 1% do, or are not answered",
    },
    advice="See where the time goes with `curl -w`, look at the registry's load, database and storage, or use a mirror that is "
    "nearer.",
    kinds={
        SLOW: FindingKind(
            cause="The route is long, TLS ends far from the registry, or the registry's database or token service is slow or overloaded.",
            remedy="See where the time goes with `curl -w`; reduce the registry's load, use a nearer registry or mirror, or raise `slo.p99_api_s`.",
        ),
    },
    targets=every_route,
    probe=probe,
    judge=judge,
    needs=frozenset({"api"}),
)
