"""Who the wire engine is at one registry: Authorization values by repository, kept, shared by threads, renewed in time.

The exchanges themselves are made by the session, so that each has its row; this is what is remembered of them.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pullbench.engines.base import Clock
from pullbench.engines.wire.body import TokenBody
from pullbench.engines.wire.record import Attempt, Trail, clean
from pullbench.errors import ErrorCode, RegistryError
from pullbench.model.record import TransferKind
from pullbench.model.route import Route
from pullbench.registry.auth import (
    Challenge,
    Credentials,
    Token,
    TokenRequest,
    basic_header,
    parse_challenges,
    redact_url,
    token_request,
)
from pullbench.registry.redaction import redacted

_MAX_DETAIL_CHARS = 300
_RENEW_EARLY = 0.1  # the share of a token's life that is not waited for

Ask = Callable[[TokenRequest, TokenBody], Token]
"""Makes one token exchange; raises RegistryError."""


@dataclass(slots=True)
class _Access:
    """What opens one repository: the Authorization value, how to get the next one, and when."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    header: str | None = None
    challenges: tuple[Challenge, ...] = ()
    renew_at_s: float | None = None


class Login:
    """Authorization values of one route; safe for threads."""

    def __init__(self, route: Route, credentials: Credentials | None, clock: Clock) -> None:
        self._route = route
        self._credentials = credentials
        self._clock = clock
        self._lock = threading.Lock()
        self._accesses: dict[str, _Access] = {}

    def current(self, attempt: Attempt, ask: Ask) -> str | None:
        """The value to start with: a kept one, renewed when it is about to expire. Raises RegistryError."""
        access = self._access(attempt.repository)
        if access.renew_at_s is None or self._clock.monotonic() < access.renew_at_s:
            return access.header
        return self.renew(attempt, ask, stale=access.header, challenges=access.challenges)

    def can_answer(self, challenges: Sequence[Challenge], sent: str | None) -> bool:
        """Whether a 401 can be answered with something that was not refused just now."""
        if any(challenge.scheme == "bearer" for challenge in challenges):
            return True
        return bool(challenges) and self._credentials is not None and sent is None

    def renew(self, attempt: Attempt, ask: Ask, *, stale: str | None, challenges: Sequence[Challenge]) -> str | None:
        """Another value than the stale one; threads that come together share one exchange.

        The time it takes, waiting for another thread's exchange included, is the attempt's auth_s.
        """
        access, started_s = self._access(attempt.repository), self._clock.monotonic()
        if not access.lock.acquire(timeout=max(0.0, attempt.deadline_s - started_s)):
            where = f"GET {redact_url(self._route.url)}"
            raise RegistryError(ErrorCode.TIMEOUT, where, "waited for another pull's token")
        try:
            if access.header == stale:
                access.challenges = tuple(challenges)
                self._authorize(attempt, ask, access)
            return access.header
        finally:
            access.lock.release()
            attempt.log.add_auth(self._clock.monotonic() - started_s)

    def explain(self, failure: RegistryError, trail: Trail, kind: TransferKind) -> RegistryError:
        """The failure with the code that fits who we are, and without what a server may have echoed of our secrets.

        Who is known but lacks the scope is forbidden, though the status says 401 (RFC 6750, section 3.1); a token
        service says 400, 401 or 403 to credentials that it does not know.
        """
        code = failure.code
        if kind == "token" and failure.status in (400, 401, 403):
            code = ErrorCode.UNAUTHORIZED
        elif failure.status == 401 and self._credentials is not None:
            challenges = parse_challenges(trail.last.headers.get("www-authenticate", ()))
            if any(challenge.error == "insufficient_scope" for challenge in challenges):
                code = ErrorCode.FORBIDDEN
        detail = clean(redacted(failure.detail, sent=self._secrets()), _MAX_DETAIL_CHARS)
        return RegistryError(code, failure.where, detail, status=failure.status, retry_after_s=failure.retry_after_s)

    def _access(self, repository: str) -> _Access:
        with self._lock:
            return self._accesses.setdefault(repository, _Access())

    def _authorize(self, attempt: Attempt, ask: Ask, access: _Access) -> None:
        bearer = next((one for one in access.challenges if one.scheme == "bearer"), None)
        if bearer is None:
            access.header = basic_header(self._credentials) if self._credentials else None
            return
        asked = token_request(
            bearer,
            endpoint_url=self._route.url,
            repository=attempt.repository,
            credentials=self._credentials,
            may_send=self._route.may_send,
        )
        asked_s = self._clock.monotonic()
        token = ask(asked, TokenBody())
        # The time before the value: who reads between the two must not renew what is new.
        access.renew_at_s = asked_s + token.expires_in_s * (1 - _RENEW_EARLY)
        access.header = f"Bearer {token.value}"

    def _secrets(self) -> list[str]:
        known: list[str | None] = []
        if self._credentials is not None:
            known += [self._credentials.password, self._credentials.identity_token]
            known += [basic_header(self._credentials).partition(" ")[2]]
        with self._lock:
            known += [access.header.partition(" ")[2] for access in self._accesses.values() if access.header]
        known += self._route.headers.values()
        return [secret for secret in known if secret]
