"""`auth`: the registry accepts the spec's credentials, and they may pull the spec's images."""

import ipaddress
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from pullbench.errors import ErrorCode, RegistryError, Responder, UsageError
from pullbench.model.addresses import login_host, official_name
from pullbench.model.finding import Finding, Status
from pullbench.model.reference import Reference
from pullbench.model.remedy import curl
from pullbench.model.route import Route
from pullbench.model.text import clean
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
from pullbench.registry.auth import redact_url
from pullbench.registry.keychain import shown_user

ID = "auth"
NO_CHALLENGE = "auth-no-challenge"
CLEAR_TEXT = "auth-clear-text"
FOREIGN_REALM = "auth-foreign-realm"
MAX_REPOSITORIES = 5
"""The number of repositories that this check tries; the `image` check requests every image."""
_REFUSALS = (ErrorCode.UNAUTHORIZED, ErrorCode.FORBIDDEN)
_UNASKED = (
    "but the repositories require {}: docker (without containerd's image store), podman and "
    "skopeo log in only if /v2/ requires it, so their pulls fail"
)
_ASK = (
    "make /v2/ require the same login as the repositories (in the proxy in front: one rule for all of /v2/); "
    "until then only containerd and pullbench's wire engine can pull"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    """The pull permission for one of the spec's repositories."""

    repository: str
    granted: tuple[str, ...] | None = None
    """The scopes that the token lists; None if it lists none, or there is no token."""
    scheme: str | None = None
    """The scheme of the login that the registry required for it; None if it required none."""
    fault: ObservedFault | None = None
    """A refusal only; other checks report missing images and broken routes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginAttempt:
    """The registry's challenge, the user that answered it, and the result."""

    user: str | None = None
    """The user name for display; None without credentials."""
    asked: tuple[str, ...] = ()
    """The schemes of the challenge; empty if the registry requires no login."""
    realm: str = ""
    """The URL of the token service, redacted; empty for Basic."""
    fault: ObservedFault | None = None
    """The fault of the login itself."""
    is_accepted: bool = True
    """Whether the registry or its token service accepted the user at least once."""
    rights: tuple[Right, ...] = ()


def probe(context: CheckContext, target: Target) -> LoginAttempt:
    """Get the challenge, log in, and try the spec's first repositories. The `image` check reuses the answers."""
    route, client = target.route, context.client(target.route)
    try:
        found = context.keychain.login(route)
    except UsageError as error:
        return LoginAttempt(fault=ObservedFault.of(error))
    user = clean(shown_user(found.username), 120) if found else None
    schemes: tuple[str, ...] = ()
    realm = ""
    fault: ObservedFault | None = None
    try:
        challenges = client.ping(authenticate=False).challenges
        schemes = tuple(dict.fromkeys(challenge.scheme for challenge in challenges))
        realm = next((redact_url(challenge.realm) for challenge in challenges if challenge.scheme == "bearer"), "")
        if schemes:
            client.ping()
    except RegistryError as error:
        fault = ObservedFault.of(error)
    logins = context.keychain.logins
    may_be_right = "bearer" in schemes or (found is not None and logins.refusal(route.url, found) is None)
    may_still_pull = fault is None or (fault.code in _REFUSALS and may_be_right)
    rights = _rights(context, route) if may_still_pull else ()
    is_accepted = logins.accepts(route.url, found)
    return LoginAttempt(
        user=user, asked=schemes, realm=clean(realm, 200), fault=fault, rights=rights, is_accepted=is_accepted
    )


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
    client = context.client(route)
    return Right(
        repository=repository, granted=client.granted(repository), scheme=client.scheme(repository), fault=fault
    )


def judge(evidence: LoginAttempt, target: Target) -> list[Finding]:
    """Distinguish missing credentials, wrong ones, and a missing pull permission; warn if only some repositories lack it."""
    route = target.route
    expected = _expected(route)
    refused = [(right, right.fault) for right in evidence.rights if right.fault is not None]
    if evidence.fault is not None and not (evidence.rights and len(refused) < len(evidence.rights)):
        return [_login_failed(evidence, evidence.fault, target, expected)]
    if refused and all(fault.remedy for _, fault in refused):
        return [_login_failed(evidence, refused[0][1], target, expected)]
    how = _how(evidence, route)
    if refused:
        return [_without_permission(evidence, refused, f"{how}: ", target, expected)]
    if evidence.fault is not None:
        how += "; /v2/ itself is refused, but the repositories are not"
    unasked = {right.scheme for right in evidence.rights if right.scheme} if not evidence.asked else set()
    if unasked:
        return [
            warned(
                ID,
                target,
                f"{how}{_granted(evidence)}, {_UNASKED.format(max(unasked).capitalize())}",
                expected,
                _ASK,
                kind=NO_CHALLENGE,
            )
        ]
    danger = _danger(evidence, route)
    if danger is not None:
        text, cure, kind = danger
        return [warned(ID, target, f"{how}{_granted(evidence)}; {text}", expected, cure, kind=kind)]
    return [passed(ID, target, how + _granted(evidence), expected)]


def _expected(route: Route) -> str:
    if route.credentials == "anonymous":
        return "anonymous clients may pull the spec's repositories"
    return f"the registry accepts the credentials '{route.credentials}', and they may pull the spec's repositories"


def _login_failed(evidence: LoginAttempt, fault: ObservedFault, target: Target, expected: str) -> Finding:
    """The login failed: no credentials, wrong credentials, or a failed token service."""
    route = target.route
    if fault.remedy is not None:
        return failed(ID, target, fault, expected, fault.remedy)
    if fault.code is ErrorCode.FORBIDDEN and fault.is_of_login and evidence.user and not evidence.is_accepted:
        fault = replace(fault, code=ErrorCode.UNAUTHORIZED)  # /v2/ is no repository that the user may not see
    text, cure = fault.text, _cure(evidence, fault, target)
    if fault.code in _REFUSALS and evidence.asked and fault.is_of_login:
        meaning = "the registry refuses this login" if evidence.user else "the registry requires a login"
        text = f"{text}, with {_who(evidence, route)}: {meaning}"
        cure += _renewal(evidence, route)
    return failed(ID, target, replace(fault, text=text), expected, cure)


def _renewal(evidence: LoginAttempt, route: Route) -> str:
    is_stored = evidence.user and route.credentials == "docker"
    return "; if the token or password has expired, create a new one first" if is_stored else ""


def _cure(evidence: LoginAttempt, fault: ObservedFault, target: Target) -> str:
    """The remedy of a fault; who has no login cannot log in again."""
    route = target.route
    if fault.code is ErrorCode.UNAUTHORIZED and evidence.user is None and route.credentials == "docker":
        host = login_host(route)
        return f"log in (`docker login {host}`), or set `credentials` for this registry in the spec"
    if fault.code is ErrorCode.FORBIDDEN and not fault.is_of_login and fault.answered_by is Responder.REGISTRY:
        return "a policy of the registry refuses the pull: change the image, or the policy that the error names"
    return cure_of(fault, target)


def _without_permission(
    evidence: LoginAttempt, refused: list[tuple[Right, ObservedFault]], how: str, target: Target, expected: str
) -> Finding:
    route = target.route
    names = ", ".join(right.repository for right, _ in refused)
    other = next((fault for _, fault in refused if not fault.is_of_login), None)
    if other is not None:
        fault, cure = (
            replace(other, text=f"{how}{names} may not be pulled: {other.text}"),
            _cure(evidence, other, target),
        )
    elif evidence.user is None:
        fault = ObservedFault(
            code=ErrorCode.UNAUTHORIZED,
            text=f"{how}the registry requires a login to pull {names}, or has none of that name ({refused[0][1].text})",
        )
        cure = f"{_official(route, refused)}{_cure(evidence, fault, target)}; also check the name"
    elif not evidence.is_accepted:
        fault, cure = _never_accepted(evidence, refused, how, names, target)
    else:
        granted = {scope for right, _ in refused for scope in right.granted or ()}
        shown = f" (the token grants {', '.join(sorted(granted)) or 'nothing'})" if _lists_scopes(refused) else ""
        fault = ObservedFault(
            code=ErrorCode.FORBIDDEN,
            text=f"{how}the login is valid, but lacks permission to pull {names}{shown} ({refused[0][1].text})",
        )
        host = login_host(route)
        cure = _official(route, refused) + (
            f"give {evidence.user} permission to pull {names} at {host}, or log in as another user: "
            f"`docker logout {host} && docker login {host}`; also check the name: some registries answer so for a wrong one"
        )
    if len(refused) < len(evidence.rights):
        return warned(ID, target, fault, expected, cure)
    return failed(ID, target, fault, expected, cure)


def _never_accepted(
    evidence: LoginAttempt, refused: list[tuple[Right, ObservedFault]], how: str, names: str, target: Target
) -> tuple[ObservedFault, str]:
    """Fault and remedy where only repositories require the login and none accepted it; 403 may be a missing permission, too."""
    first = next((fault for _, fault in refused if fault.code is ErrorCode.UNAUTHORIZED), None)
    fault = replace(first or refused[0][1], code=ErrorCode.UNAUTHORIZED)
    meaning = "the user or the password is wrong" + ("" if first else f", or {evidence.user} may not pull {names}")
    text = f"{how}{names} refused {_who(evidence, target.route)}: {meaning} ({fault.text})"
    cure = _official(target.route, refused) + _cure(evidence, fault, target) + _renewal(evidence, target.route)
    if first is None:
        cure += f"; if both are right, give {evidence.user} permission to pull {names}"
    return replace(fault, text=text), cure


def _official(route: Route, refused: list[tuple[Right, ObservedFault]]) -> str:
    """The beginning of the remedy for names that Docker Hub has only under `library/`."""
    names = [name for right, _ in refused if (name := official_name(route, right.repository)) is not None]
    return f"Docker Hub's official images are under library/: write {', '.join(names)}; else " if names else ""


def _lists_scopes(refused: list[tuple[Right, ObservedFault]]) -> bool:
    return any(right.granted is not None for right, _ in refused)


def _who(evidence: LoginAttempt, route: Route) -> str:
    if evidence.user is not None:
        return f"{evidence.user} (credentials '{route.credentials}')"
    if route.credentials == "docker":
        return f"no credentials (Docker's config.json has none for {route.host})"
    return "no credentials"


def _how(evidence: LoginAttempt, route: Route) -> str:
    if not evidence.asked:
        # A repository may require a login of its own; then the credentials were tried there.
        was_tried = any(right.scheme for right in evidence.rights)
        untried = f"; {_who(evidence, route)} was not tried" if evidence.user and not was_tried else ""
        return f"/v2/ requires no login{untried}"
    by = f" from {evidence.realm}" if evidence.realm else ""
    return f"{evidence.asked[0].capitalize()}{by}, with {_who(evidence, route)}"


def _granted(evidence: LoginAttempt) -> str:
    scopes = [scope for right in evidence.rights for scope in right.granted or ()]
    if not scopes:
        return ""
    shown = ", ".join(dict.fromkeys(scopes[:3])) + (" …" if len(scopes) > 3 else "")
    return f", granted {clean(shown, 300)}"


def _danger(evidence: LoginAttempt, route: Route) -> tuple[str, str, str] | None:
    """The risk, its remedy and kind if the password was sent in clear text, or to a host of another domain; else None."""
    if evidence.user is None:
        return None
    login_url = evidence.realm or route.url
    host = urlsplit(login_url).hostname or ""
    if urlsplit(login_url).scheme == "http" and not _is_here(host):
        cure = f"serve {host} over TLS, write https:// in the URL, and change the password"
        return f"the password was sent to {host} in clear text", cure, CLEAR_TEXT
    if evidence.realm and not _belongs(host, urlsplit(route.url).hostname or ""):
        cure = f"check that {host} is the token service of {route.host}: `{curl(route)} -sI {route.url}/v2/ | grep -i authenticate`"
        return f"the password was sent to {host}, which shares no domain with the registry", cure, FOREIGN_REALM
    return None


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _belongs(host: str, registry: str) -> bool:
    """Whether the last two parts of both names are equal, as in auth.docker.io and registry-1.docker.io."""
    if host == registry or (_is_here(host) and _is_here(registry)):
        return True
    ends = [name.split(".")[-2:] for name in (host, registry)]
    return ends[0] == ends[1] and len(ends[0]) == 2 and not ends[0][-1].isdecimal()


CHECK = Check(
    id=ID,
    room=Room.ACCESS,
    looks_at="Logs in at `GET /v2/` with the spec's credentials, as the registry's challenge requires, and tries to pull the "
    f"spec's first {MAX_REPOSITORIES} repositories. Reports the token service and the scopes of the token.",
    statuses={
        Status.PASS: "the registry accepts the credentials and allows pulls, or requires no login",
        Status.WARN: "some repositories may be pulled and others may not; or /v2/ is open and the repositories require a login, so that "
        "docker, podman and skopeo send none; or the password goes over plain `http://`, or to a token "
        "service that shares no domain with the registry",
        Status.FAIL: "credentials are required and there are none, or they are wrong, lack the pull permission, or could not be read; "
        "the token service failed; the registry refuses the token of its token service; or a proxy requires Basic before a registry "
        "with tokens",
    },
    advice="Log in again (`docker logout HOST && docker login HOST`), fix the source in `credentials`, or grant the pull permission.",
    kinds={
        NO_CHALLENGE: FindingKind(
            cause="The registry answers `/v2/` without a challenge, and requires a login for the repositories. docker, podman and skopeo then send no login.",
            remedy="Let the registry, or the proxy in front of it, answer `/v2/` with 401 and the challenge of the repositories.",
        ),
        CLEAR_TEXT: FindingKind(
            cause="The registry or its token service is plain `http://` on another machine, so the network can read the password.",
            remedy="Serve it over TLS, write `https://` in the URL, and change the password.",
        ),
        FOREIGN_REALM: FindingKind(
            cause="The registry's challenge names a token service of another domain. That is usual for some hosted registries, and also what a hostile registry would do.",
            remedy="Check that the host is the token service of this registry: `curl -sI URL/v2/ | grep -i authenticate`.",
        ),
    },
    targets=every_route,
    probe=probe,
    judge=judge,
    needs=frozenset({"api", "credentials"}),
)
