"""The wire engine: pulls over libcurl, verifies every byte, unpacks nothing, so it measures only registry and network.

Every trial starts equal: without connections and tokens, with its threads already running. Within a trial, auth
`persisted` keeps connections and tokens between pulls; `per-pull` creates them for each pull.

With `strategy: base-first` a pull downloads what `docker pull BASE; docker pull IMAGE` downloads: first the manifests,
configs and layers of the base images, then the rest of the image. Each digest comes once; all of it is in the time and in
`bytes`.
"""

import os
import resource
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pycurl

from pullbench.engines.base import Clock, PullOutcome, PullRequest, TrialSetup, usable_cores
from pullbench.engines.command.folder import owned_folder
from pullbench.engines.wire.client import Trust, WireClient
from pullbench.engines.wire.pull import PullContext, WirePull
from pullbench.engines.wire.server_names import ServerNames
from pullbench.errors import IncompleteError
from pullbench.model.facts import EngineFacts
from pullbench.model.route import Route
from pullbench.model.spec import EngineEntry
from pullbench.registry.keychain import Keychain
from pullbench.registry.trust import public_roots

MOST_PULLS = 4096
"""The limit for multiplexers, far above the pulls of a trial; a pull beyond it would wait for another's end."""
MOST_IN_LIBCURL = 128
"""The limit for exchanges with one libcurl thread each. Beyond it the threads wait for the interpreter's lock, not for the
registry, and late pulls would time out for that reason. So a few multiplexers make all exchanges."""
_OF_THE_REST = 128
"""Files outside the exchanges: results, logs, files that are already open."""
_EACH = 4
"""Wanted per connection if the system allows it: for kept connections to other hosts."""
OF_A_HANDLE = 2
"""Files that libcurl opens for a handle that performs by itself, in addition to its connection: its wake-up pair."""
OF_A_MULTIPLEXER = 5
"""A multiplexer's selector, pipe, and libcurl's wake-up pair."""


@dataclass(slots=True)
class _WireTrial:
    """The resources of one trial, released at its end."""

    folder: Path
    lock: int
    """The directory's lock: `pullbench clean` removes directories without a lock."""
    executor: ThreadPoolExecutor | None = None
    drivers: ThreadPoolExecutor | None = None
    """Threads of multiplexers, if these make the exchanges."""
    crowd: int = 1
    """Concurrent exchanges of all pulls together."""
    trusts: dict[str | None, Trust] = field(default_factory=dict)
    clients: dict[tuple[str, str], WireClient] = field(default_factory=dict)
    """Kept clients, by registry and proxy."""


class WireEngine:
    """Pulls over libcurl with `layer_concurrency` threads per pull. Stores nothing, so every pull is cold."""

    kind = "wire"

    def __init__(self, entry: EngineEntry, *, keychain: Keychain, clock: Clock) -> None:
        self.name = entry.name
        self._entry = entry
        self._keychain = keychain
        self._clock = clock
        self._numbers = count()
        self._names = ServerNames()
        self._trial: _WireTrial | None = None
        self._cancelled = False

    def facts(self) -> EngineFacts:
        return EngineFacts(name=self.name, kind=self.kind, version=pycurl.version)

    def open_trial(self, setup: TrialSetup) -> None:
        """Start the threads, read credentials, create the directory; not timed.

        Raises UsageError if credentials cannot be read, IncompleteError if the system allows too few connections.
        """
        self.close_trial()
        pulls, workers = min(setup.concurrency, len(setup.requests)), self._workers(setup)
        routes = {_key(request.route): request.route for request in setup.requests}
        crowd, is_http2 = max(1, pulls * workers), self._entry.http_version == "2"
        shared = multiplexers = 0
        if is_http2 or crowd > MOST_IN_LIBCURL:
            each_its_own = is_http2 or any(each.auth == "per-pull" for each in setup.requests)
            shared = 0 if each_its_own else usable_cores()
            multiplexers = shared * len(routes) or pulls
        beside = files_beside(crowd, multiplexers=multiplexers, to_disk=self._entry.sink == "disk")
        allow_connections(pulls if is_http2 else pulls * workers, beside=beside, engine=self.name)
        folder, lock = owned_folder("wire-")
        self._trial = trial = _WireTrial(folder=folder, lock=lock, crowd=crowd)
        trial.drivers = _started(multiplexers, most=MOST_PULLS)
        for key, route in routes.items():
            if route.ca_file not in trial.trusts:
                trial.trusts[route.ca_file] = _trust(route.ca_file, trial.folder / f"roots-{len(trial.trusts)}.pem")
            trial.clients[key] = self._client(route, trial, shared)
        trial.executor = _started(pulls * (workers - 1))

    def pull(self, request: PullRequest) -> PullOutcome:
        """Pull one image; `open_trial` must have had its route."""
        trial = self._trial
        if trial is None:
            raise RuntimeError("pull() before open_trial()")
        context = PullContext(
            clock=self._clock,
            workers=self._entry.layer_concurrency,
            executor=trial.executor,
            chunk_bytes=self._entry.chunk_bytes,
            new_path=(lambda: trial.folder / str(next(self._numbers))) if self._entry.sink == "disk" else None,
            cancelled=lambda: self._cancelled,
        )
        if request.auth == "persisted":
            return WirePull(request, trial.clients[_key(request.route)], context).run()
        client = self._client(request.route, trial)
        try:
            return WirePull(request, client, context).run()
        finally:
            client.close()

    def close_trial(self) -> None:
        """Close connections and threads, and remove written files."""
        trial, self._trial = self._trial, None
        if trial is None:
            return
        if trial.executor is not None:
            trial.executor.shutdown()
        for client in trial.clients.values():
            client.close()
        if trial.drivers is not None:
            trial.drivers.shutdown()
        shutil.rmtree(trial.folder, ignore_errors=True)
        os.close(trial.lock)

    def cancel(self) -> None:
        """End running pulls within about a second, as `cancelled`; permanently. Safe in a signal handler."""
        self._cancelled = True

    def close(self) -> None:
        """Release the resources of an open trial."""
        self.close_trial()

    def _workers(self, setup: TrialSetup) -> int:
        """The number of concurrent blobs per pull."""
        most = self._entry.layer_concurrency
        if self._entry.chunk_bytes is not None or any(request.bases for request in setup.requests):
            return most
        return min(most, max((len(request.expected.manifest.blobs) for request in setup.requests), default=0))

    def _client(self, route: Route, trial: _WireTrial, shared: int = 0) -> WireClient:
        credentials = self._keychain.login(route)
        return WireClient(
            route,
            self._entry,
            credentials=credentials,
            logins=self._keychain.logins,
            forward_login=self._keychain.forward_login(route),
            trust=trial.trusts[route.ca_file],
            names=self._names,
            clock=self._clock,
            drivers=trial.drivers,
            shared=shared,
            crowd=trial.crowd,
        )


