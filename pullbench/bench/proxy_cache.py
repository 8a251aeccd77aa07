"""Puts a mirror's store in the required state before a trial, and verifies it afterwards. Nothing of this is timed.

Evidence is, in this order: the bytes that left the upstream (the registry's `counters`), the headers of the trial's own
transfers, and the headers of a probe. Without evidence, the trial's value is null.
"""

import contextlib
import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from pullbench.bench.cold_push import Batch, ColdPush
from pullbench.engines.base import Clock, PullRequest, TrialSetup
from pullbench.engines.catalog import make_engine
from pullbench.engines.command.process import Command, Ended, run
from pullbench.engines.wire.record import server_text
from pullbench.errors import ErrorCode, IncompleteError, PullbenchError, RegistryError
from pullbench.model.cache_evidence import Sighting, found_by_headers, found_by_probe, found_by_upstream
from pullbench.model.capability import CAPABILITIES
from pullbench.model.cold_cache import ColdCache
from pullbench.model.facts import Facts
from pullbench.model.plan import Trial, push_route
from pullbench.model.record import ProxyCacheFound, Transfer, TrialResult
from pullbench.model.route import Route
from pullbench.model.spec import EngineEntry, Spec
from pullbench.model.text import clean
from pullbench.registry.answer import Answer
from pullbench.registry.client import RegistryClient
from pullbench.registry.keychain import Keychain
from pullbench.registry.products.distribution import served_blob_bytes
from pullbench.store.ledger import PushedImages

MOST_LAYERS = 20
"""The number of largest layers of a trial to probe."""
_CONNECT_S, _READ_S = 5.0, 10.0


class Probe:
    """Sends requests on its own connection; failures are left out, because a probe is no measurement."""

    def __init__(self, keychain: Keychain, clock: Clock) -> None:
        self._keychain = keychain
        self._clock = clock

    def endpoint(self, route: Route) -> tuple[Sighting, ...]:
        """Who answers `/v2/`; this touches no content."""
        return self._ask(route, [("GET", "/v2/", None)])

    def layers(self, route: Route, requests: Sequence[PullRequest]) -> tuple[Sighting, ...]:
        """Who answers for the trial's layers, the largest first."""
        found = {
            layer.digest: (layer.size_bytes, route.repository(request.reference))
            for request in requests
            for layer in request.expected.manifest.layers
        }
        largest = sorted(found, key=lambda digest: -found[digest][0])[:MOST_LAYERS]
        asked = [("HEAD", f"/v2/{found[digest][1]}/blobs/{digest}", found[digest][1]) for digest in largest]
        return self._ask(route, asked)

    def _ask(self, route: Route, asked: Sequence[tuple[str, str, str | None]]) -> tuple[Sighting, ...]:
        seen: list[Sighting] = []
        client = partial(RegistryClient, route, self._keychain, connect_timeout_s=_CONNECT_S, read_timeout_s=_READ_S)
        # After one failure the next requests would fail too; unreadable credentials fail the pulls themselves.
        with contextlib.suppress(PullbenchError), client() as asking:
            for method, path, repository in asked:
                seen += self._see(asking.ask(method, path, repository=repository, limit_bytes=64 * 1024))
        return tuple(seen)

    def _see(self, answer: Answer) -> list[Sighting]:
        if answer.address is None:
            return []
        return [Sighting(served_by=server_text(answer.address, answer.headers), at_s=self._clock.monotonic())]


def served_by_text(before: Sequence[Sighting], after: Sequence[Sighting]) -> str | None:
    """The column `served_by` for a probed route, marked as probed; None without an answer."""
    parts = [f"{when} {seen[0].served_by}" for when, seen in (("before:", before), ("after:", after)) if seen]
    return f"probe {'; '.join(parts)}" if parts else None


_MAX_OUTPUT = 300
_SECRET_NAME = re.compile(r"PASS|TOKEN|SECRET|KEY|CREDENTIAL", re.IGNORECASE)
_SECRETS = (
    (re.compile(r"[^\s/@]+@"), "…@"),  # user:password@host
    (re.compile(r"(?i)((?:bearer|basic)\s+)\S+"), r"\1…"),
    (re.compile(r"(?i)((?:password|token|secret|key)\S*?[=:]\s*)\S+"), r"\1…"),
    (re.compile(r"\?\S+"), "?…"),  # a signed URL
)


def reset_proxy(proxy: str, cold: ColdCache, *, environ: Mapping[str, str], clock: Clock) -> None:
    """Run the reset command; none of its processes remains, whatever stops it.

    Raises IncompleteError if it cannot be started, fails, or takes too long: the mirror would not be cold.
    """
    arguments = tuple(cold.reset or ())
    where = f"proxies '{proxy}' cold.reset ({arguments[0]})"
    try:
        ended = run(
            Command(arguments=arguments, environment=environ),
            clock=clock,
            deadline=clock.monotonic() + cold.timeout_s,
        )
    except OSError as error:
        raise IncompleteError(f"{where}: cannot start: {error.strerror}; {_NEXT}") from error
    if ended.stopped is ErrorCode.TIMEOUT:
        raise IncompleteError(
            f"{where}: not finished after {cold.timeout_s:g} s; raise its `timeout_s`, or fix it: {_NEXT}"
        )
    if ended.returncode != 0:
        raise IncompleteError(f"{where}: exited with {ended.returncode}{_output(ended, environ)}; {_NEXT}")


