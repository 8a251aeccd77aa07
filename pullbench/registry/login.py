"""Who we are at one endpoint: keeps tokens by scope, renews them in time, and answers a 401 once."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pullbench.errors import ErrorCode, RegistryError
from pullbench.model.route import Route
from pullbench.registry.auth import (
    MAX_TOKEN_BYTES,
    Challenge,
    Credentials,
    basic_header,
    parse_challenges,
    read_token,
    token_access,
    token_request,
)
from pullbench.registry.exchange import Answer, Exchanger
from pullbench.registry.keychain import Keychain

RENEW_BEFORE_S = 10.0
"""A token is renewed so long before it ends, or in the last tenth of a short one's life."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    challenge: Challenge
    header: str = field(repr=False)
    renew_at_s: float | None = None
    """On the monotonic clock; None for Basic, which does not end."""


class Login:
    """Authorization values for one route; safe for threads. Credentials are looked up when a challenge asks."""

    def __init__(
        self,
        route: Route,
        keychain: Keychain,
        exchanger: Exchanger,
        *,
        monotonic: Callable[[], float],
        actions: str = "pull",
    ) -> None:
        self._actions = actions
        self._route = route
        self._keychain = keychain
        self._exchanger = exchanger
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._held: dict[str | None, _Held] = {}

    def authorization(self, repository: str | None) -> str | None:
        """What is held for a repository (None: the endpoint itself), renewed where it is about to end."""
        with self._lock:
            held = self._held.get(repository)
            if held is not None and held.renew_at_s is not None and self._monotonic() >= held.renew_at_s:
                held = self._take(held.challenge, repository)
            return None if held is None else held.header

    def answer(self, refused: Answer, repository: str | None, sent: str | None) -> str | None:
        """A fresh Authorization value for a 401; None where nothing we have could answer it.

        `sent` is what was refused: another thread may have renewed it already, and a Basic that was refused is not
        sent again. Raises RegistryError where the token service fails or cannot be trusted.
        """
        with self._lock:
            held = self._held.get(repository)
            if held is not None and held.header != sent:
                return held.header
            challenge = _preferred(parse_challenges(refused.challenges))
            if challenge is None or (challenge.scheme == "basic" and sent is not None):
                return None
            self._held.pop(repository, None)
            if challenge.scheme == "basic" and self.credentials() is None:
                return None
            return self._take(challenge, repository).header

    def granted(self, repository: str) -> tuple[str, ...] | None:
        """What the token that is held for a repository says that it grants; None without one, or where it does not say."""
        with self._lock:
            held = self._held.get(repository)
        return None if held is None else token_access(held.header.removeprefix("Bearer "))

    def credentials(self) -> Credentials | None:
        """What the route's source holds for its host; UsageError where the source fails, or they may not be sent."""
        return self._keychain.login(self._route)

    def _take(self, challenge: Challenge, repository: str | None) -> _Held:
        credentials = self.credentials()
        if challenge.scheme == "basic" and credentials is not None:
            held = _Held(challenge=challenge, header=basic_header(credentials))
        else:
            held = self._token(challenge, repository, credentials)
        self._held[repository] = held
        return held

    def _token(self, challenge: Challenge, repository: str | None, credentials: Credentials | None) -> _Held:
        request = token_request(
            challenge,
            endpoint_url=self._route.url,
            repository=repository,
            credentials=credentials,
            actions=self._actions,
            may_send=self._route.may_send,
        )
        headers = dict(request.headers)
        authorization = headers.pop("Authorization", None)
        asked_at_s = self._monotonic()
        answer = self._exchanger.send(
            request.method,
            request.url,
            limit_bytes=MAX_TOKEN_BYTES,
            headers=headers,
            authorization=authorization,
            content=request.body,
        )
        if answer.status >= 300:
            raise _refusal(answer, credentials)
        token = read_token(answer.body, where=answer.where)
        early_s = min(RENEW_BEFORE_S, token.expires_in_s / 10)
        return _Held(
            challenge=challenge,
            header=f"Bearer {token.value}",
            renew_at_s=asked_at_s + token.expires_in_s - early_s,
        )


def _preferred(challenges: Sequence[Challenge]) -> Challenge | None:
    return min(challenges, key=lambda challenge: challenge.scheme != "bearer", default=None)


def _refusal(answer: Answer, credentials: Credentials | None) -> RegistryError:
    """A token service says 400, 401 or 403 to credentials that it does not know."""
    fault = answer.fault()
    if answer.status not in (400, 401, 403):
        return fault
    who = "an anonymous client" if credentials is None else f"user '{credentials.username}'"
    return RegistryError(
        ErrorCode.UNAUTHORIZED, fault.where, f"{fault.detail} (a token for {who})", status=answer.status
    )
