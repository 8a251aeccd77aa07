"""What watching a trial costs: CPU of the sampler while threads sleep, and the time of the same work with and without it.

The goal is at most 0.5% of a core.
"""

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from benchmarks.scorecard import ScoreLine, as_text, ratios
from benchmarks.sitting import measure
from pullbench.bench.sampler import ProcReader, Sampler, cpu_s_of_process

THREADS = (1, 64, 1000)
LOOKS_S = 8.0
GOAL = 0.005
_BLOCK = bytes(512 * 1024)
_BLOCKS = 600


def run(rounds: int) -> None:
    """Print both tables."""
    print("\nwatching sleeping threads: share of a core")
    for threads in THREADS:
        with _sleeping(threads):
            share = _share_of_a_core()
        print(f"  {threads:5} threads  {share:.3%}  goal {GOAL:.1%}: {'met' if share <= GOAL else 'missed'}")
    results = measure({"alone": _work, "watched": lambda: _watched(_work)}, rounds=rounds)
    watched = ratios(results["watched"].wall_s, results["alone"].wall_s)
    print(as_text([ScoreLine(what="hashing in 4 threads: watched / not watched", values=watched)]))


def _share_of_a_core() -> float:
    """The lower of two measurements: other work of the machine only adds to it."""
    shares = []
    for _ in range(2):
        sampler = _sampler()
        started_s, cpu_from_s = time.perf_counter(), cpu_s_of_process()
        sampler.begin()
        time.sleep(LOOKS_S)
        sampler.end()
        shares.append((cpu_s_of_process() - cpu_from_s) / (time.perf_counter() - started_s))
    return min(shares)


def _watched(work: Callable[[], None]) -> None:
    sampler = _sampler()
    sampler.begin()
    work()
    sampler.end()


def _sampler() -> Sampler:
    return Sampler(ProcReader(frozenset(os.sched_getaffinity(0))).read)


def _work() -> None:
    def hashed(_: int) -> None:
        digest = hashlib.sha256()
        for _ in range(_BLOCKS):
            digest.update(_BLOCK)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(hashed, range(4)))


@contextmanager
def _sleeping(threads: int) -> Iterator[None]:
    over = threading.Event()
    made = [threading.Thread(target=over.wait) for _ in range(threads)]
    for thread in made:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in made:
            thread.join()
