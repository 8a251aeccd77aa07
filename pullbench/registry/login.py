"""The login at one registry: one token per repository, renewed in time, and the answer to a 401. Free of IO.

This module decides which token exchange to make and when, and interprets its result. The caller makes it, over httpx or
libcurl.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

from pullbench.errors import ErrorCode, RegistryError, Responder, UsageError
from pullbench.model.addresses import login_host
from pullbench.model.route import Route
from pullbench.model.text import clean
from pullbench.registry.answer import Answer, AnswerError, host_of
from pullbench.registry.attempts import Login, LoginError, Logins, is_refusal
from pullbench.registry.auth import (
    Challenge,
    Credentials,
    Token,
    TokenRequest,
    basic_header,
    chosen,
    first_challenges,
    parse_challenges,
    redact_url,
    same_origin,
    token_access,
    token_request,
)
from pullbench.registry.redaction import redacted, secrets_of

RENEW_BEFORE_S = 10.0
"""A token is renewed this long before it expires, or in the last tenth of a short lifetime."""

REFUSAL_KEPT_S = 60.0
"""A refused token is not requested again for this long, unless the process got it before."""

TokenExchange = Callable[[TokenRequest], Token]
"""Makes one exchange with a token service; raises RegistryError."""

Conclude = Callable[[Answer], None]
"""Takes the answer to a request with an Authorization value."""

_BOTH = (
    "remove the Basic authentication of the proxy in front, or the token authentication of the registry behind it: "
    "no client does both"
)
_TOKEN_REFUSED = (
    "make the registry trust its token service: compare `issuer` and the certificate (`rootcertbundle`) in the registry's "
    "configuration with the token service's, and both clocks (`timedatectl`); the registry's log names the reason"
)
_LOCKED = "the registry blocks this login after a wrong password: fix the credentials, wait until it allows logins again (Retry-After)"


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
    UsageError. `logins` is shared by all authorizers of a process. For pushes, set `actions` to "pull,push".
    """

    def __init__(
        self,
        route: Route,
        credentials: Callable[[], Credentials | None],
        *,
        monotonic: Callable[[], float],
        logins: Logins | None = None,
        actions: str = "pull",
    ) -> None:
        self._route = route
        self._load_credentials = credentials
        self._monotonic = monotonic
        self._actions = actions
        self._logins = logins or Logins()
        self._lock = threading.Lock()
        self._accesses: dict[str | None, _Access] = {}
        self._known: Credentials | None = None
        self._of_thread = threading.local()
        """`exchange`: what the thread's last `renew` was given."""

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
        return first_challenges(answer.challenges)

    def can_answer(self, repository: str | None, challenges: Sequence[Challenge], sent: str | None) -> bool:
        """Whether there is a value to send that was not just refused; a secret that was refused as it is, is not sent again."""
        if not challenges:
            return False
        renewed = self._access(repository).header not in (None, sent)  # by another thread
        if renewed or (sent is None and any(one.scheme == "bearer" for one in challenges)):
            return True
        credentials = self.credentials()
        value = self._direct(challenges, credentials)
        if value is not None:
            return value != sent
        answered = chosen(challenges, credentials)
        return answered is not None and answered.scheme == "bearer"

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

        Raises RegistryError if the token service fails, is unsafe or has refused these credentials before, or if another thread's
        exchange takes longer than `wait_s`.
        """
        self._of_thread.exchange = exchange
        access = self._access(repository)
        if not access.lock.acquire(timeout=-1 if wait_s is None else max(0.0, wait_s)):
            where = f"GET {redact_url(self._route.url)}"
            raise RegistryError(ErrorCode.TIMEOUT, where, "the token exchange of another pull took too long")
        try:
            if access.header != sent:
                return access.header
            access.challenges = tuple(challenges)
            credentials = self.credentials()
            value = self._direct(challenges, credentials)
            if value is not None:
                access.renew_at_s = None
                return value  # `attempt` keeps it once it is accepted
            self._take(repository, exchange, access, credentials, wait_s)
            return access.header
        finally:
            access.lock.release()

    @contextmanager
    def attempt(self, repository: str | None, value: str | None, wait_s: float | None = None) -> Iterator[Conclude]:
        """Send `value`, which `renew` returned, inside of this block, and pass the answer to what it yields.

        A password or token that goes to the registry as it is, is sent by one thread until the registry accepts it, and never again
        after a refusal, which is raised. A token of a token service needs no such care.
        """
        login = self._login_of(repository, value)
        if login is None:
            yield lambda _answer: None
            return
        ask = partial(self._ask_without_repository, login, value)
        with login.attempt(wait_s, of_repository=repository is not None, ask_without=ask):
            yield lambda answer: self._conclude(login, repository, value, answer)

    def _conclude(self, login: Login, repository: str | None, value: str | None, answer: Answer) -> None:
        """After a redirect the registry itself has accepted the login; what a server before the registry answers proves nothing."""
        access, by = self._access(repository), answer.answered_by
        if by is Responder.REDIRECT or (by is Responder.REGISTRY and _is_beyond_login(answer.status)):
            login.accept()
        elif answer.status in (401, 403):
            login.refuse(self.fault(answer, sent=value, repository=repository), of_repository=repository is not None)
        access.header = value if login.is_accepted and (answer.status != 401 or not answer.at_home) else None

    def _ask_without_repository(self, login: Login, value: str | None) -> None:
        """Send the value to /v2/ if it requires a login, to learn whether a refusal concerned one repository only.

        An open /v2/ takes any password, so nothing is sent there.
        """
        url, exchange = f"{self._route.url}/v2/", self._of_thread.exchange
        is_open = _status_of(exchange, TokenRequest(method="GET", url=url)) != 401
        request = TokenRequest(method="GET", url=url, headers={"Authorization": value or ""})
        if is_open or not _is_beyond_login(_status_of(exchange, request)):
            login.stop()
        else:
            login.accept()

    def is_proven(self, repository: str | None, value: str | None) -> bool:
        """Whether sending `value` again is no further login attempt: it holds no password, or the registry accepted it.

        After a refused login a rate limit may be the lock of an account, so nothing is proven.
        """
        if self._known is not None and self._refusal() is not None:
            return False
        login = self._login_of(repository, value)
        return login is None or login.is_accepted

    def granted(self, repository: str) -> tuple[str, ...] | None:
        """The scopes of the current token for a repository; None without a token, or if it does not list them."""
        header = self._access(repository).header
        return None if header is None else token_access(header.removeprefix("Bearer "))

    def credentials(self) -> Credentials | None:
        """Our credentials for this route; None means anonymous. Raises UsageError if their source fails."""
        self._known = found = self._load_credentials()
        return found

    def scheme(self, repository: str | None) -> str | None:
        """The scheme of the challenge that was answered for a repository; None if there was none."""
        answered = chosen(self._access(repository).challenges, self._known)
        return None if answered is None else answered.scheme

    def fault(self, answer: Answer, *, sent: str | None = None, repository: str | None = None) -> AnswerError:
        """The error of an answer to a request with the value `sent`, with the code for our login.

        A known user without the scope is `forbidden`, although the status is 401 (RFC 6750, section 3.1).
        """
        fault = replace(answer, sent=(*answer.sent, *self._secrets())).fault()
        if fault.code is ErrorCode.RATE_LIMITED and (refusal := self._refusal()) is not None:
            detail = f"{fault.detail} (after a refused login: {clean(refusal.where)}: {refusal.status})"
            cure = f"{_LOCKED}, then run `docker login {login_host(self._route)}`"
            return LoginError(fault, ErrorCode.UNAUTHORIZED, detail, cure)
        if fault.answered_by is Responder.TOKEN_SERVICE and fault.code is ErrorCode.UNAUTHORIZED:
            credentials = self.credentials()
            who = "an anonymous client" if credentials is None else f"user '{credentials.username}'"
            return fault.but(detail=f"{fault.detail} (a token for {who})")
        if fault.status == 401 and fault.answered_by is Responder.REGISTRY:
            return self._refused(fault, parse_challenges(answer.challenges), sent, repository)
        return fault

    def _refused(
        self, fault: AnswerError, challenges: Sequence[Challenge], sent: str | None, repository: str | None
    ) -> AnswerError:
        """The error of the registry's own 401."""
        credentials = self.credentials()
        schemes, (scheme, _, token) = {one.scheme for one in challenges}, (sent or "").partition(" ")
        if scheme == "Basic" and schemes == {"bearer"}:
            detail = f"{fault.detail}; Basic before a registry with tokens: the password was accepted, then a token is required"
            return LoginError(fault, fault.code, f"{detail}; no client does both", _BOTH)
        if any(one.error == "insufficient_scope" for one in challenges) or any(
            problem.code == "DENIED" for problem in fault.problems
        ):
            return fault if credentials is None else fault.but(code=ErrorCode.FORBIDDEN)
        is_issued = scheme == "Bearer" and token != getattr(credentials, "registry_token", None)
        if is_issued and (
            any(one.error == "invalid_token" for one in challenges)
            or fault.where.endswith("/v2/")
            or _may_pull(token, repository)
        ):
            accepted = "the token service issued a token" if credentials is None else "the password was accepted"
            detail = f"{fault.detail}; {accepted}, the registry refuses the token: issuer, certificate, clock"
            return LoginError(fault, fault.code, detail, _TOKEN_REFUSED)
        return fault

    def _refusal(self) -> RegistryError | None:
        try:
            return self._logins.refusal(self._route.url, self._known or self.credentials())
        except UsageError:
            return None

    def _direct(self, challenges: Sequence[Challenge], credentials: Credentials | None) -> str | None:
        """The value that goes to the registry as it is: Basic, or a registry token; None if there is none."""
        answered = chosen(challenges, credentials)
        if answered is None or credentials is None:
            return None
        if answered.scheme == "bearer":
            return f"Bearer {credentials.registry_token}" if credentials.registry_token else None
        return basic_header(credentials) if credentials.password or credentials.identity_token else None

    def _login_of(self, repository: str | None, value: str | None) -> Login | None:
        credentials = self._known
        if value is None or credentials is None:
            return None
        if value != self._direct(self._access(repository).challenges, credentials):
            return None
        return self._logins.of(self._route.url, credentials, route_url=self._route.url)

    def cleaned(self, text: str) -> str:
        """A foreign text for display: one line, without our secrets."""
        return clean(redacted(text, sent=self._secrets()))

    def _access(self, repository: str | None) -> _Access:
        with self._lock:
            return self._accesses.setdefault(repository, _Access())

    def _take(
        self,
        repository: str | None,
        exchange: TokenExchange,
        access: _Access,
        credentials: Credentials | None,
        wait_s: float | None,
    ) -> None:
        """Get a token; without a Bearer challenge there is none."""
        bearer = next((one for one in access.challenges if one.scheme == "bearer"), None)
        if bearer is None:
            access.header = access.renew_at_s = None
            return
        request = self._token_request(bearer, repository, credentials)
        asked_at_s = self._monotonic()
        if (known := self._logins.refused_token(self._route.name, request, asked_at_s)) is not None:
            raise known
        try:
            token = self._exchanged(request, exchange, bearer, repository, credentials, wait_s)
        except RegistryError as error:
            if is_refusal(error):
                until_s = asked_at_s + REFUSAL_KEPT_S
                self._logins.refuse_token(self._route.name, request, error, until_s=until_s)
            raise
        self._logins.give_token(self._route.name, request)
        early_s = min(RENEW_BEFORE_S, token.expires_in_s / 10)
        # Set the time first: a thread that reads between the two must not renew the new value.
        access.renew_at_s = asked_at_s + token.expires_in_s - early_s
        access.header = f"Bearer {token.value}"

    def _exchanged(
        self,
        request: TokenRequest,
        exchange: TokenExchange,
        bearer: Challenge,
        repository: str | None,
        credentials: Credentials | None,
        wait_s: float | None,
    ) -> Token:
        try:
            if credentials is None:
                return exchange(request)
            login = self._logins.of(bearer.realm, credentials, route_url=self._route.url)
            plain = self._token_request(bearer, None, credentials)
            ask = partial(_try_token, login, exchange, plain, of_repository=False)
            with login.attempt(wait_s, of_repository=repository is not None, ask_without=ask):
                return _try_token(login, exchange, request, of_repository=repository is not None)
        except RegistryError as error:
            if error.answered_by is None and error.code not in (ErrorCode.TIMEOUT, ErrorCode.CANCELLED):
                error.answered_by, error.host = Responder.TOKEN_SERVICE, host_of(request.url)
            raise

    def _token_request(
        self, bearer: Challenge, repository: str | None, credentials: Credentials | None
    ) -> TokenRequest:
        return token_request(
            bearer,
            endpoint_url=self._route.url,
            repository=repository,
            credentials=credentials,
            actions=self._actions,
            may_send=self._route.may_send,
        )

    def _secrets(self) -> tuple[str, ...]:
        """Our secrets that a server may echo: credentials, tokens, and the values of the route's extra headers."""
        known = self._known
        found = []
        if known is not None:
            own = (known.password, known.identity_token or "", known.registry_token or "")
            found = [*secrets_of(basic_header(known)), *own]
        with self._lock:
            headers = [access.header for access in self._accesses.values()]
        found += [secret for header in headers for secret in secrets_of(header)]
        return tuple(secret for secret in (*found, *self._route.headers.values()) if secret)


def _may_pull(token: str, repository: str | None) -> bool:
    """Whether a token says that it grants pulls from a repository."""
    scopes = token_access(token) or ()
    return any(scope.startswith(f"repository:{repository}:") and "pull" in scope.rpartition(":")[2] for scope in scopes)


def _is_beyond_login(status: int) -> bool:
    """Whether a registry answers so only after it has accepted the login."""
    return status < 500 and status not in (401, 403, 429)


def _try_token(login: Login, exchange: TokenExchange, request: TokenRequest, *, of_repository: bool) -> Token:
    """Make one exchange with credentials, and remember what it says about them."""
    try:
        token = exchange(request)
    except RegistryError as error:
        login.refuse(error, of_repository=of_repository)
        raise
    login.accept()
    return token


def _status_of(exchange: TokenExchange, request: TokenRequest) -> int:
    """The status of an answer that has no token. Raises RegistryError if there is none, or if the server fails."""
    try:
        exchange(request)
    except RegistryError as error:
        if error.status is None or not (error.status < 400 or is_refusal(error)):
            raise
        return error.status
    return 200
