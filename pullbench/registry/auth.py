"""Authentication at a registry, free of IO: builds requests and reads answers; the client and the wire engine send them.

Sources: RFC 9110 section 11 (challenges), RFC 7617 (Basic), the distribution project's token specification
("Token Authentication Specification" and its OAuth2 part), RFC 6749 section 6 (refresh tokens).
"""

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, cast
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from pullbench.errors import ErrorCode, RegistryError, Responder
from pullbench.model.route import is_private

TOKEN_USERNAME = "<token>"  # Docker's user name for identity tokens
DEFAULT_EXPIRY_S = 60.0
"""A token's lifetime if the answer has none (token specification)."""
MAX_TOKEN_BYTES = 256 * 1024
MAX_EXPIRY_S = 86_400.0
CLIENT_ID = "pullbench"
_MOST_SCOPES = 20

_SHOWN_PARAMETERS = frozenset({"scope", "service", "n", "last", "ns", "digest", "client_id"})
_DEFAULT_PORTS = {"http": 80, "https": 443}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
# For display: also removes characters that reverse text or are invisible, as `faults.clean` does.
_UNSHOWN = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]+")

# Each pattern matches in only one way; otherwise a short hostile header could take exponential time.
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_SCHEME = re.compile(rf"[\s,]*({_TOKEN})(?=[ \t,]|$)[ \t]*")
_PARAMETER = re.compile(
    rf'[\s,]*({_TOKEN})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}(?:[/:]+{_TOKEN})*))[ \t]*(?=,|$)'
)
_JUNK = re.compile(r'[\s,]*(?:"(?:[^"\\]|\\.)*"|[^",])*(?:"(?:[^"\\]|\\.)*\\?$)?')


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """A user and a password, an identity token (an OAuth2 refresh token), or a registry token. No secret is ever shown."""

    username: str
    password: str = field(repr=False)
    identity_token: str | None = field(default=None, repr=False)
    registry_token: str | None = field(default=None, repr=False)
    """Sent to the registry as it is, instead of a token from its token service."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """One authentication scheme that a 401 offers. `error` belongs to Bearer, such as `insufficient_scope` (RFC 6750)."""

    scheme: Literal["basic", "bearer"]
    realm: str = ""
    service: str = ""
    scope: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRequest:
    """A request for a token; headers and body may contain secrets and are not shown. Its hash leaves the headers out."""

    method: Literal["GET", "POST"]
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False, hash=False)
    body: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A bearer token, never shown, and its lifetime."""

    value: str = field(repr=False)
    expires_in_s: float = DEFAULT_EXPIRY_S


def parse_challenges(header_values: Sequence[str]) -> tuple[Challenge, ...]:
    """The Basic and Bearer challenges in all WWW-Authenticate lines, in order (RFC 9110, section 11.6.1).

    Other schemes and text outside the grammar are ignored, never an error.
    """
    return tuple(challenge for value in header_values for challenge in _challenges(value))


def first_challenges(header_values: Sequence[str]) -> tuple[Challenge, ...]:
    """The first challenge of each WWW-Authenticate line: docker, containerd and skopeo read no second one in a line."""
    found = (next(_challenges(value), None) for value in header_values)
    return tuple(challenge for challenge in found if challenge is not None)


def _challenges(value: str) -> Iterator[Challenge]:
    position = 0
    while position < len(value):
        opened = _SCHEME.match(value, position)
        if opened is None:
            skipped = cast("re.Match[str]", _JUNK.match(value, position))
            position = max(skipped.end(), position + 1)
            continue
        scheme, position = opened[1].lower(), opened.end()
        parameters: dict[str, str] = {}
        while (found := _PARAMETER.match(value, position)) is not None:
            text = re.sub(r"\\(.)", r"\1", found[2]) if found[2] is not None else found[3]
            parameters.setdefault(found[1].lower(), _CONTROL.sub("", text))
            position = found.end()
        if scheme in ("basic", "bearer"):
            known = {name: parameters.get(name, "") for name in ("realm", "service", "scope", "error")}
            yield Challenge(scheme=cast("Literal['basic', 'bearer']", scheme), **known)


