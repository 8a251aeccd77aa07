"""Who we are at one registry: tokens by repository, kept and renewed in time, and how a 401 is answered. Free of IO.

The exchange that gets a token is made by the caller, through httpx or libcurl; which to make, when, and what its outcome
means is decided here.
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
"""A token is renewed so long before it ends, or in the last tenth of a short one's life."""

TokenExchange = Callable[[TokenRequest], Token]
"""Makes one exchange with a token service; raises RegistryError."""


@dataclass(slots=True)
class _Access:
    """What opens one repository: the Authorization value, what the next one is got by, and when that is due."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    header: str | None = field(default=None, repr=False)
    challenges: tuple[Challenge, ...] = ()
    renew_at_s: float | None = None
    """On the monotonic clock; None for what does not end."""


class Authorizer:
    """Authorization values for one route; safe for threads.

    A repository of None is the endpoint itself. `credentials` is called when a challenge asks, and may raise UsageError. One
    who pushes asks for `actions` of "pull,push".
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
        """What to renew by, where what is held is about to end; empty where it is not. To be asked before `current`."""
        access = self._access(repository)
        is_due = access.renew_at_s is not None and self._monotonic() >= access.renew_at_s
        return access.challenges if is_due else ()

    def current(self, repository: str | None) -> str | None:
        """The value to begin with; None where nothing was asked for yet."""
        return self._access(repository).header

    def offered(self, answer: Answer) -> tuple[Challenge, ...]:
        """The challenges of an answer that may be answered: a 401 of the endpoint's own origin.

        Another host, such as a storage service behind a redirect, may not ask for our credentials.
        """
        if answer.status != 401 or not answer.at_home or not same_origin(answer.url, self._route.url):
            return ()
        return parse_challenges(answer.challenges)

    def can_answer(self, repository: str | None, challenges: Sequence[Challenge], sent: str | None) -> bool:
        """Whether there is something to send that was not refused just now; a Basic that was refused is not sent again."""
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
        """Another value than the one that was `sent`; threads that come together share one exchange.

        Raises RegistryError where the token service fails, cannot be trusted, or another thread's exchange takes longer
        than `wait_s`.
        """
        access = self._access(repository)
        if not access.lock.acquire(timeout=-1 if wait_s is None else max(0.0, wait_s)):
            where = f"GET {redact_url(self._route.url)}"
            raise RegistryError(ErrorCode.TIMEOUT, where, "waited for another pull's token")
        try:
            if access.header == sent:
                access.challenges = tuple(challenges)
                self._take(repository, exchange, access)
            return access.header
        finally:
            access.lock.release()

    def granted(self, repository: str) -> tuple[str, ...] | None:
        """What the token that is held for a repository says that it grants; None without one, or where it does not say."""
        header = self._access(repository).header
        return None if header is None else token_access(header.removeprefix("Bearer "))

    def credentials(self) -> Credentials | None:
        """Ours for this route; None is anonymous. Raises UsageError where their source fails."""
        self._known = found = self._load_credentials()
        return found

    def fault(self, answer: Answer) -> AnswerError:
        """The error that an answer is, with the code that fits who we are.

        Who is known but lacks the scope is forbidden, though the status says 401 (RFC 6750, section 3.1).
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
        """A foreign text for people: one line, and nothing of our secrets in it."""
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
        # The time before the value: who reads between the two must not renew what is new.
        access.renew_at_s = asked_at_s + token.expires_in_s - early_s
        access.header = f"Bearer {token.value}"

    def _secrets(self) -> tuple[str, ...]:
        """What may be in a server's words of ours: credentials, tokens, and values of the route's own headers."""
        known = self._known
        found = [] if known is None else [*secrets_of(basic_header(known)), known.password, known.identity_token or ""]
        with self._lock:
            headers = [access.header for access in self._accesses.values()]
        found += [secret for header in headers for secret in secrets_of(header)]
        return tuple(secret for secret in (*found, *self._route.headers.values()) if secret)
