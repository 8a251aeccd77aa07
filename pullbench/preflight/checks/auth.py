"""`auth`: the registry accepts the credentials that the spec names, and lets them pull what the spec names."""

import ipaddress
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from pullbench.errors import ErrorCode, RegistryError, UsageError
from pullbench.model.addresses import login_host
from pullbench.model.finding import Finding, Status
from pullbench.model.reference import Reference
from pullbench.model.remedy import curl, remedy
from pullbench.model.route import Route
from pullbench.model.text import clean
from pullbench.preflight.check import Check, ObservedFault, Room, Target, every_route, failed, passed, warned
from pullbench.preflight.context import CheckContext
from pullbench.registry.auth import redact_url
from pullbench.registry.keychain import shown_user

ID = "auth"
MAX_REPOSITORIES = 5
"""So many are tried; `image` asks for each."""
_REFUSALS = (ErrorCode.UNAUTHORIZED, ErrorCode.FORBIDDEN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    """Whether one of the spec's repositories may be pulled."""

    repository: str
    granted: tuple[str, ...] | None = None
    """What the token says that it grants; None where it does not say, or there is none."""
    fault: ObservedFault | None = None
    """Only a refusal: what is missing or broken is for other checks to say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginAttempt:
    """What the registry asked for, what was found for it, and how it was taken."""

    user: str | None = None
    """For people; None where there were no credentials."""
    asked: tuple[str, ...] = ()
    """The schemes of the challenge; none where the registry lets anybody in."""
    realm: str = ""
    """Who gives tokens, redacted; empty for Basic."""
    fault: ObservedFault | None = None
    """Of the login itself."""
    rights: tuple[Right, ...] = ()


def probe(context: CheckContext, target: Target) -> LoginAttempt:
    """Ask for the challenge, log in, and try the spec's first repositories, whose answers `image` uses again."""
    route, client = target.route, context.client(target.route)
    try:
        found = context.keychain.login(route)
    except UsageError as error:
        return LoginAttempt(fault=ObservedFault.of(error))
    user = clean(shown_user(found.username), 120) if found else None
    asked: tuple[str, ...] = ()
    realm = ""
    fault: ObservedFault | None = None
    try:
        challenges = client.ping(authenticate=False).challenges
        asked = tuple(dict.fromkeys(challenge.scheme for challenge in challenges))
        realm = next((redact_url(challenge.realm) for challenge in challenges if challenge.scheme == "bearer"), "")
        if asked:
            client.ping()
    except RegistryError as error:
        fault = ObservedFault.of(error)
    may_still_pull = fault is None or (fault.code in _REFUSALS and user is None and "bearer" in asked)
    rights = _rights(context, route) if may_still_pull else ()
    return LoginAttempt(user=user, asked=asked, realm=clean(realm, 200), fault=fault, rights=rights)


def _rights(context: CheckContext, route: Route) -> tuple[Right, ...]:
    first: dict[str, str] = {}
    for image in context.spec.images:
        first.setdefault(route.repository(Reference.parse(image)), image)
    return tuple(
        _right(context, route, repository, image) for repository, image in list(first.items())[:MAX_REPOSITORIES]
    )


def _right(context: CheckContext, route: Route, repository: str, image: str) -> Right:
    fault: ObservedFault | None = None
    try:
        context.head(route, image)
    except RegistryError as error:
        fault = ObservedFault.of(error) if error.code in _REFUSALS else None
    return Right(repository=repository, granted=context.client(route).granted(repository), fault=fault)


def judge(evidence: LoginAttempt, target: Target) -> list[Finding]:
    """No credentials, wrong ones, and no right to a repository are told apart; a right that some lack warns."""
    route = target.route
    expected = _expected(route)
    refused = [(right, right.fault) for right in evidence.rights if right.fault is not None]
    if evidence.fault is not None and not (evidence.rights and len(refused) < len(evidence.rights)):
        return [_not_let_in(evidence, evidence.fault, target, expected)]
    how = _how(evidence, route)
    if refused:
        return [_without_right(evidence, refused, f"{how}: ", target, expected)]
    if evidence.fault is not None:
        how += "; /v2/ itself is refused, the repositories are not"
    danger = _danger(evidence, route)
    if danger is not None:
        return [warned(ID, target, f"{how}{_granted(evidence)}; {danger[0]}", expected, danger[1])]
    return [passed(ID, target, how + _granted(evidence), expected)]


def _expected(route: Route) -> str:
    if route.credentials == "anonymous":
        return "anybody may pull the spec's repositories"
    return f"the credentials of '{route.credentials}' are accepted, and may pull the spec's repositories"


def _not_let_in(evidence: LoginAttempt, fault: ObservedFault, target: Target, expected: str) -> Finding:
    """The login failed: for want of credentials, for wrong ones, or because who checks them failed."""
    route = target.route
    told, cure = fault.text, remedy(fault.code, route)
    if fault.code in _REFUSALS and evidence.asked:
        meaning = "these are refused" if evidence.user else "it wants some"
        told = f"{told}, with {_who(evidence, route)}: {meaning}"
        if evidence.user and route.credentials == "docker":
            cure += "; a token or password that has expired is renewed where it was made"
    return failed(ID, target, replace(fault, text=told), expected, cure)


def _without_right(
    evidence: LoginAttempt, refused: list[tuple[Right, ObservedFault]], how: str, target: Target, expected: str
) -> Finding:
    route = target.route
    names = ", ".join(right.repository for right, _ in refused)
    if evidence.user is None:
        fault = ObservedFault(code=ErrorCode.UNAUTHORIZED, text=f"{how}the registry wants a login to pull {names}")
        cure = remedy(fault.code, route)
    else:
        granted = {scope for right, _ in refused for scope in right.granted or ()}
        shown = f" (the token grants {', '.join(sorted(granted)) or 'nothing'})" if _told(refused) else ""
        fault = ObservedFault(
            code=ErrorCode.FORBIDDEN, text=f"{how}known, but without the right to pull {names}{shown}"
        )
        host = login_host(route)
        cure = (
            f"grant {evidence.user} the right to pull {names} at {host} (or mend the name, which some registries hide so), "
            f"or log in as one who has it: `docker logout {host} && docker login {host}`"
        )
    if len(refused) < len(evidence.rights):
        return warned(ID, target, fault, expected, cure)
    return failed(ID, target, fault, expected, cure)


def _told(refused: list[tuple[Right, ObservedFault]]) -> bool:
    return any(right.granted is not None for right, _ in refused)


def _who(evidence: LoginAttempt, route: Route) -> str:
    if evidence.user is not None:
        return f"{evidence.user} of '{route.credentials}'"
    if route.credentials == "docker":
        return f"no credentials (Docker's config.json has none for {route.host})"
    return "no credentials"


def _how(evidence: LoginAttempt, route: Route) -> str:
    if not evidence.asked:
        # A repository may be asked for apart, and then the credentials were tried there.
        untried = f"; {_who(evidence, route)} was not tried" if evidence.user and not _granted(evidence) else ""
        return f"no authentication is asked for at /v2/{untried}"
    by = f" by {evidence.realm}" if evidence.realm else ""
    return f"{evidence.asked[0].capitalize()}{by}, with {_who(evidence, route)}"


def _granted(evidence: LoginAttempt) -> str:
    scopes = [scope for right in evidence.rights for scope in right.granted or ()]
    if not scopes:
        return ""
    shown = ", ".join(dict.fromkeys(scopes[:3])) + (" …" if len(scopes) > 3 else "")
    return f", granted {clean(shown, 300)}"


def _danger(evidence: LoginAttempt, route: Route) -> tuple[str, str] | None:
    """Where a password goes that has been sent: in clear over a network, or to a host that has nothing to do with this."""
    if evidence.user is None:
        return None
    asked = evidence.realm or route.url
    host = urlsplit(asked).hostname or ""
    if urlsplit(asked).scheme == "http" and not _is_here(host):
        cure = f"serve {host} over TLS, and write https:// in the URL; until then, change the password that was sent"
        return f"the password goes to {host} in clear", cure
    if evidence.realm and not _belongs(host, urlsplit(route.url).hostname or ""):
        cure = f"see that {host} is the token service of {route.host}: `{curl(route)} -sI {route.url}/v2/ | grep -i authenticate`"
        return f"the password goes to {host}, which shares no domain with the registry", cure
    return None


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _belongs(host: str, registry: str) -> bool:
    """Whether two names end alike in their last two parts, as auth.docker.io and registry-1.docker.io do."""
    if host == registry or (_is_here(host) and _is_here(registry)):
        return True
    ends = [name.split(".")[-2:] for name in (host, registry)]
    return ends[0] == ends[1] and len(ends[0]) == 2 and not ends[0][-1].isdecimal()


CHECK = Check(
    id=ID,
    room=Room.ACCESS,
    looks_at="`GET /v2/` with the credentials that the spec names, by the registry's own challenge, and whether they may pull the "
    f"spec's first {MAX_REPOSITORIES} repositories. Says who gives the tokens, and what a token grants.",
    statuses={
        Status.PASS: "they are accepted and may pull, or none are asked for",
        Status.WARN: "one repository may not be pulled and another may; or the password goes over plain `http://`, or to a token "
        "service that shares no domain with the registry",
        Status.FAIL: "there are none and some are wanted, or they are wrong, or known without the right to pull, or they could not "
        "be read",
    },
    advice="Log in again (`docker logout HOST && docker login HOST`), set what `credentials` names, or grant the right to pull.",
    targets=every_route,
    probe=probe,
    judge=judge,
    needs=frozenset({"api", "credentials"}),
)