def _key(route: Route) -> tuple[str, str]:
    return route.registry, route.proxy


def _trust(ca_file: str | None, bundle: Path) -> Trust:
    """For the registry, only the named CA; for hosts that the registry redirects to, the CA and the public roots."""
    public = public_roots()
    if ca_file is None:
        return Trust(endpoint_file=public, elsewhere_file=public)
    try:
        bundle.write_bytes(Path(public).read_bytes() + b"\n" + Path(ca_file).read_bytes())
    except OSError:
        return Trust(endpoint_file=ca_file, elsewhere_file=public)  # libcurl reports a file that it cannot read
    return Trust(endpoint_file=ca_file, elsewhere_file=str(bundle))


def _started(threads: int, most: int = 0) -> ThreadPoolExecutor | None:
    """An executor with running threads, so that none is started inside the clock. None if no thread is needed.

    It starts more threads than `threads` on demand, up to `most`.
    """
    if threads < 1:
        return None
    executor = ThreadPoolExecutor(max_workers=max(threads, most), thread_name_prefix="wire")
    everyone = threading.Barrier(threads + 1)
    begun = [executor.submit(everyone.wait) for _ in range(threads)]
    everyone.wait()
    wait(begun)  # a thread that has not returned counts as busy, and the next task would start another
    return executor


# Open files. Each connection is one. If the system denies a socket, libcurl reports a refused connection, which would blame
# the registry. So the trial's needs are checked before it starts.


def files_beside(exchanges: int, *, multiplexers: int, to_disk: bool) -> int:
    """Files that this many concurrent exchanges need in addition to their connections; without multiplexers each has a handle."""
    drivers = OF_A_MULTIPLEXER * multiplexers if multiplexers else OF_A_HANDLE * exchanges
    return drivers + (exchanges if to_disk else 0)


def allow_connections(connections: int, *, engine: str, beside: int = 0) -> None:
    """Raise this process's limit of open files, permanently, for this many connections and the files `beside` them.

    Raises IncompleteError if the system's limit is too low.
    """
    needed = connections + beside + _OF_THE_REST
    most = _raised(needed, wanted=needed + (_EACH - 1) * connections)
    if most < needed:
        raise IncompleteError(
            f"engine '{engine}': {connections:,} concurrent connections (concurrency × layer_concurrency) need {needed:,} open "
            f"files, but the limit is {most:,}; raise the limit (ulimit -Hn), or lower one of the two"
        )


def _raised(needed: int, *, wanted: int) -> int:
    """The limit after raising it to the wanted number, else to the needed one, if the system allows it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    now, most = _number(soft), _number(hard)
    for limit in (min(wanted, most), needed):
        if now < limit <= most:
            with suppress(OSError, ValueError):  # macOS refuses more than its kernel's limit, whatever it reported
                resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
                return limit
    return min(now, most)


def _number(limit: int) -> int:
    return 2**31 if limit == resource.RLIM_INFINITY else limit