def basic_header(credentials: Credentials) -> str:
    """The Authorization value of RFC 7617; an identity token replaces a missing password."""
    secret = credentials.password or credentials.identity_token or ""
    return "Basic " + base64.b64encode(f"{credentials.username}:{secret}".encode()).decode("ascii")


def chosen(challenges: Sequence[Challenge], credentials: Credentials | None) -> Challenge | None:
    """The challenge to answer, as docker does: Basic before Bearer with a password, only Bearer without; None if there is none."""
    basic = next((one for one in challenges if one.scheme == "basic"), None)
    bearer = next((one for one in challenges if one.scheme == "bearer"), None)
    has_password = credentials is not None and bool(credentials.password)
    return basic if bearer is None or (basic is not None and has_password) else bearer


def token_request(
    challenge: Challenge,
    *,
    endpoint_url: str,
    repository: str | None,
    credentials: Credentials | None,
    actions: str = "pull",
    may_send: Callable[[str], bool] = is_private,
) -> TokenRequest:
    """The request that answers a Bearer challenge: GET with Basic or anonymous, POST with an identity token.

    The scopes are the challenge's, and `actions` on `repository` if the challenge names no repository. Without a repository, such
    as for /v2/, the scopes of repositories in the challenge are left out: registries put placeholders there. If the challenge names
    only pull, all `actions` are requested, so that a push needs no second token. Raises RegistryError for an unsafe realm: missing, relative, not
    HTTP, with user information, plain http for an https registry, or one that must not receive credentials (`may_send`).
    """
    realm = _safe_realm(challenge, endpoint_url)
    if credentials is not None and not may_send(realm):
        raise RegistryError(
            ErrorCode.PLAIN_HTTP,
            f"GET {redact_url(endpoint_url)}",
            f"its token realm {redact_url(realm)} would receive the credentials over plain http: nothing was sent; "
            "`plain_http_credentials: send` allows it",
        )
    scope = _scope_of(challenge, repository, actions)
    named = {"service": challenge.service} if challenge.service else {}
    if credentials is not None and credentials.identity_token:
        form = {
            "grant_type": "refresh_token",
            **named,
            "client_id": CLIENT_ID,
            **({"scope": scope} if scope else {}),
            "refresh_token": credentials.identity_token,
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return TokenRequest(method="POST", url=realm, headers=headers, body=urlencode(form).encode())
    parts = urlsplit(realm)
    query = [*parse_qsl(parts.query, keep_blank_values=True), *named.items()]
    query += [("scope", one) for one in scope.split()]
    url = urlunsplit(parts._replace(query=urlencode(query, quote_via=quote, safe=":/,*")))
    return TokenRequest(
        method="GET", url=url, headers={"Authorization": basic_header(credentials)} if credentials else {}
    )


def _scope_of(challenge: Challenge, repository: str | None, actions: str) -> str:
    """Some registries name no repository in a challenge (`read`, `aws`): docker asks for the repository all the same."""
    scopes = challenge.scope.split()
    if repository is None:
        return " ".join(scope for scope in scopes if not scope.startswith("repository:"))
    if not any(scope.startswith("repository:") for scope in scopes):
        scopes.append(f"repository:{repository}:{actions}")
    if actions != "pull" and not any("push" in scope.rpartition(":")[2] for scope in scopes):
        return re.sub(r"(repository:\S+):pull(?!\S)", rf"\1:{actions}", " ".join(scopes), count=1)
    return " ".join(scopes)


def _safe_realm(challenge: Challenge, endpoint_url: str) -> str:
    realm, where = challenge.realm, f"GET {redact_url(endpoint_url)}"
    shown = redact_url(realm) if realm else "(none)"
    try:
        parts = urlsplit(realm)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable or not realm.isascii() or " " in realm:
        raise RegistryError(ErrorCode.NOT_A_REGISTRY, where, f"the challenge's realm is not a valid URL: {shown}")
    if "@" in parts.netloc:
        raise RegistryError(
            ErrorCode.NOT_A_REGISTRY, where, f"the challenge's realm contains user information: {shown}"
        )
    if parts.scheme == "http" and urlsplit(endpoint_url).scheme != "http":
        raise RegistryError(
            ErrorCode.PLAIN_HTTP,
            where,
            f"the registry uses https, but its token realm is {shown}: nothing was sent",
            status=401,
            answered_by=Responder.REGISTRY,
        )
    return urlunsplit(parts._replace(fragment=""))


def read_token(body: bytes, *, where: str = "token") -> Token:
    """The token in a token service's answer: `token`, else `access_token`; 60 s without an expiry.

    Raises RegistryError: not_a_registry for any other answer, too_large beyond MAX_TOKEN_BYTES.
    """
    if len(body) > MAX_TOKEN_BYTES:
        raise RegistryError(ErrorCode.TOO_LARGE, where, f"the token's answer is larger than {MAX_TOKEN_BYTES} bytes")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise RegistryError(ErrorCode.NOT_A_REGISTRY, where, "the token's answer is not JSON") from None
    if not isinstance(document, dict):
        raise RegistryError(ErrorCode.NOT_A_REGISTRY, where, "the token's answer is not a JSON object")
    value = document.get("token") or document.get("access_token")
    # Only visible ASCII: other characters could start a second header line.
    if not isinstance(value, str) or not re.fullmatch(r"[\x21-\x7e]+", value):
        raise RegistryError(ErrorCode.NOT_A_REGISTRY, where, "the token's answer contains no token")
    expiry = document.get("expires_in")
    if isinstance(expiry, bool) or not isinstance(expiry, int | float) or not expiry > 0:
        expiry = DEFAULT_EXPIRY_S
    return Token(value=value, expires_in_s=float(min(expiry, MAX_EXPIRY_S)))


def token_access(token: str) -> tuple[str, ...] | None:
    """The scopes that a token grants, such as `repository:team/app:pull`, in the token's order.

    None if the token is not a JWT with the claim `access` (the token specification's "Token Authentication
    Implementation"). The signature is not verified: the result is for display, not for decisions.
    """
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):
        return None
    entries = claims.get("access") if isinstance(claims, dict) else None
    if not isinstance(entries, list):
        return None
    return tuple(_scope(entry) for entry in entries[:_MOST_SCOPES] if isinstance(entry, dict))


