"""The login at one registry: one token per repository, renewed in time, and the answer to a 401. Free of IO.

This module decides which token exchange to make and when, and interprets its result. The caller makes it, over httpx or
libcurl.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from pullbench.errors import ErrorCode, RegistryError, Responder
from pullbench.model.route import Route
from pullbench.model.text import clean
from pullbench.registry.answer import Answer, AnswerError
from pullbench.registry.auth import (
    Challenge,
    Credentials,
    Token,
    TokenRequest,
    basic_header,
    parse_challenges,
    redact_url,
    same_origin,
    token_access,
    token_request,
)
from pullbench.registry.redaction import redacted, secrets_of

RENEW_BEFORE_S = 10.0
"""A token is renewed this long before it expires, or in the last tenth of a short lifetime."""

TokenExchange = Callable[[TokenRequest], Token]
"""Makes one exchange with a token service; raises RegistryError."""


@dataclass(slots=True)
class _Access:
    """The access to one repository: the Authorization value, the challenge to renew it, and the time to renew."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    header: str | None = field(default=None, repr=False)
    challenges: tuple[Challenge, ...] = ()
    renew_at_s: float | None = None
    """On the monotonic clock; None if it does not expire."""


class Authorizer:
    """Authorization values for one route; thread-safe.

    A repository of None is the endpoint itself. `credentials` is called when a challenge requires them, and may raise
    UsageError. For pushes, set `actions` to "pull,push".
    """

    def __init__(
        self,
        route: Route,
        credentials: Callable[[], Credentials | None],
        *,
        monotonic: Callable[[], float],
        actions: str = "pull",
    ) -> None:
        self._route = route
        self._load_credentials = credentials
        self._monotonic = monotonic
        self._actions = actions
        self._lock = threading.Lock()
        self._accesses: dict[str | None, _Access] = {}
        self._known: Credentials | None = None

    def due(self, repository: str | None) -> tuple[Challenge, ...]:
        """The challenge to renew with if the current value expires soon; else empty. Call it before `current`."""
        access = self._access(repository)
        is_due = access.renew_at_s is not None and self._monotonic() >= access.renew_at_s
        return access.challenges if is_due else ()

    def current(self, repository: str | None) -> str | None:
        """The value to send first; None if no challenge was received yet."""
        return self._access(repository).header

    def offered(self, answer: Answer) -> tuple[Challenge, ...]:
        """The challenges of an answer that may be answered: a 401 from the endpoint's own origin.

        Other hosts, such as a storage service behind a redirect, never receive our credentials.
        """
        if answer.status != 401 or not answer.at_home or not same_origin(answer.url, self._route.url):
            return ()
        return parse_challenges(answer.challenges)

    def can_answer(self, repository: str | None, challenges: Sequence[Challenge], sent: str | None) -> bool:
        """Whether there is a value to send that was not just refused; a refused Basic is not sent again."""
        if any(challenge.scheme == "bearer" for challenge in challenges):
            return True
        if not challenges:
            return False
        renewed = self._access(repository).header not in (None, sent)  # by another thread
        return renewed or (sent is None and self.credentials() is not None)

    def renew(
        self,
        repository: str | None,
        exchange: TokenExchange,
        *,
        sent: str | None,
        challenges: Sequence[Challenge],
        wait_s: float | None = None,
    ) -> str | None:
        """A new value to replace `sent`; concurrent threads share one exchange.

        Raises RegistryError if the token service fails or is unsafe, or another thread's exchange takes longer than `wait_s`.
        """
        access = self._access(repository)
        if not access.lock.acquire(timeout=-1 if wait_s is None else max(0.0, wait_s)):
            where = f"GET {redact_url(self._route.url)}"
            raise RegistryError(ErrorCode.TIMEOUT, where, "the token exchange of another pull took too long")
        try:
            if access.header == sent:
                access.challenges = tuple(challenges)
                self._take(repository, exchange, access)
            return access.header
        finally:
            access.lock.release()

    def granted(self, repository: str) -> tuple[str, ...] | None:
        """The scopes of the current token for a repository; None without a token, or if it does not list them."""
        header = self._access(repository).header
        return None if header is None else token_access(header.removeprefix("Bearer "))

    def credentials(self) -> Credentials | None:
        """Our credentials for this route; None means anonymous. Raises UsageError if their source fails."""
        self._known = found = self._load_credentials()
        return found

    def fault(self, answer: Answer) -> AnswerError:
        """The error of an answer, with the code for our login.

        A known user without the scope is `forbidden`, although the status is 401 (RFC 6750, section 3.1).
        """
        fault = replace(answer, sent=(*answer.sent, *self._secrets())).fault()
        if fault.answered_by is Responder.TOKEN_SERVICE and fault.code is ErrorCode.UNAUTHORIZED:
            credentials = self.credentials()
            who = "an anonymous client" if credentials is None else f"user '{credentials.username}'"
            return fault.but(detail=f"{fault.detail} (a token for {who})")
        if fault.status == 401 and fault.answered_by is Responder.REGISTRY:
            lacking = any(one.error == "insufficient_scope" for one in parse_challenges(answer.challenges))
            denied = lacking or any(problem.code == "DENIED" for problem in fault.problems)
            if denied and self.credentials() is not None:
                return fault.but(code=ErrorCode.FORBIDDEN)
        return fault

    def cleaned(self, text: str) -> str:
        """A foreign text for display: one line, without our secrets."""
        return clean(redacted(text, sent=self._secrets()))

    def _access(self, repository: str | None) -> _Access:
        with self._lock:
            return self._accesses.setdefault(repository, _Access())

    def _take(self, repository: str | None, exchange: TokenExchange, access: _Access) -> None:
        bearer = next((one for one in access.challenges if one.scheme == "bearer"), None)
        credentials = self.credentials()
        if bearer is None:
            access.header = basic_header(credentials) if credentials else None
            access.renew_at_s = None
            return
        request = token_request(
            bearer,
            endpoint_url=self._route.url,
            repository=repository,
            credentials=credentials,
            actions=self._actions,
            may_send=self._route.may_send,
        )
        asked_at_s = self._monotonic()
        token = exchange(request)
        early_s = min(RENEW_BEFORE_S, token.expires_in_s / 10)
        # Set the time first: a thread that reads between the two must not renew the new value.
        access.renew_at_s = asked_at_s + token.expires_in_s - early_s
        access.header = f"Bearer {token.value}"

    def _secrets(self) -> tuple[str, ...]:
        """Our secrets that a server may echo: credentials, tokens, and the values of the route's extra headers."""
        known = self._known
        found = [] if known is None else [*secrets_of(basic_header(known)), known.password, known.identity_token or ""]
        with self._lock:
            headers = [access.header for access in self._accesses.values()]
        found += [secret for header in headers for secret in secrets_of(header)]
        return tuple(secret for secret in (*found, *self._route.headers.values()) if secret)
