"""What a check is: its targets, what it looks at (IO), and what it says of what it saw (pure)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar

from pullbench.errors import ErrorCode, PullbenchError, RegistryError
from pullbench.model.finding import Finding, Status
from pullbench.model.reference import Reference
from pullbench.model.remedy import parameters_of
from pullbench.model.route import Route
from pullbench.model.spec import EngineEntry
from pullbench.preflight.context import CheckContext

Evidence = TypeVar("Evidence")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What one finding is about: a route, an image by a route, or one platform of it."""

    route: Route
    image: str | None = None
    """As in the spec."""
    platform: str | None = None

    @property
    def name(self) -> str:
        """For people and for `preflight --json`: `eu`, `eu via cache library/nginx:1.27 linux/arm64`."""
        return " ".join(part for part in (self.route.name, self.image, self.platform) if part)

    def is_part_of(self, other: "Target | Local") -> bool:
        """Whether what is true of `other` is true of this: a platform is part of its image, an image of its route."""
        return (
            isinstance(other, Target)
            and self.route == other.route
            and other.image in (None, self.image)
            and other.platform in (None, self.platform)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Local:
    """What a finding is about where it is no registry: this machine, a daemon, a file."""

    name: str

    def is_part_of(self, other: "Target | Local") -> bool:
        """Only of itself."""
        return self == other


TargetT = TypeVar("TargetT", Target, Local)


NO_DOCKER = Local(name="docker")
"""Stands for the daemon where the spec uses none."""


def every_route(context: CheckContext) -> list[Target]:
    """Each registry by each proxy of the matrix."""
    return [Target(route=route) for route in context.routes]


def every_image(context: CheckContext) -> list[Target]:
    """Each image by each route, what an engine pulls before others among them."""
    return [Target(route=route, image=image) for route in context.routes for image in context.spec.every_image]


def every_platform(context: CheckContext) -> list[Target]:
    """Each platform of each image by each route."""
    return [
        Target(route=route, image=image, platform=platform)
        for route in context.routes
        for image in context.spec.every_image
        for platform in context.platforms
    ]


def engine_target(entry: EngineEntry) -> Local:
    """The same target for every check of an engine, so that they are shown together and can need each other."""
    return Local(name=f"engine {entry.name}")


def engine_of(context: CheckContext, target: Local) -> EngineEntry:
    """The engine that a target is about; KeyError where it is about none."""
    return {engine_target(entry): entry for entry in context.engines}[target]


def every_docker(context: CheckContext) -> list[Local]:
    """Each engine of kind docker; one that stands for all where there is none, so that the check says so."""
    return [engine_target(entry) for entry in context.engines if entry.kind == "docker"] or [NO_DOCKER]


def without_docker(target: Local) -> str | None:
    """Why a check of the daemon does not apply."""
    return "the spec uses no engine of kind docker" if target == NO_DOCKER else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedFault:
    """What went wrong while looking; evidence, so that `judge` can say what it means."""

    code: ErrorCode
    text: str
    status: int | None = None
    """Of HTTP, where there was an answer."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """What it is about beyond the target, such as who answered, or the address that was tried."""

    @classmethod
    def of(cls, error: PullbenchError) -> "ObservedFault":
        """A registry's failure by its code; a source of credentials that fails leaves us without a name."""
        if isinstance(error, RegistryError):
            told = {"answered_by": error.answered_by, "answered_at": error.host}
            return cls(
                code=error.code,
                text=f"{error.where}: {error.detail}",
                status=error.status,
                parameters={name: str(value) for name, value in told.items() if value is not None},
            )
        return cls(code=ErrorCode.UNAUTHORIZED, text=str(error))

    def __str__(self) -> str:
        return f"[{self.code}] {self.text}"


class Room(StrEnum):
    """The part of the way between client and image that a check is about; `--only` and `--skip` take it, too."""

    NETWORK = "network"
    ACCESS = "access"
    CONTENT = "content"
    STORAGE = "storage"
    CLIENT = "client"
    ROUTE = "route"
    BUILD = "build"


def always(_target: Target | Local) -> str | None:
    """For a check that applies to each of its targets."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Check(Generic[TargetT, Evidence]):
    """One question that is asked of every target of a kind. Make one a file, and list it in `checks.CHECKS`."""

    id: str
    """Stable: it is stored, and `--only` and `--skip` name it."""
    room: Room
    looks_at: str
    """For docs/checks.md: what is looked at, and how, in a sentence or two of Markdown."""
    statuses: Mapping[Status, str]
    """For docs/checks.md: when `judge` (and `skips`) gives each status. What the runner gives to every check stands
    there already: `error` where it broke or took too long, `skip` where a check that it needs has failed."""
    advice: str
    """For docs/checks.md: what the remedies say to do, with the command."""
    targets: Callable[[CheckContext], Sequence[TargetT]]
    probe: Callable[[CheckContext, TargetT], Evidence]
    """Looks, in its own thread. What a registry does wrong is evidence; what it raises makes the check `error`."""
    judge: Callable[[Evidence, TargetT], list[Finding]]
    """Pure: the same evidence gives the same findings. The runner fills `duration_s`."""
    needs: frozenset[str] = frozenset()
    """Checks whose failure for a target leaves this one nothing to learn there."""
    skips: Callable[[TargetT], str | None] = always
    """Why the check does not apply to a target; None where it does."""
    timeout_s: float = 60.0
    """The whole probe; beyond it the check is `error`."""


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
) -> Finding:
    """A warning. `cause` is the fault behind it where `observed` is a text of its own."""
    return _finding(check, target, Status.WARN, observed, remedy, expected=expected, cause=cause)


def failed(check: str, target: Target | Local, observed: ObservedFault | str, expected: str, remedy: str) -> Finding:
    """A failure; the text of a fault starts with its error code in brackets, such as `[connect_refused]`."""
    return _finding(check, target, Status.FAIL, observed, remedy, expected=expected)


def errored(check: str, target: Target | Local, observed: ObservedFault | str, remedy: str) -> Finding:
    """The check could not be run."""
    return _finding(check, target, Status.ERROR, observed, remedy)


def skipped(check: str, target: Target | Local, reason: str) -> Finding:
    """What a probe found out is not to be judged here: a registry that does not offer it, or a plan without need."""
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
) -> Finding:
    fault = observed if isinstance(observed, ObservedFault) else cause
    return Finding(
        check=check,
        target=target.name,
        status=status,
        observed=str(observed),
        expected=expected,
        remedy=remedy,
        code=None if fault is None else fault.code,
        parameters={} if fault is None else _parameters(target, fault),
    )


def _parameters(target: Target | Local, fault: ObservedFault) -> dict[str, str]:
    """The target's, then the fault's own, which know better."""
    known = dict[str, str]()
    if isinstance(target, Target):
        reference = None if target.image is None else Reference.parse(target.image)
        known = parameters_of(fault.code, target.route, reference=reference, platform=target.platform)
    if fault.status is not None:
        known["status"] = str(fault.status)
    return known | dict(fault.parameters)
