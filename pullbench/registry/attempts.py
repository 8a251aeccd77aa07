"""Remembers which logins a server accepted and refused, so that a wrong password is sent once. Free of IO.

Accounts are locked after a few wrong passwords. So the first attempt with new credentials has no others beside it, and after
a refusal none follows.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pullbench.errors import ROUTE_FAILURES, ErrorCode, RegistryError, Responder
from pullbench.registry.answer import AnswerError
from pullbench.registry.auth import Credentials


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
    routes: set[str] = field(default_factory=set)
    """The URLs of the registries that it is for."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _ended: int = 0
    _unreached: RegistryError | None = None
    """The error of the last attempt if the server could not be reached."""

    @contextmanager
    def attempt(self, wait_s: float | None = None) -> Iterator[None]:
        """Make an attempt inside of this block. Until one is accepted, a single thread at a time is in it.

        Raises the refusal if there is one, and RegistryError `timeout` if another thread's attempt takes longer than `wait_s`.
        Threads that waited for a server that cannot be reached share its error.
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
            yield
            self._unreached = None
        except RegistryError as error:
            self._unreached = error if error.code in ROUTE_FAILURES or error.code is ErrorCode.STALLED else None
            raise
        finally:
            self._ended += 1
            if is_alone:
                self._lock.release()

    def refuse(self, error: RegistryError) -> None:
        """Remember a refusal of the credentials themselves.

        After an accepted login a 401 concerns one repository. So does an answer that names one: Azure's registry refuses the
        token for a repository with 401.
        """
        if not self.is_accepted and refuses_credentials(error):
            self.refusal = error


def refuses_credentials(error: RegistryError) -> bool:
    """Whether a server refused the user or the password, not the access to one repository."""
    by_service = error.answered_by is Responder.TOKEN_SERVICE
    for problem in error.problems if isinstance(error, AnswerError) else ():
        # A registry names the repository beside each 401; a token service only if it refuses that one.
        if problem.code == "DENIED" or (by_service and "repository" in problem.detail.lower()):
            return False
    return error.code is ErrorCode.UNAUTHORIZED and (error.status == 401 or "invalid_grant" in error.detail)


class Logins:
    """The logins of one process, by the server that receives the credentials. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[tuple[str, Credentials], Login] = {}

    def of(self, server: str, credentials: Credentials, *, route_url: str) -> Login:
        """The login at a server: a token service's URL, or the registry's own for Basic."""
        with self._lock:
            found = self._known.setdefault((server, credentials), Login())
            found.routes.add(route_url)
            return found

    def refusal(self, route_url: str, credentials: Credentials | None) -> RegistryError | None:
        """The refusal of these credentials for a registry; None if none is known."""
        with self._lock:
            found = [login for (_, of), login in self._known.items() if of == credentials and route_url in login.routes]
        return next((login.refusal for login in found if login.refusal is not None), None)
