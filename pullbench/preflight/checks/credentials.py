"""`credentials`: the user that the spec's source has for this registry, and the source; never the secret."""

from dataclasses import dataclass

from pullbench.errors import ErrorCode, UsageError
from pullbench.model.addresses import DOCKER_HUB_HOSTS, login_host
from pullbench.model.finding import Finding, Status
from pullbench.model.route import Route
from pullbench.model.text import clean
from pullbench.preflight.check import (
    Check,
    FindingKind,
    ObservedFault,
    Room,
    Target,
    every_route,
    failed,
    passed,
    warned,
)
from pullbench.preflight.context import CheckContext
from pullbench.registry.docker_config import HUB_ENTRY, Origin
from pullbench.registry.keychain import shown_user

ID = "credentials"
NO_LOGIN_IN_ENTRY = "credentials-no-login-in-entry"
HELPER_HAS_NONE = "credentials-helper-has-none"
OTHER_NAME = "credentials-other-name"


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialLookup:
    """The source of a route's credentials, and their user."""

    origin: Origin
    user: str | None = None
    """The user name for display; None if the source has no entry for this registry."""
    fault: ObservedFault | None = None


def probe(context: CheckContext, target: Target) -> CredentialLookup:
    """Look the credentials up as a run does; send nothing to the registry."""
    route = target.route
    origin = context.keychain.origin(route.credentials, route.host)
    try:
        found = context.keychain.credentials(route.credentials, route.host)
    except UsageError as error:
        return CredentialLookup(origin=origin, fault=ObservedFault.of(error))
    if found is not None and not route.may_send(route.url):
        text = "the URL is plain http, so others could read the credentials: pullbench does not send them"
        return CredentialLookup(origin=origin, fault=ObservedFault(code=ErrorCode.PLAIN_HTTP, text=text))
    return CredentialLookup(origin=origin, user=clean(shown_user(found.username), 120) if found else None)


def judge(evidence: CredentialLookup, target: Target) -> list[Finding]:
    """A broken source fails. A source without an entry passes, unless it has one for the same host with another port."""
    route, origin = target.route, evidence.origin
    expected = f"the source '{route.credentials}' can be read for {route.host}"
    if evidence.fault is not None:
        return [failed(ID, target, evidence.fault, expected, _cure(evidence.fault, origin, route))]
    if evidence.user is not None:
        return [passed(ID, target, f"{evidence.user}, {_where(origin, route)}", expected)]
    if origin.source == "anonymous":
        return [passed(ID, target, "the spec uses no credentials (anonymous)", expected)]
    observed = f"{_nothing_in(origin, route)}: pulls are anonymous"
    if origin.entry is not None and not origin.helper:
        return [
            warned(
                ID,
                target,
                observed,
                expected,
                f"run `docker login {login_host(route)}`; or set `credentials: anonymous`",
                kind=NO_LOGIN_IN_ENTRY,
            )
        ]
    if origin.entry_has_login:
        observed = (
            f"{origin.helper} has no login for {route.host}, so docker is anonymous and does not read the one in "
            f"{origin.config_path}; podman and skopeo use that"
        )
        cure = (
            f"run `docker login {login_host(route)}`, which stores it in the helper; or remove the helper from {origin.config_path} "
            "(credsStore, credHelpers); or set `credentials: anonymous`"
        )
        return [warned(ID, target, observed, expected, cure, kind=HELPER_HAS_NONE)]
    if origin.near:
        observed += f", but it has one for {', '.join(clean(key, 80) for key in origin.near)}"
        if route.host in DOCKER_HUB_HOSTS:
            cure = f"run `docker login`: docker reads only the entry that it writes, {HUB_ENTRY}; or set `credentials: anonymous`"
            return [warned(ID, target, observed, expected, cure, kind=OTHER_NAME)]
        cure = f"run `docker login {login_host(route)}`, with the port from the URL; or set `credentials: anonymous`"
        return [warned(ID, target, observed, expected, cure, kind=OTHER_NAME)]
    return [passed(ID, target, observed, expected)]


