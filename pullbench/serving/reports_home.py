"""The home page of the reports that `pullbench serve` serves: built when it is asked for, so that it lists every run."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

_FRESH_FOR_S = 2.0


class ReportsHome:
    """Builds the page of a reports directory, at most every two seconds; `url` is where others reach it, for the feed's links."""

    def __init__(
        self, results: str, reports: Path, *, url: str | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._results = results
        self._reports = reports
        self._url = url
        self._clock = clock
        self._lock = threading.Lock()
        self._built_s: float | None = None
        self._problem: str | None = None

    def refresh(self) -> str | None:
        """Build the page if it is not fresh; why it could not be built, else None. Whoever asks meanwhile waits."""
        with self._lock:
            if self._built_s is None or self._clock() - self._built_s > _FRESH_FOR_S:
                self._problem = self._build()
                self._built_s = self._clock()
            return self._problem

    def _build(self) -> str | None:
        from pullbench.report.site.build import build_site  # brings the statistics, which the start must not wait for
        from pullbench.store.dataset import ResultStore

        try:
            build_site(ResultStore(self._results), self._reports, url=self._url)
        except Exception as error:  # noqa: BLE001  (whatever is stored there: the server goes on)
            return f"{type(error).__name__}: {error}"
        return None
