"""`credentials`: what the spec's source holds for this registry, and where it comes from; never the secret itself."""

from dataclasses import dataclass

from pullbench.errors import ErrorCode, UsageError
from pullbench.model.addresses import login_host
from pullbench.model.finding import Finding, Status
from pullbench.model.route import Route
from pullbench.model.text import clean
from pullbench.preflight.check import Check, ObservedFault, Room, Target, every_route, failed, passed, warned
from pullbench.preflight.context import CheckContext
from pullbench.registry.keychain import Origin, shown_user

ID = "credentials"


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialLookup:
    """Where a route's credentials are kept, and as whom they log in."""

    origin: Origin
    user: str | None = None
    """For people; None where the source holds nothing for this registry."""
    fault: ObservedFault | None = None


def probe(context: CheckContext, target: Target) -> CredentialLookup:
    """Look them up as the run would; nothing is sent to the registry."""
    route = target.route
    origin = context.keychain.origin(route.credentials, route.host)
    try:
        found = context.keychain.credentials(route.credentials, route.host)
    except UsageError as error:
        return CredentialLookup(origin=origin, fault=ObservedFault.of(error))
    if found is not None and not route.may_send(route.url):
        told = "over plain http anybody on the way would read them, so they are not sent"
        return CredentialLookup(origin=origin, fault=ObservedFault(code=ErrorCode.PLAIN_HTTP, text=told))
    return CredentialLookup(origin=origin, user=clean(shown_user(found.username), 120) if found else None)


def judge(evidence: CredentialLookup, target: Target) -> list[Finding]:
    """A source that fails or lacks a part fails; one that has no entry is fine, unless one for nearly this host is there."""
    route, origin = target.route, evidence.origin
    expected = f"'{route.credentials}' gives what it holds for {route.host}"
    if evidence.fault is not None:
        return [failed(ID, target, evidence.fault, expected, _cure(evidence.fault, origin, route))]
    if evidence.user is not None:
        return [passed(ID, target, f"{evidence.user}, {_where(origin)}", expected)]
    if origin.source == "anonymous":
        return [passed(ID, target, "none are used, as the spec says", expected)]
    observed = f"{_nothing_in(origin, route)}: pulls are anonymous"
    if origin.near:
        observed += f", though there is one for {', '.join(clean(key, 80) for key in origin.near)}"
        cure = f"`docker login {login_host(route)}`, with the port as it stands in the URL; or `credentials: anonymous`"
        return [warned(ID, target, observed, expected, cure)]
    return [passed(ID, target, observed, expected)]


def _where(origin: Origin) -> str:
    if origin.helper and origin.entry:
        return f"from {origin.helper}, else from {origin.config_path}"
    if origin.helper:
        return f"from {origin.helper}, which {origin.config_path} names"
    if origin.config_path:
        return f"from {origin.config_path}"
    if origin.variables:
        return f"from {' and '.join(origin.variables)}"
    kind, _, name = origin.source.partition(":")
    return f"from the Prefect Secret '{name}'" if kind == "block" else f"from '{origin.source}'"


def _nothing_in(origin: Origin, route: Route) -> str:
    if origin.config_path is None:
        return "no home folder is known, so no config.json"
    if not origin.config_exists:
        return f"there is no {origin.config_path}"
    asked = f", nor has {origin.helper}" if origin.helper else ""
    return f"{origin.config_path} has no entry for {route.host}{asked}"


def _cure(fault: ObservedFault, origin: Origin, route: Route) -> str:
    host = login_host(route)
    if fault.code is ErrorCode.PLAIN_HTTP:
        return (
            f"serve {host} over TLS and write https:// in its url; or `credentials: anonymous`; or allow it with "
            "`plain_http_credentials: send`"
        )
    if origin.helper and origin.helper_path is None:
        return (
            f"install {origin.helper} where PATH finds it (`command -v {origin.helper}`), or take it out of "
            f"{origin.config_path} (credsStore, credHelpers) and `docker login {host}`"
        )
    if origin.helper:
        return (
            f"see what the helper says: `{origin.helper} list` (unlock its store, start its agent), "
            f"then `docker logout {host} && docker login {host}`"
        )
    if origin.source == "docker":
        return f"mend {origin.config_path} (`python3 -m json.tool {origin.config_path} >/dev/null`), or `docker login {host}`"
    kind, _, name = origin.source.partition(":")
    if kind == "env":
        return (
            f"`export {name}_USERNAME=… {name}_PASSWORD=…` (or {name}_TOKEN) where pullbench runs: a CI job's secrets"
        )
    return f"see `prefect block inspect secret/{name}`: a Secret of " + '{"username": …, "password": …}'


CHECK = Check(
    id=ID,
    room=Room.ACCESS,
    looks_at="Looks up what `credentials` names for the host, as the run does: Docker's config.json and its helpers, variables, a "
    "Prefect Secret. Tells the user and the place, never the secret.",
    statuses={
        Status.PASS: "the source answers: with credentials, or that it has none for this host",
        Status.WARN: "it has none for this host, but some for the same name with another port",
        Status.FAIL: "it cannot be read, a helper fails or is missing, or a variable is not set; or they would go over plain "
        "`http://` to another machine, and the spec does not allow that",
    },
    advice="`docker login HOST`, install or unlock the helper (`docker-credential-NAME list`), or set what `credentials` names.",
    targets=every_route,
    probe=probe,
    judge=judge,
    timeout_s=30.0,
)
