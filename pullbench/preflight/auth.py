"""`auth`: the registry accepts the credentials that the spec names."""

from dataclasses import dataclass

from pullbench.errors import ErrorCode, RegistryError, UsageError
from pullbench.model.finding import Finding, Status
from pullbench.preflight.check import Check, Fault, Room, Target, failed, passed, warned
from pullbench.preflight.remedy import remedy
from pullbench.preflight.targets import every_route
from pullbench.preflight.world import World

ID = "auth"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginTry:
    """Whether credentials were found and asked for, and how the registry took them."""

    found: bool = False
    asked: tuple[str, ...] = ()
    """The schemes of the challenge; none where the registry lets anybody in."""
    fault: Fault | None = None


def probe(world: World, target: Target) -> LoginTry:
    route, client = target.route, world.client(target.route)
    try:
        found = world.keychain.credentials(route.credentials, route.host) is not None
    except UsageError as error:
        return LoginTry(fault=Fault.of(error))
    asked: tuple[str, ...] = ()
    try:
        asked = tuple(challenge.scheme for challenge in client.ping(authenticate=False).challenges)
        if asked:
            client.ping()
    except RegistryError as error:
        return LoginTry(found=found, asked=asked, fault=Fault.of(error))
    return LoginTry(found=found, asked=asked)


def judge(evidence: LoginTry, target: Target) -> list[Finding]:
    route, source = target.route, target.route.credentials
    expected = f"the credentials of '{source}' are accepted" if source != "anonymous" else "anybody may pull"
    who = f"the credentials of '{source}'" if evidence.found else "no credentials"
    if source == "docker" and not evidence.found:
        who = f"no credentials (Docker's config.json has none for {route.host})"
    if evidence.fault is not None:
        told = Fault(code=evidence.fault.code, text=f"{evidence.fault.text}, with {who}")
        if not evidence.asked and not evidence.found:
            told = evidence.fault
        if _may_still_pull(evidence):
            observed = f"{told.text}: public repositories may still be pulled"
            return [warned(ID, target, observed, expected, remedy(told.code, route))]
        return [failed(ID, target, told, expected, remedy(told.code, route))]
    if not evidence.asked:
        untried = f"; {who} were not tried" if evidence.found else ""
        return [passed(ID, target, f"no authentication is asked for{untried}", expected)]
    return [passed(ID, target, f"{evidence.asked[0].capitalize()}, with {who}", expected)]


def _may_still_pull(evidence: LoginTry) -> bool:
    """Some token services give an anonymous client a token for a public repository alone, not for /v2/ itself."""
    refused = evidence.fault is not None and evidence.fault.code in (ErrorCode.UNAUTHORIZED, ErrorCode.FORBIDDEN)
    return refused and not evidence.found and "bearer" in evidence.asked


CHECK = Check(
    id=ID,
    room=Room.ACCESS,
    looks_at="`GET /v2/` with the credentials that the spec names, by the registry's own challenge.",
    statuses={
        Status.PASS: "they are accepted, or none are asked for",
        Status.WARN: "without credentials there is no token for `/v2/`: public repositories may still be pulled",
        Status.FAIL: "they are refused, or could not be read",
    },
    advice="Log in again (`docker logout HOST && docker login HOST`), or set what `credentials` names.",
    targets=every_route,
    probe=probe,
    judge=judge,
    needs=frozenset({"api"}),
)
