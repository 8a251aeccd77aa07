"""Remembers which logins a server accepted and refused, so that a wrong password is sent once. Free of IO.

Accounts are locked after a few wrong passwords. So the first attempt with new credentials has no others beside it, and after
a refusal none follows. A refusal that may concern one repository alone leaves one more attempt, without a repository.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pullbench.errors import ROUTE_FAILURES, ErrorCode, RegistryError, Responder
from pullbench.registry.answer import AnswerError
from pullbench.registry.auth import Credentials, TokenRequest

_MAY_PASS = (408, 425, 429)


class LoginError(AnswerError):
    """A login failed for a reason that its status does not show; its remedy says what to do."""

    def __init__(self, fault: AnswerError, code: ErrorCode, detail: str, remedy: str) -> None:
        self._remedy = remedy
        super().__init__(
            code,
            fault.where,
            detail,
            status=fault.status or 0,
            problems=fault.problems,
            retry_after_s=fault.retry_after_s,
            answered_by=fault.answered_by,
            host=fault.host,
        )

    @property
    def remedy(self) -> str:
        return self._remedy


@dataclass(slots=True, eq=False)
class Login:
    """One pair of a server and credentials, and what the server said to them."""

    is_accepted: bool = False
    refusal: RegistryError | None = None
    """The first refusal; raised again in place of a second attempt."""
    doubts: dict[bool, RegistryError] = field(default_factory=dict)
    """Refusals that may have another reason than the credentials: of a request for a repository (True), and without one."""
    routes: set[str] = field(default_factory=set)
    """The URLs of the registries that it is for."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _ended: int = 0
    _unreached: RegistryError | None = None
    """The error of the last attempt if the server could not be reached."""

    @contextmanager
    def attempt(
        self, wait_s: float | None = None, *, of_repository: bool, ask_without: Callable[[], object]
    ) -> Iterator[None]:
        """Make an attempt inside of this block. Until one is accepted, a single thread at a time is in it.

        `ask_without` makes an attempt without a repository, and calls `accept`, `refuse` or `stop`. It is called after a doubtful
        refusal of a repository. Raises the refusal if there is one, and RegistryError `timeout` if another thread's attempt takes
        longer than `wait_s`. Threads that waited for a server that cannot be reached share its error.
        """
        ended_before = self._ended
        is_alone = not self.is_accepted
        if is_alone and not self._lock.acquire(timeout=-1 if wait_s is None else max(0.0, wait_s)):
            raise RegistryError(ErrorCode.TIMEOUT, "login", "the login of another request took too long")
        if is_alone and self.is_accepted:
            self._lock.release()
            is_alone = False
        try:
            if self.refusal is not None:
                raise self.refusal
            if is_alone and self._ended > ended_before and self._unreached is not None:
                raise self._unreached
            if is_alone:
                self._settle(of_repository, ask_without)
            yield
            self._unreached = None
        except RegistryError as error:
            self._unreached = error if error.code in ROUTE_FAILURES or error.code is ErrorCode.STALLED else None
            raise
        finally:
            self._ended += 1
            if is_alone:
                self._lock.release()

    def _settle(self, of_repository: bool, ask_without: Callable[[], object]) -> None:
        """Find out what an earlier doubtful refusal meant, before the credentials are sent again."""
        if of_repository not in self.doubts:
            return
        if not of_repository:
            raise self.doubts[of_repository]
        ask_without()
        if self.refusal is not None:
            raise self.refusal

    def accept(self) -> None:
        """Remember that the server accepted the credentials; refusals from now on concern one repository."""
        self.is_accepted = True

    def refuse(self, error: RegistryError, *, of_repository: bool) -> None:
        """Remember a refusal of the credentials, or the doubt; both a repository's and one without a repository are a refusal."""
        if self.is_accepted:
            return
        if refuses_credentials(error, of_repository=of_repository):
            self.refusal = error
        elif is_refusal(error):
            self.doubts.setdefault(of_repository, error)
            if len(self.doubts) > 1:
                self.stop()

    def stop(self) -> None:
        """Take the first doubtful refusal for one of the credentials."""
        self.refusal = next(iter(self.doubts.values()))


def is_refusal(error: RegistryError) -> bool:
    """Whether a server refused a request, and the same request again would be refused too."""
    is_passing = error.code is ErrorCode.RATE_LIMITED or error.status in _MAY_PASS
    return 400 <= (error.status or 0) < 500 and not is_passing and error.answered_by is not Responder.PROXY


def refuses_credentials(error: RegistryError, *, of_repository: bool) -> bool:
    """Whether a server refused the user or the password, and not the access to one repository.

    GHCR answers an expired password with 403 and DENIED, as others do for a repository. Azure's registry refuses the token for a
    repository with 401 and names it. Without a repository both are about the credentials.
    """
    problems = error.problems if isinstance(error, AnswerError) else ()
    if problems and not of_repository and error.status in (401, 403):
        return is_refusal(error)
    if error.code is not ErrorCode.UNAUTHORIZED:
        return False
    by_service = error.answered_by is Responder.TOKEN_SERVICE
    if not by_service and error.status == 403:  # only an expired login has this code
        return True
    # A registry names the repository beside each 401; a token service only if it refuses that one.
    if any(one.code == "DENIED" or (by_service and "repository" in one.detail.lower()) for one in problems):
        return False
    return error.status == 401 or "invalid_grant" in error.detail


class Logins:
    """The logins of one process, by the server that receives the credentials. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[tuple[str, Credentials], Login] = {}
        self._given: set[tuple[str, TokenRequest]] = set()
        self._refused: dict[tuple[str, TokenRequest], tuple[float, RegistryError]] = {}

    def of(self, server: str, credentials: Credentials, *, route_url: str) -> Login:
        """The login at a server: a token service's URL, or the registry's own for Basic."""
        with self._lock:
            found = self._known.setdefault((server, credentials), Login())
            found.routes.add(route_url)
            return found

    def refusal(self, route_url: str, credentials: Credentials | None) -> RegistryError | None:
        """The refusal of these credentials for a registry; None if none is known."""
        found = self._at(route_url, credentials)
        return next((login.refusal for login in found if login.refusal is not None), None)

    def give_token(self, route: str, request: TokenRequest) -> None:
        """Remember that a token service answered a request along a route with a token: a later refusal may pass."""
        with self._lock:
            self._given.add((route, request))

    def refuse_token(self, route: str, request: TokenRequest, error: RegistryError, *, until_s: float) -> None:
        """Remember a refusal until a time on the monotonic clock, unless the same request got a token before."""
        with self._lock:
            if (route, request) not in self._given:
                self._refused[route, request] = (until_s, error)

    def refused_token(self, route: str, request: TokenRequest, now_s: float) -> RegistryError | None:
        """The error of a token request that was refused a short time ago; None if it may be sent."""
        with self._lock:
            until_s, error = self._refused.get((route, request), (now_s, None))
        return error if now_s < until_s else None

    def accepts(self, route_url: str, credentials: Credentials | None) -> bool:
        """Whether a registry or its token service has accepted these credentials."""
        return any(login.is_accepted for login in self._at(route_url, credentials))

    def _at(self, route_url: str, credentials: Credentials | None) -> list[Login]:
        with self._lock:
            return [login for (_, of), login in self._known.items() if of == credentials and route_url in login.routes]
