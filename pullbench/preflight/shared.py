"""What several checks ask for is asked once: a memory for threads, of failures too."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from pullbench.errors import PullbenchError

Key = TypeVar("Key")
Value = TypeVar("Value")


class Shared(Generic[Key, Value]):
    """One call a key, whoever asks first; those who ask meanwhile wait for it.

    A failure (PullbenchError) is remembered, and raised again for whoever asks after it: a registry that does not
    answer is waited for once.
    """

    def __init__(self) -> None:
        self._found: dict[Key, Value | PullbenchError] = {}
        self._locks: dict[Key, threading.Lock] = {}
        self._lock = threading.Lock()

    def get(self, key: Key, ask: Callable[[], Value]) -> Value:
        """What `ask` gave for the key, now or before."""
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key not in self._found:
                try:
                    self._found[key] = ask()
                except PullbenchError as error:
                    self._found[key] = error
            found = self._found[key]
        if isinstance(found, PullbenchError):
            raise found
        return found