_NEXT = "run it by hand until it exits with 0, then continue with --resume"


def _output(ended: Ended, environ: Mapping[str, str]) -> str:
    """The end of its output, without known secrets."""
    text = ended.stderr.strip() or ended.stdout.strip()
    for name, value in environ.items():
        if len(value) >= 4 and _SECRET_NAME.search(name):
            text = text.replace(value, "…")
    for pattern, shown in _SECRETS:
        text = pattern.sub(shown, text)
    text = clean(text, len(text))
    return f": {'…' if len(text) > _MAX_OUTPUT else ''}{text[-_MAX_OUTPUT:]}" if text else ""


_SETTLE_S, _SETTLES = 0.1, 30
"""A mirror may still be fetching, and a counter may lag."""
_QUIET_S = 0.3
"""An upstream that is silent for this long serves no one else; otherwise a trial's bytes cannot be attributed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A trial whose mirror is ready: the requests, and the observations just before."""

    requests: tuple[PullRequest, ...]
    setup_s: float
    started_s: float
    before: tuple[Sighting, ...] = ()
    served_bytes: int | None = None
    """Bytes that the upstream has served so far."""
    batch: Batch | None = None
    setup_bytes: int = 0
    """Bytes pushed to the upstream, or pulled to warm the mirror."""


