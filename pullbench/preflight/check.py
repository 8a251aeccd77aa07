"""The parts of a check: its targets, a probe that collects evidence (IO), and a pure judgement of the evidence."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar

from pullbench.errors import ErrorCode, PullbenchError, RegistryError, Responder
from pullbench.model.client_rules import Client
from pullbench.model.facts import EngineFacts
from pullbench.model.finding import Finding, Status
from pullbench.model.reference import Reference
from pullbench.model.remedy import parameters_of, remedy
from pullbench.model.route import Route
from pullbench.model.spec import EngineEntry
from pullbench.preflight.context import CheckContext
from pullbench.registry.answer import AnswerError
from pullbench.registry.attempts import LoginError
from pullbench.registry.client import NoImageError

Evidence = TypeVar("Evidence")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The subject of a finding: a route, an image on a route, or one platform of the image."""

    route: Route
    image: str | None = None
    """As in the spec."""
    platform: str | None = None

    @property
    def name(self) -> str:
        """The name in findings and in `preflight --json`: `eu`, `eu via cache library/nginx:1.27 linux/arm64`."""
        return " ".join(part for part in (self.route.name, self.image, self.platform) if part)

    def is_part_of(self, other: "Target | Local") -> bool:
        """Whether this target belongs to `other`: a platform belongs to its image, an image to its route."""
        return (
            isinstance(other, Target)
            and self.route == other.route
            and other.image in (None, self.image)
            and other.platform in (None, self.platform)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Local:
    """The subject of a finding that is not about a registry: this machine, a daemon, a file."""

    name: str

    def is_part_of(self, other: "Target | Local") -> bool:
        """True only for the same target."""
        return self == other


TargetT = TypeVar("TargetT", Target, Local)


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingKind:
    """A problem that a check can find without an error code, for docs/checks.md: what leads to it, and what to do."""

    cause: str
    remedy: str


TOO_SLOW = "check-too-slow"
WRONG_SPEC = "check-wrong-spec"
BROKEN = "check-broken"
COULD_NOT_RUN = {
    TOO_SLOW: FindingKind(
        cause="The check waited for a server, a daemon or a disk longer than its limit.",
        remedy="Repeat it with `--only CHECK`, or continue without it: `--skip CHECK`.",
    ),
    WRONG_SPEC: FindingKind(
        cause="A part of the spec that only this check reads is wrong, such as the source of credentials.",
        remedy="Fix the part of the spec that the finding names.",
    ),
    BROKEN: FindingKind(
        cause="A bug of pullbench: the check met something that it does not expect.",
        remedy="Report the finding's text to the maintainers of pullbench; continue with `--skip CHECK`.",
    ),
}
"""The problems of every check with the status `error`."""


REPLICAS = "answers differ between requests: replicas without shared storage, or a cache"
NO_DOCKER = Local(name="docker")
"""The daemon target of a spec without docker engines."""


def every_route(context: CheckContext) -> list[Target]:
    """Every route: each registry with each proxy of the matrix."""
    return [Target(route=route) for route in context.routes]


def every_image(context: CheckContext) -> list[Target]:
    """Each image on each route, including the images that an engine pulls first."""
    return [Target(route=route, image=image) for route in context.routes for image in context.spec.every_image]


def every_platform(context: CheckContext) -> list[Target]:
    """Each platform of each image on each route."""
    return [
        Target(route=route, image=image, platform=platform)
        for route in context.routes
        for image in context.spec.every_image
        for platform in context.platforms
    ]


def engine_target(entry: EngineEntry) -> Local:
    """The target of an engine. All its checks share it, so that they are shown together and can need each other."""
    return Local(name=f"engine {entry.name}")


def engine_of(context: CheckContext, target: Local) -> EngineEntry:
    """The engine of a target; KeyError if the target is no engine."""
    return {engine_target(entry): entry for entry in context.engines}[target]


def engine_clients(context: CheckContext) -> dict[str, Client]:
    """The client behind each engine of the spec, by the engine's name for display."""
    facts = context.facts.engines
    return {
        f"engine '{entry.name}'": Client.of_engine(
            facts.get(entry.name) or EngineFacts(name=entry.name, kind=entry.kind)
        )
        for entry in context.engines
    }


def shown_refusals(refused_by: Mapping[str, str]) -> str:
    """Clients by the reason why they refuse an image: `refused by ctr, podman: …`."""
    reasons = dict[str, list[str]]()
    for name, reason in refused_by.items():
        reasons.setdefault(reason, []).append(name)
    return "; ".join(f"refused by {', '.join(names)}: {reason}" for reason, names in reasons.items())


def every_docker(context: CheckContext) -> list[Local]:
    """Each engine of kind docker; NO_DOCKER if there is none, so that the check can report that."""
    return [engine_target(entry) for entry in context.engines if entry.kind == "docker"] or [NO_DOCKER]


def without_docker(target: Local) -> str | None:
    """The reason to skip a check of the Docker daemon; None if it applies."""
    return "the spec uses no docker engine" if target == NO_DOCKER else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedFault:
    """An error during a probe, kept as evidence for `judge`."""

    code: ErrorCode
    text: str
    status: int | None = None
    """The HTTP status, if there was an answer."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """Parameters beyond the target's, such as the server that answered or the address that was tried."""
    remedy: str | None = None
    """The remedy, where the code's own does not fit."""

    @classmethod
    def of(cls, error: PullbenchError) -> "ObservedFault":
        """The fault of an error: a RegistryError keeps its code; a failed credentials source is `unauthorized`."""
        if isinstance(error, RegistryError):
            known = {"answered_by": error.answered_by, "answered_at": error.host, **_of_body(error)}
            return cls(
                code=error.code,
                text=f"{error.where}: {error.detail}",
                status=error.status,
                parameters={name: str(value) for name, value in known.items() if value is not None},
                remedy=error.remedy if isinstance(error, NoImageError | LoginError) else None,
            )
        return cls(code=ErrorCode.UNAUTHORIZED, text=str(error))

    def __str__(self) -> str:
        return f"[{self.code}] {self.text}"

    @property
    def is_of_login(self) -> bool:
        """Whether another login may change a refusal: not if a policy, a proxy, a storage or a box between refuses."""
        if self.answered_by not in (None, Responder.REGISTRY, Responder.TOKEN_SERVICE):
            return False
        if self.answered_by is Responder.TOKEN_SERVICE:
            return self.code is ErrorCode.UNAUTHORIZED
        return self.status in (None, 400, 401, 403, 404)

    @property
    def answered_by(self) -> Responder | None:
        """The server that answered, or failed to answer; None if it is not known."""
        name = self.parameters.get("answered_by")
        return None if name is None else Responder(name)


def _of_body(error: RegistryError) -> dict[str, str | None]:
    """Content type, and the first code and message in the body, of an answer with an error status."""
    if not isinstance(error, AnswerError):
        return {}
    first = next(iter(error.problems), None)
    code, message = (None, None) if first is None else (first.code, first.message or None)
    return {"content_type": error.content_type or None, "problem": code, "message": message}


def cure_of(fault: ObservedFault, target: Target, *, address: str | None = None) -> str:
    """The fault's own remedy, else its code's, for the server that answered and the target's image and platform."""
    if fault.remedy is not None:
        return fault.remedy
    return remedy(
        fault.code,
        target.route,
        address=address,
        reference=None if target.image is None else Reference.parse(target.image),
        platform=target.platform,
        answered_by=fault.answered_by,
        answered_at=fault.parameters.get("answered_at"),
        error=fault.text,
    )


def name_the_registry(route: Route, namespace: str) -> str:
    """The remedy for a mirror that serves only requests that name their registry."""
    return f"set `namespace: {namespace}` for the proxy '{route.proxy}': each request then has ?ns={namespace}"


class Room(StrEnum):
    """The part of the path between client and image that a check covers; `--only` and `--skip` accept it too."""

    NETWORK = "network"
    ACCESS = "access"
    CONTENT = "content"
    STORAGE = "storage"
    CLIENT = "client"
    ROUTE = "route"
    BUILD = "build"


def always(_target: Target | Local) -> str | None:
    """The `skips` of a check that applies to every target."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Check(Generic[TargetT, Evidence]):
    """One check for all targets of a kind. Write one check per file and list it in `checks.CHECKS`."""

    id: str
    """The stable id: it is stored, and `--only` and `--skip` accept it."""
    room: Room
    looks_at: str
    """For docs/checks.md: what the check looks at and how, in one or two sentences of Markdown."""
    statuses: Mapping[Status, str]
    """For docs/checks.md: when `judge` (or `skips`) returns each status. The page already explains the statuses that the
    runner gives: `error` if a check breaks or takes too long, `skip` if a check that it needs has failed."""
    advice: str
    """For docs/checks.md: a summary of the remedies, with the command."""
    kinds: Mapping[str, FindingKind] = field(default_factory=dict)
    """Its problems without an error code, by the `kind` of their findings, `ID-…`: their anchors in docs/checks.md."""
    targets: Callable[[CheckContext], Sequence[TargetT]]
    probe: Callable[[CheckContext, TargetT], Evidence]
    """Collects the evidence, in its own thread. Registry errors are evidence; an exception makes the check `error`."""
    judge: Callable[[Evidence, TargetT], list[Finding]]
    """Pure: the same evidence gives the same findings. The runner fills `duration_s`."""
    needs: frozenset[str] = frozenset()
    """Ids of checks that must not have failed for the same target."""
    skips: Callable[[TargetT], str | None] = always
    """The reason why the check does not apply to a target; None if it applies."""
    timeout_s: float = 60.0
    """The limit for the whole probe; beyond it the check is `error`."""


def passed(check: str, target: Target | Local, observed: str, expected: str) -> Finding:
    return Finding(check=check, target=target.name, status=Status.PASS, observed=observed, expected=expected)


def warned(
    check: str,
    target: Target | Local,
    observed: ObservedFault | str,
    expected: str,
    remedy: str,
    *,
    cause: ObservedFault | None = None,
    kind: str | None = None,
) -> Finding:
    """A warning. `cause` is the fault behind it if `observed` is a separate text; without a fault `kind` names the problem."""
    return _finding(check, target, Status.WARN, observed, remedy, expected=expected, cause=cause, kind=kind)


def failed(
    check: str,
    target: Target | Local,
    observed: ObservedFault | str,
    expected: str,
    remedy: str,
    *,
    kind: str | None = None,
) -> Finding:
    """A failure. The text of a fault starts with its error code in brackets, such as `[connect_refused]`.

    Without a fault `kind` names the problem: one of the check's `kinds`.
    """
    return _finding(check, target, Status.FAIL, observed, remedy, expected=expected, kind=kind)


def errored(
    check: str, target: Target | Local, observed: ObservedFault | str, remedy: str, *, kind: str | None = None
) -> Finding:
    """The check could not run; without a fault `kind` names the reason."""
    return _finding(check, target, Status.ERROR, observed, remedy, kind=kind)


def skipped(check: str, target: Target | Local, reason: str) -> Finding:
    """The probe found that the check does not apply: the registry lacks the feature, or the plan does not need it."""
    return Finding(check=check, target=target.name, status=Status.SKIP, observed=reason)


def _finding(
    check: str,
    target: Target | Local,
    status: Status,
    observed: ObservedFault | str,
    remedy: str,
    *,
    expected: str = "",
    cause: ObservedFault | None = None,
    kind: str | None = None,
) -> Finding:
    fault = observed if isinstance(observed, ObservedFault) else cause
    if fault is None and kind is None:
        raise ValueError(
            f"{check}: a problem without an error code needs a kind, which is its anchor in docs/checks.md"
        )
    return Finding(
        check=check,
        target=target.name,
        status=status,
        observed=str(observed),
        expected=expected,
        remedy=remedy,
        code=None if fault is None else fault.code,
        kind=kind if fault is None else None,
        parameters={} if fault is None else _parameters(target, fault),
    )


def _parameters(target: Target | Local, fault: ObservedFault) -> dict[str, str]:
    """The target's parameters, overridden by the fault's own."""
    known = dict[str, str]()
    if isinstance(target, Target):
        reference = None if target.image is None else Reference.parse(target.image)
        known = parameters_of(fault.code, target.route, reference=reference, platform=target.platform)
    if fault.status is not None:
        known["status"] = str(fault.status)
    return known | dict(fault.parameters)