def _where(origin: Origin, route: Route) -> str:
    if origin.helper and origin.entry and origin.helper_path is None:
        return f"from {origin.config_path} ({origin.helper} is not installed)"
    if origin.helper and origin.entry:
        return f"from {origin.helper}, else from {origin.config_path}"
    if origin.helper:
        return f"from {origin.helper}, set in {origin.config_path}"
    if origin.config_path:
        named = origin.entry if origin.entry not in (None, route.host) else ""
        return f"from {origin.config_path}" + (f", entry {clean(named, 80)}" if named else "")
    if origin.variables:
        return f"from {' and '.join(origin.variables)}"
    kind, _, name = origin.source.partition(":")
    return f"from the Prefect Secret '{name}'" if kind == "block" else f"from '{origin.source}'"


def _nothing_in(origin: Origin, route: Route) -> str:
    if origin.config_path is None:
        return "there is no home directory, so no config.json"
    if not origin.config_exists:
        return f"{origin.config_path} does not exist"
    helper = f", nor does {origin.helper}" if origin.helper else ""
    if origin.entry is not None:
        return f"the entry {clean(origin.entry, 80)} in {origin.config_path} has no login{helper}"
    return f"{origin.config_path} has no entry for {route.host}{helper}"


def _cure(fault: ObservedFault, origin: Origin, route: Route) -> str:
    host = login_host(route)
    if fault.code is ErrorCode.PLAIN_HTTP:
        return (
            f"serve {host} over TLS and write https:// in its url; or set `credentials: anonymous`; or allow it: "
            "`plain_http_credentials: send`"
        )
    if origin.helper and origin.helper_path is None:
        return (
            f"install {origin.helper} in PATH (`command -v {origin.helper}`); or remove it from "
            f"{origin.config_path} (credsStore, credHelpers) and run `docker login {host}`"
        )
    if origin.helper:
        return (
            f"run the helper: `{origin.helper} list` (unlock its store or start its agent if needed), "
            f"then `docker logout {host} && docker login {host}`"
        )
    if origin.source == "docker":
        return f"fix {origin.config_path} (`python3 -m json.tool {origin.config_path} >/dev/null`), or run `docker login {host}`"
    kind, _, name = origin.source.partition(":")
    if kind == "env":
        return f"set them where pullbench runs: `export {name}_USERNAME=… {name}_PASSWORD=…` (or {name}_TOKEN); in CI, as secrets"
    return f"check `prefect block inspect secret/{name}`: its value must be " + '{"username": …, "password": …}'


CHECK = Check(
    id=ID,
    room=Room.ACCESS,
    looks_at="Looks up the host's `credentials` as a run does: in Docker's config.json and its helpers, in variables, or in a "
    "Prefect Secret. Reports the user and the source, never the secret.",
    statuses={
        Status.PASS: "the source can be read, and it has credentials for this host or none",
        Status.WARN: "it has none for this host, but has some for the same name with another port, or for a name of Docker Hub that "
        "docker does not read; or its entry for this host has no login; or the entry has one, and docker's helper, which comes first, has none",
        Status.FAIL: "it cannot be read, a helper fails or is missing, or a variable is not set; or the credentials would go over "
        "plain `http://` to another machine, and the spec does not allow that",
    },
    advice="Run `docker login HOST`, install or unlock the helper (`docker-credential-NAME list`), or fix the source in "
    "`credentials`.",
    kinds={
        NO_LOGIN_IN_ENTRY: FindingKind(
            cause="config.json has an entry for this host without a user and password, such as after `docker logout` or a failed helper.",
            remedy="Run `docker login HOST`, or set `credentials: anonymous` in the spec.",
        ),
        HELPER_HAS_NONE: FindingKind(
            cause="config.json names a helper, and has a login for this host that the helper lacks. docker then pulls without a login, and so does pullbench; podman and skopeo use the login.",
            remedy="Run `docker login HOST`, which stores the login in the helper, or remove the helper from config.json (`credsStore`, `credHelpers`).",
        ),
        OTHER_NAME: FindingKind(
            cause="Somebody logged in to the same registry with another port, or under a name of Docker Hub that docker does not read.",
            remedy="Run `docker login HOST:PORT` with the host and port of the spec's URL (for Docker Hub: `docker login`).",
        ),
    },
    targets=every_route,
    probe=probe,
    judge=judge,
    timeout_s=30.0,
)