class ProxyCache:
    """The mirrors of one session."""

    def __init__(
        self, spec: Spec, *, keychain: Keychain, clock: Clock, environ: Mapping[str, str], pushed: PushedImages
    ) -> None:
        self._spec = spec
        self._keychain = keychain
        self._clock = clock
        self._environ = environ
        self._push = ColdPush(keychain, pushed)
        self._probe = Probe(keychain, clock)

    def prepare(self, run_id: str, trial: Trial, requests: tuple[PullRequest, ...], facts: Facts) -> Ready:
        """Create the state that the configuration requires, then observe it without changing it.

        Raises RegistryError if the upstream refuses pushes, IncompleteError if the mirror cannot be prepared.
        """
        cell, route = trial.cell, requests[0].route
        from_s = self._clock.monotonic()
        batch, setup_bytes = None, 0
        if cell.proxy_cache == "warm":
            setup_bytes = self._warm(trial, requests)
        elif cell.proxy_cache == "cold":
            batch = self._cool(run_id, trial, requests, facts)
            setup_bytes = 0 if batch is None else batch.sent_bytes
        asked = requests if batch is None else batch.requests
        before: tuple[Sighting, ...] = ()
        if CAPABILITIES[cell.engine_kind].hides_server:
            warm = cell.proxy_cache == "warm"
            before = self._probe.layers(route, asked) if warm else self._probe.endpoint(route)
        served = self._quiet_bytes(trial)
        now_s = self._clock.monotonic()
        return Ready(
            requests=asked,
            setup_s=now_s - from_s,
            started_s=now_s,
            before=before,
            served_bytes=served,
            batch=batch,
            setup_bytes=setup_bytes,
        )

    def conclude(self, trial: Trial, ready: Ready, result: TrialResult) -> TrialResult:
        """The result with the mirror's observed state, and with the server if the engine does not report it."""
        succeeded = {pull.pull for pull in result.pulls if pull.ok}
        expected = _layer_bytes([request for request in ready.requests if request.pull in succeeded])
        served = self._served_since(trial, ready, expected)
        after: tuple[Sighting, ...] = ()
        if CAPABILITIES[trial.cell.engine_kind].hides_server:
            after = self._probe.layers(ready.requests[0].route, ready.requests)
        found, proof = None, None
        if _is_mirror(trial, self._spec):
            before = ready.before if trial.cell.proxy_cache == "warm" else ()
            shown: tuple[tuple[str, ProxyCacheFound | None], ...] = (
                ("upstream bytes", None if served is None else found_by_upstream(served, expected)),
                ("headers", found_by_headers(result.transfers)),
                ("probe", found_by_probe(before, after, ready.started_s)),
            )
            proof, found = next(((how, what) for how, what in shown if what is not None), (None, None))
        probed = served_by_text(ready.before, after)
        return dataclasses.replace(
            result,
            record=dataclasses.replace(
                result.record,
                setup_s=result.record.setup_s + ready.setup_s,
                proxy_cache_found=found,
                proxy_cache_proof=proof,
            ),
            pulls=tuple(dataclasses.replace(pull, served_by=pull.served_by or probed) for pull in result.pulls),
            setup_bytes=result.setup_bytes + ready.setup_bytes,
        )

    def tidy(self, run_id: str, trial: Trial, ready: Ready) -> None:
        """Delete the pushed images, if the registry supports it; the others are recorded."""
        if ready.batch is not None:
            self._push.take_back(run_id, trial, ready.batch)

    def _cool(self, run_id: str, trial: Trial, requests: tuple[PullRequest, ...], facts: Facts) -> Batch | None:
        proxy = next(entry for entry in self._spec.proxies if entry.name == trial.cell.proxy)
        assert proxy.cold is not None  # otherwise the configuration is excluded
        if proxy.cold.push is None:
            reset_proxy(proxy.name, proxy.cold, environ=self._environ, clock=self._clock)
            return None
        return self._push.push(run_id, trial, requests, facts, push_route(self._spec, proxy), proxy.cold.push)

    def _warm(self, trial: Trial, requests: Sequence[PullRequest]) -> int:
        """Pull each image once, and again unless that showed that the mirror has everything: it may store content
        later than it passes it on. Returns the downloaded bytes.
        """
        once = tuple({request.image: dataclasses.replace(request, retries=2) for request in requests}.values())
        before = self._served_bytes(trial)
        transfers = self._pull(trial, once)
        after = self._served_bytes(trial)
        settled = found_by_headers(transfers) == "warm" if before is None or after is None else after == before
        if not settled:
            transfers += self._pull(trial, once)
            self._settle(trial)
        return sum(row.bytes or 0 for row in transfers if row.kind in ("config", "layer"))

    def _pull(self, trial: Trial, requests: tuple[PullRequest, ...]) -> list[Transfer]:
        own = self._spec.engine(trial.cell.engine)
        entry = own if own.kind == "wire" else EngineEntry(name="wire", kind="wire")
        engine = make_engine(entry, keychain=self._keychain, clock=self._clock)
        transfers: list[Transfer] = []
        try:
            engine.open_trial(
                TrialSetup(
                    trial=trial.number,
                    concurrency=1,
                    cache="cold",
                    cache_reset=self._spec.cache_reset,
                    requests=requests,
                    before_pulls=lambda _: None,
                )
            )
            for request in requests:
                outcome = engine.pull(request)
                transfers += outcome.transfers
                if not outcome.ok:
                    raise IncompleteError(
                        f"trial {trial.number} ({trial.cell}): cannot warm proxy '{trial.cell.proxy}' with "
                        f"{request.image}: [{outcome.error_code}] {outcome.error}; fix that, then continue with --resume"
                    )
        finally:
            engine.close()
        return transfers

    def _served_bytes(self, trial: Trial) -> int | None:
        """The bytes that the upstream has served so far; None if it does not report them, or they do not matter."""
        registry = next(entry for entry in self._spec.registries if entry.name == trial.cell.registry)
        if registry.counters is None or not _is_mirror(trial, self._spec):
            return None
        try:
            return served_blob_bytes(registry.counters, registry.ca_file)
        except RegistryError:
            return None  # unknown; the report says so

    def _served_since(self, trial: Trial, ready: Ready, expected: int) -> int | None:
        """The bytes since the trial began. For a cold trial, waits briefly for a lagging counter."""
        if ready.served_bytes is None:
            return None
        now = self._served_bytes(trial)
        for _ in range(_SETTLES if trial.cell.proxy_cache == "cold" else 0):
            if now is None or now - ready.served_bytes >= expected:
                break
            self._clock.sleep(_SETTLE_S)
            now = self._served_bytes(trial)
        self._settle(trial)  # late bytes must not count for the next trial
        return None if now is None else now - ready.served_bytes

    def _quiet_bytes(self, trial: Trial) -> int | None:
        """The bytes that the upstream has served so far; None if it keeps serving without a request of ours."""
        served = self._served_bytes(trial)
        if served is not None:
            self._clock.sleep(_QUIET_S)
        return served if self._served_bytes(trial) == served else None

    def _settle(self, trial: Trial) -> None:
        """Wait briefly until the mirror has finished fetching."""
        last = self._served_bytes(trial)
        for _ in range(_SETTLES if last is not None else 0):
            self._clock.sleep(_SETTLE_S)
            last, before = self._served_bytes(trial), last
            if last == before:
                return


def _is_mirror(trial: Trial, spec: Spec) -> bool:
    """Whether the state of a store can be observed: with a mirror, and an engine that pulls."""
    if CAPABILITIES[trial.cell.engine_kind].refusal("proxy_cache", "warm") is not None:
        return False
    return any(entry.name == trial.cell.proxy and entry.kind == "mirror" for entry in spec.proxies)


def _layer_bytes(requests: Sequence[PullRequest]) -> int:
    manifests = [request.expected.manifest for request in requests]
    manifests += [base.expected.manifest for request in requests for base in request.bases]
    layers = {layer.digest: layer.size_bytes for manifest in manifests for layer in manifest.layers}
    return sum(layers.values())
