"""The access rules of a lab registry: anonymous, Basic, or Bearer with its own tokens; free of IO."""

import base64
import binascii
import hmac
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

SERVICE = "pullbench-lab"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthRules:
    """One account, which may pull, and with `may_push` push and delete. Bearer tokens live `expires_s` seconds."""

    kind: Literal["basic", "bearer"]
    username: str = field(repr=False)
    password: str = field(repr=False)
    expires_s: float = 300.0
    may_push: bool = False

    @property
    def actions(self) -> frozenset[str]:
        """The actions of a scope that the account gets."""
        return frozenset({"pull", "*", *(("push", "delete") if self.may_push else ())})


@dataclass(frozen=True, slots=True)
class Refusal:
    """The content of a 401: the WWW-Authenticate line and the OCI error. Without a line a login does not help: 403."""

    challenge: str
    code: str = "UNAUTHORIZED"
    message: str = "authentication required"


@dataclass(frozen=True, slots=True)
class _Grant:
    scopes: frozenset[tuple[str, str, str]]
    expires_at: float


class AccessControl:
    """Decides for one registry whether an Authorization value covers a scope, and which token an account gets."""

    def __init__(self, rules: AuthRules | None, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._rules = rules
        self._monotonic = monotonic
        self._grants: dict[str, _Grant] = {}
        self._lock = threading.Lock()

    def refuse(self, authorization: str, *, scope: str, host: str) -> Refusal | None:
        """None if the request is allowed; `scope` is `repository:NAME:pull,push`, `registry:catalog:*` or empty."""
        if self._rules is None:
            return None
        wanted = _each_action(scope)
        if self._rules.kind == "basic":
            if not self._is_account(authorization):
                return Refusal(f'Basic realm="{SERVICE}"')
            allowed = all(action in self._rules.actions for _, _, action in wanted)
            return None if allowed else Refusal("", "DENIED", f"the account may not use {scope}")
        challenge = f'Bearer realm="http://{host}/token",service="{SERVICE}"'
        challenge += f',scope="{scope}"' if scope else ""
        kind, _, token = authorization.partition(" ")
        if kind.lower() != "bearer":
            return Refusal(challenge)
        with self._lock:
            grant = self._grants.get(token.strip())
        if grant is None or grant.expires_at <= self._monotonic():
            return Refusal(f'{challenge},error="invalid_token"', message="the token is unknown or has expired")
        if not wanted <= grant.scopes:
            return Refusal(f'{challenge},error="insufficient_scope"', "DENIED", f"the token does not cover {scope}")
        return None

    def token(self, authorization: str, query: Mapping[str, list[str]]) -> dict[str, Any] | None:
        """The token endpoint's answer (Docker's token authentication spec); None for wrong credentials or service."""
        if self._rules is None or self._rules.kind != "bearer" or not self._is_account(authorization):
            return None
        if query.get("service", [SERVICE]) != [SERVICE]:
            return None
        scopes = frozenset(
            wanted
            for scope in " ".join(query.get("scope", [])).split()
            for wanted in _each_action(scope)
            if wanted[2] in self._rules.actions
        )
        token, now = secrets.token_urlsafe(24), self._monotonic()
        with self._lock:
            self._grants = {key: grant for key, grant in self._grants.items() if grant.expires_at > now}
            self._grants[token] = _Grant(scopes, now + self._rules.expires_s)
        return {"token": token, "access_token": token, "expires_in": int(self._rules.expires_s)}

    def forget(self) -> None:
        """Invalidate all tokens."""
        with self._lock:
            self._grants.clear()

    def _is_account(self, authorization: str) -> bool:
        kind, _, encoded = authorization.partition(" ")
        try:
            given = base64.b64decode(encoded.strip(), validate=True)
        except binascii.Error:
            return False
        assert self._rules is not None
        wanted = f"{self._rules.username}:{self._rules.password}".encode()
        return kind.lower() == "basic" and hmac.compare_digest(given, wanted)


def _each_action(scope: str) -> frozenset[tuple[str, str, str]]:
    """`repository:host:5000/name:pull,push` → kind, name, action of each: a name may contain colons."""
    kind, _, rest = scope.partition(":")
    name, _, actions = rest.rpartition(":")
    return frozenset((kind, name, action) for action in actions.split(",") if action)