def _scope(entry: Mapping[str, object]) -> str:
    given = entry.get("actions")
    actions = ",".join(str(action)[:20] for action in given[:10]) if isinstance(given, list) else ""
    kind, name = (_UNSHOWN.sub("", str(entry.get(key, "")))[:255] for key in ("type", "name"))
    return f"{kind}:{name}:{_UNSHOWN.sub('', actions)}"


def redact_url(url: str) -> str:
    """The URL for display: no user information, no fragment, and only the values of known harmless parameters.

    Storage services sign redirects in the query, so unknown parameters count as secrets.
    """
    try:
        parts = urlsplit(_UNSHOWN.sub("", url))
        query = [
            (name, value if name in _SHOWN_PARAMETERS else "REDACTED")
            for name, value in parse_qsl(parts.query, keep_blank_values=True)
        ]
        netloc = parts.netloc.rpartition("@")[2]
    except ValueError:
        return "(unreadable URL)"
    return urlunsplit((parts.scheme, netloc, parts.path, urlencode(query, quote_via=quote, safe=":/,*"), ""))


def same_origin(a: str, b: str) -> bool:
    """Whether two URLs have the same scheme, host and port (RFC 6454, section 5); False for invalid URLs."""
    try:
        origin = _origin(a)
        return origin is not None and origin == _origin(b)
    except ValueError:
        return False


def _origin(url: str) -> tuple[str, str, int] | None:
    parts = urlsplit(url)
    scheme, host = parts.scheme.lower(), parts.hostname
    if scheme not in _DEFAULT_PORTS or not host:
        return None
    return scheme, host.rstrip("."), parts.port or _DEFAULT_PORTS[scheme]
