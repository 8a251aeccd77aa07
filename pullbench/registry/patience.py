"""How a client waits before a run: for a gateway that fails, and for a registry that limits requests. Free of IO."""

import threading
from collections.abc import Callable
from itertools import count

from pullbench.errors import ErrorCode
from pullbench.registry.answer import Answer, backoff_s

ATTEMPTS = 3
"""How often a patient client sends a request that a gateway fails."""
PATIENCE_S = 6.0
"""How long a client waits before a run, in all."""
_FIRST_PACE_S = 0.25
_MOST_PACE_S = 2.0
_GATEWAY_FAILURES = (502, 503, 504)


class Patience:
    """The pauses of one client, at most `total_s` in all; thread-safe.

    A rate limit and a gateway's failure concern all requests of a client. So one answer of these kinds makes all of them wait,
    and each pause counts once, however many requests wait. After a rate limit the requests go one at a time, with a pause between
    them that doubles with each further limit; without that the threads that waited would meet the limit together again.
    """

    def __init__(self, total_s: float, *, monotonic: Callable[[], float], sleep: Callable[[float], None]) -> None:
        self._left_s = total_s
        self._is_patient = total_s > 0
        self._is_limited = False
        self._pace_s = 0.0
        self._turn = threading.Lock()
        self._until_s = self._limited_until_s = monotonic()
        self._monotonic = monotonic
        self._sleep = sleep
        self._lock = threading.Lock()

    def keep(self, send: Callable[[], Answer], *, limits: bool = True) -> Answer:
        """Send after the current pause, and again after a rate limit, or at most ATTEMPTS times after a 502, 503 or 504.

        Without `limits` the answer of a rate limit is final, as for a password that is not known to be right: each attempt may
        lock the account.
        """
        for number in count(1):
            answer = self._send(send)
            if is_limit(answer):
                if not limits or not self.note(answer, number):
                    break
            elif answer.status not in _GATEWAY_FAILURES or number == ATTEMPTS or not self.note(answer, number):
                break
        return answer

    def note(self, answer: Answer, number: int = 1) -> bool:
        """Begin or extend the pause after this answer, as its Retry-After says; False if the patience does not last for it."""
        fault = answer.fault()
        with self._lock:
            now_s = self._monotonic()
            if fault.code is ErrorCode.RATE_LIMITED and (now_s >= self._limited_until_s or not self._is_limited):
                self._pace_s = min(2 * self._pace_s, _MOST_PACE_S) or _FIRST_PACE_S
                self._is_limited = self._is_patient
            more_s = now_s + backoff_s(number, fault.retry_after_s) - max(now_s, self._until_s)
            if more_s > self._left_s:
                return False
            if more_s > 0:
                self._left_s -= more_s
                self._until_s = self._limited_until_s = max(now_s, self._until_s) + more_s
        return True

    def _send(self, send: Callable[[], Answer]) -> Answer:
        if not self._is_limited:
            self._wait()
        if not self._is_limited:  # nor has another request met a limit in the meantime
            return send()
        with self._turn:
            self._wait()
            try:
                return send()
            finally:
                self._pause()

    def _pause(self) -> None:
        """Let the next request wait, as far as the patience lasts."""
        with self._lock:
            now_s = self._monotonic()
            more_s = min(now_s + self._pace_s - max(now_s, self._until_s), self._left_s)
            if more_s > 0:
                self._left_s -= more_s
                self._until_s = max(now_s, self._until_s) + more_s

    def _wait(self) -> None:
        with self._lock:
            left_s = self._until_s - self._monotonic()
        if left_s > 0:
            self._sleep(left_s)


def is_limit(answer: Answer) -> bool:
    """Whether a server refused a request because there were too many: 429, or another status that says so."""
    return answer.status >= 400 and answer.fault().code is ErrorCode.RATE_LIMITED
