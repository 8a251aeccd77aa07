"""What the user asks for: the benchmark spec, as a pydantic model whose JSON Schema ships for editors.

`read_spec(mapping)` is the way in: it raises UsageError with one line that names the key path.
"""

import difflib
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from typing import Annotated, Any, Literal, Self, get_args
from urllib.parse import urlsplit

from pydantic import ConfigDict, Field, ValidationError, model_validator

from pullbench.errors import UsageError
from pullbench.model.capability import (
    AuthMode,
    CacheState,
    EngineKind,
    ProxyCacheState,
    ProxyKind,
    engines_to_judge,
)
from pullbench.model.route import DIRECT
from pullbench.model.spec_fields import (
    AddressText,
    ChunkBytes,
    CountersUrl,
    Credentials,
    CredentialSource,
    ImageText,
    Name,
    PinnedHost,
    PlainHttpCredentials,
    PlatformText,
    ProductName,
    RepositoryText,
    SizeBytes,
    Strict,
    Url,
)


class EngineEntry(Strict):
    """A client that pulls, with its options."""

    name: Name
    kind: EngineKind
    layer_concurrency: int = Field(default=3, ge=1, le=64)
    """wire: layers of one pull fetched at once (Docker's max-concurrent-downloads)."""
    http_version: Literal["1.1", "2"] = "1.1"
    """wire: the version offered; what was used is stored."""
    sink: Literal["discard", "disk"] = "discard"
    """wire: where verified bytes go; disk counts writing and fsync."""
    chunk_bytes: ChunkBytes = None
    """wire: layers above this size come in parts of it, a Range request each, as many at once as `layer_concurrency`.
    The digest is verified over the whole, so up to layer_concurrency × chunk_bytes of a pull are held in memory.
    A server that refuses ranges sends the layer whole, and its transfer's `note` says so. Such as 32MiB; default: off."""
    strategy: Literal["all-at-once", "base-first"] = "all-at-once"
    """wire: base-first pulls `base_images` whole, and then what the image has more: a staged pull, all of it timed."""
    base_images: list[ImageText] = Field(default_factory=list, max_length=16)
    """wire: what base-first pulls first, by the same route; a tag is pinned to its digest once a run, untimed."""
    resolve: dict[PinnedHost, AddressText] = Field(default_factory=dict)
    """wire: HOST or HOST:PORT → the IP address to go to, whatever DNS says: a certain replica or CDN edge."""
    connect_timeout_s: float = Field(default=10.0, gt=0, le=300)
    """wire: to connect, TLS handshake included."""
    stall_timeout_s: float = Field(default=30.0, gt=0, le=3600)
    """wire: without a byte."""
    host: str | None = Field(default=None, pattern=r"^(unix|tcp|npipe|ssh)://.+")
    """docker: the daemon's socket, such as unix:///run/docker-2.sock."""
    script: list[float | str] = Field(default_factory=list)
    """fake: what each pull does in turn: seconds that it takes, or an error code."""

    @model_validator(mode="after")
    def _options_belong_to_the_kind(self) -> Self:
        if self.name in get_args(EngineKind) and self.name != self.kind:
            raise ValueError(f"'{self.name}' is the name of another kind than '{self.kind}'; give this engine another")
        for option, kind in _OPTION_OF.items():
            default = type(self).model_fields[option].get_default(call_default_factory=True)
            if kind != self.kind and getattr(self, option) != default:
                raise ValueError(f"`{option}` belongs to an engine of kind {kind}, not {self.kind}")
        return self

    @model_validator(mode="after")
    def _base_first_has_a_base(self) -> Self:
        if self.strategy == "base-first" and not self.base_images:
            raise ValueError(
                "`strategy: base-first` needs `base_images`: what is pulled first, such as library/debian:12"
            )
        if self.strategy == "all-at-once" and self.base_images:
            raise ValueError("`base_images` are for `strategy: base-first`")
        return self

    def refuses_proxy(self, kind: ProxyKind, url: str) -> str | None:
        """Why what is pinned here would do nothing behind a proxy; None where it does what it says."""
        own = (urlsplit(url).netloc.lower(), (urlsplit(url).hostname or "").lower())
        if kind == "forward" and any(host not in own for host in self.resolve):
            return (
                "a forward proxy looks names up by itself, whatever `resolve` says here: pin them where the proxy runs"
            )
        return None


@cache
def default_engine(kind: str) -> EngineEntry:
    """The engine that a kind's bare name means; pydantic's ValidationError where it is no kind."""
    return EngineEntry.model_validate({"name": kind, "kind": kind})


_OPTION_OF: dict[str, EngineKind] = {
    "layer_concurrency": "wire",
    "http_version": "wire",
    "sink": "wire",
    "chunk_bytes": "wire",
    "strategy": "wire",
    "base_images": "wire",
    "resolve": "wire",
    "connect_timeout_s": "wire",
    "stall_timeout_s": "wire",
    "host": "docker",
    "script": "fake",
}


class ColdCache(Strict):
    """How a trial finds a mirror cold: by images that it has never seen, or by a command that empties it."""

    push: RepositoryText | None = None
    """A repository at the mirror's upstream, such as pullbench/cold, into which a run may push: before each cold trial
    synthetic images that nobody has seen, with as many layers of the same sizes as the spec's. They are deleted again
    where the registry allows that; a run says what it left."""
    credentials: Credentials | None = None
    """Of one who may push there; default: the upstream's."""
    reset: list[Annotated[str, Field(min_length=1)]] | None = Field(default=None, min_length=1)
    """A command and its arguments, run without a shell before each cold trial; it has emptied the mirror when it ends
    with 0. A program with a slash in its name is looked for beside the spec."""
    timeout_s: float = Field(default=60.0, gt=0, le=3600)
    """How long `reset` may take."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.push is None) == (self.reset is None):
            raise ValueError(
                "give one way: `push: REPOSITORY` (synthetic images, pushed upstream) or `reset: [COMMAND, ARGUMENT]`"
            )
        if self.push is None and self.credentials is not None:
            raise ValueError("`credentials` are for `push`")
        if self.reset is None and "timeout_s" in self.model_fields_set:
            raise ValueError("`timeout_s` is for `reset`")
        return self


class ProxyEntry(Strict):
    """A way to reach a registry: a pull-through mirror, or a forward HTTP proxy."""

    name: Name
    kind: ProxyKind
    url: Url
    upstream: Name | None = None
    """The registry that a mirror mirrors; a forward proxy without one serves every registry."""
    prefix: str = Field(default="", pattern=r"^[a-z0-9._/-]*$")
    """What the mirror puts before the repository's name, such as a Harbor proxy project."""
    credentials: CredentialSource = "docker"
    """Where they are kept: docker (config.json, helpers), env:PREFIX, block:NAME, anonymous. A forward proxy's are a user
    name and a password from env:PREFIX or block:NAME; docker keeps logins to registries alone, so it means none there."""
    plain_http_credentials: PlainHttpCredentials = "refuse"
    """Whether they may go over plain http to another machine, where anybody on the way can read them: refuse or send."""
    ca_file: str | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    """Extra request headers, such as X-Dragonfly-Registry."""
    product: ProductName = "auto"
    """mirror: whose own API tells its storage: auto finds out by itself; none: do not ask."""
    product_url: Url | None = None
    """Where that API is, if not at `url`: scheme://host[:port] of Nexus's UI, which serves Docker at ports of their own."""
    cold: ColdCache | None = None
    """How a mirror's store is made cold, for `proxy_cache: [cold]`."""

    @model_validator(mode="after")
    def _mirror_names_its_upstream(self) -> Self:
        if self.name == DIRECT:
            raise ValueError("'direct' is the name of no proxy; give this one another")
        if self.kind == "mirror" and self.upstream is None:
            raise ValueError("a mirror needs `upstream`: the name of the registry that it mirrors")
        if self.kind == "forward" and (self.prefix or self.headers or self.ca_file or self.cold):
            raise ValueError("`prefix`, `headers`, `ca_file` and `cold` belong to a mirror, not to a forward proxy")
        if self.kind == "forward" and (self.product_url or self.product != "auto"):
            raise ValueError("`product` and `product_url` belong to a mirror, not to a forward proxy")
        return self


RampKind = Literal["concurrency", "rate"]
LoadValue = Annotated[float, Field(gt=0, le=10_000)]
MOST_AT_ONCE = 1024


class Stress(Strict):
    """How `pullbench stress` raises the load until an SLO is missed, keeps it there, and lowers it again."""

    ramp: RampKind = "concurrency"
    """concurrency: pulls at once, each worker starting its next when its last ended (closed loop). rate: pulls a second,
    which arrive whatever the registry does (open loop); latency counts from the arrival."""
    steps: list[LoadValue] = Field(default=[1, 2, 4, 8, 16, 32, 64], min_length=1, max_length=100)
    """The loads on the way up, ascending: pulls at once, or pulls a second. The last is the top."""
    trials: int = Field(default=3, ge=3, le=100)
    """Trials of each step: the replicates behind its intervals, without which no mean can be shown to be missed."""
    pulls_per_worker: int = Field(default=3, ge=1, le=1000)
    """concurrency: pulls that each worker makes in a trial, rounded up so that every image is pulled equally often."""
    trial_s: float = Field(default=10.0, gt=0, le=3600)
    """rate: for how long pulls arrive in a trial."""
    in_flight: int = Field(default=64, ge=1, le=MOST_AT_ONCE)
    """rate: the most pulls under way at once; what arrives beyond it waits in the client, and that counts."""
    hold: int = Field(default=3, ge=0, le=1000)
    """Trials at the highest load reached, before the way down: does it get worse if it lasts? 0 leaves it out."""
    down: list[LoadValue] | None = Field(default=None, max_length=100)
    """The loads on the way down, descending, of which those under the highest load reached are taken. Default: the steps of
    the way up in reverse. [] leaves the way down out, and with it recovery."""
    at_client_limit: Literal["stop", "continue"] = "stop"
    """What to do where this client, not the registry, is the limit: stop there, or raise the load further. The report says
    from which load on the client was the limit."""

    @model_validator(mode="after")
    def _loads_go_one_way(self) -> Self:
        if any(first >= second for first, second in pairwise(self.steps)):
            raise ValueError("`steps` must ascend, such as [1, 2, 4, 8]")
        if any(first <= second for first, second in pairwise(self.down or [])):
            raise ValueError("`down` must descend, such as [8, 4, 1]")
        if self.ramp == "concurrency":
            for load in (*self.steps, *(self.down or [])):
                if load != int(load) or load > MOST_AT_ONCE:
                    raise ValueError(f"{load:g} is no number of pulls at once: whole, and at most {MOST_AT_ONCE}")
        return self


class StressOverrides(Strict):
    """What the Prefect form may change of a stress test; what is left empty stays as the spec says."""

    engine: str | None = Field(default=None, title="Engine")
    """One of the spec's engines, or wire, docker, podman, skopeo, containerd"""
    registry: str | None = Field(default=None, title="Registry")
    """One of the spec's registries"""
    proxy: str | None = Field(default=None, title="Proxy")
    """One of the spec's proxies, or direct"""
    platform: str | None = Field(default=None, title="Platform")
    """Such as linux/amd64"""
    ramp: RampKind | None = Field(default=None, title="Ramp")
    """What is raised: pulls at once, or pulls a second"""
    steps: list[float] = Field(default=[], title="Steps")
    """The loads on the way up, such as 1, 2, 4, 8, 16"""
    hold: int | None = Field(default=None, ge=0, le=1000, title="Hold")
    """Trials at the highest load reached"""

    def apply(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """The spec's mapping with what is given here in place of its own; a section that is none stays, to be refused."""
        matrix, stress = data.get("matrix") or {}, data.get("stress") or {}
        if not isinstance(matrix, Mapping) or not isinstance(stress, Mapping):
            return dict(data)
        factors = {"engine": "engines", "registry": "registries", "proxy": "proxies", "platform": "platforms"}
        given = {key: value for key, value in self.model_dump().items() if value not in ([], None)}
        chosen = {plural: [given.pop(single)] for single, plural in factors.items() if single in given}
        return {**data, "matrix": {**matrix, **chosen}, "stress": {**stress, **given}}


class RegistryEntry(Strict):
    """A registry under test."""

    name: Name
    url: Url
    """scheme://host[:port]"""
    region: str = Field(default="", max_length=63)
    """Where it stands; a label."""
    credentials: Credentials = "docker"
    plain_http_credentials: PlainHttpCredentials = "refuse"
    """Whether they may go over plain http to another machine, where anybody on the way can read them: refuse or send."""
    ca_file: str | None = None
    """PEM file of the CA that signed its certificate; relative to the spec."""
    product: ProductName = "auto"
    """Whose own API tells its storage: auto finds out by itself; none: do not ask."""
    product_url: Url | None = None
    """Where that API is, if not at `url`: scheme://host[:port] of Nexus's UI, which serves Docker at ports of their own."""
    counters: CountersUrl | None = None
    """Where it tells how many bytes of blobs it has served, to prove what a mirror fetched from it: the Prometheus page of
    CNCF distribution (http://HOST:PORT/metrics). It counts every client, so let no other pull meanwhile."""


class Matrix(Strict):
    """The factors; every combination is a cell."""

    engines: list[Name] = Field(default=["wire"], min_length=1)
    """Names of `engines`, or a kind's bare name for its defaults."""
    registries: list[Name] | None = Field(default=None, min_length=1)
    """Default: all."""
    proxies: list[Name] = Field(default=[DIRECT], min_length=1)
    """`direct` is always there."""
    platforms: list[PlatformText] | None = Field(default=None, min_length=1)
    """Default: this machine's."""
    concurrency: list[Annotated[int, Field(ge=1, le=1024)]] = Field(default=[1], min_length=1)
    """Pulls at once."""
    cache: list[CacheState] = Field(default=["cold"], min_length=1)
    """The client's store before a pull."""
    proxy_cache: list[ProxyCacheState] = Field(default=["any"], min_length=1)
    """A mirror's store before a trial. any: as it is; cold: without the images, by what the mirror's `cold` says; warm: with
    them, for each was pulled through it in set-up."""
    auth: list[AuthMode] = Field(default=["persisted"], min_length=1)
    """persisted: token and connections are kept between pulls; per-pull: fresh ones."""


class Load(Strict):
    """How pulls are offered."""

    mode: Literal["closed", "open"] = "closed"
    """closed: each worker starts its next pull when its last ended. open: pulls arrive at a rate, whatever the registry
    does; latency counts from the intended start, and a cell's concurrency is the most that may be under way."""
    rate: Annotated[float | None, Field(gt=0, le=10_000)] = None
    """open: pulls a second."""
    arrivals: Literal["poisson", "uniform"] = "poisson"
    """open: as independent users arrive, or evenly."""

    @model_validator(mode="after")
    def _rate_belongs_to_open(self) -> Self:
        if self.mode == "open" and self.rate is None:
            raise ValueError("an open loop needs `rate`: pulls a second")
        if self.mode == "closed" and self.rate is not None:
            raise ValueError("`rate` belongs to an open loop: add `mode: open`")
        return self


class Budget(Strict):
    """The run stops after the trial that reaches one of these; what was measured is stored (exit 3)."""

    bytes: SizeBytes = None
    """A number, or a size such as 50GB: of what is pulled, and of what set-up pushes and pulls to make caches cold or warm."""
    manifest_requests: Annotated[int | None, Field(ge=1)] = None
    minutes: Annotated[float | None, Field(gt=0)] = None
    server_errors: Annotated[int | None, Field(ge=1)] = None
    """Pulls in a row that a failing or overloaded registry answered with 5xx or 429: stop before it gets worse."""


class Slo(Strict):
    """The service level to reach. Each SLO that is set is scored per engine: met, missed, or inconclusive."""

    success_rate: Annotated[float | None, Field(gt=0, le=1)] = None
    """The least share of pulls that succeed, such as 0.999."""
    mean_pull_s: Annotated[float | None, Field(gt=0)] = None
    """The longest mean pull time, in seconds."""
    p50_pull_s: Annotated[float | None, Field(gt=0)] = None
    """The longest median pull time, in seconds."""
    p95_pull_s: Annotated[float | None, Field(gt=0)] = None
    """The longest 95th percentile of pull times, in seconds; to meet it takes at least 72 pulls."""
    p99_pull_s: Annotated[float | None, Field(gt=0)] = None
    """The longest 99th percentile of pull times, in seconds; to meet it takes at least 368 pulls."""
    p99_api_s: Annotated[float | None, Field(gt=0)] = None
    """The longest 99th percentile of the API's answers (tokens and manifests), in seconds. The preflight check `latency`
    uses it too."""
    consecutive_failures: Annotated[int | None, Field(ge=1)] = None
    """Fewer pulls than this may fail one after the other."""
    engines: Annotated[list[Name] | None, Field(min_length=1)] = None
    """Engines of the matrix whose pulls are scored. Default: those that unpack images (docker, podman, containerd), else
    all of the matrix. `p99_api_s` is scored for every engine that reports API answers."""
    per_configuration: bool = False
    """Also score each configuration of these engines; one that misses an SLO is a miss of the run."""

    @property
    def targets(self) -> dict[str, float]:
        """The SLOs that are set, by name."""
        return slo_targets(self.model_dump())


SLO_NAMES = tuple(name for name in Slo.model_fields if name not in ("engines", "per_configuration"))


def slo_targets(slo: Mapping[str, Any] | None) -> dict[str, float]:
    """Of a spec's `slo` as stored: the SLOs that are set, by name; none where it is not configured."""
    return {name: target for name in SLO_NAMES if (target := (slo or {}).get(name)) is not None}


class Spec(Strict):
    """A benchmark: what is pulled, from where, by what, under which settings, how often."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, title="pullbench spec")

    name: Name
    labels: dict[Name, str] = Field(default_factory=dict)
    """Kept with the run; a baseline is found by them."""
    registries: list[RegistryEntry] = Field(min_length=1)
    proxies: list[ProxyEntry] = Field(default_factory=list)
    engines: list[EngineEntry] = Field(default_factory=list)
    images: list[ImageText] = Field(min_length=1)
    """repository[:tag][@digest], without a host."""
    matrix: Matrix = Matrix()
    repetitions: int = Field(default=5, ge=1, le=10_000)
    """Blocks: passes over all cells; the replicates of the statistics."""
    warmup: int = Field(default=1, ge=0, le=100)
    """Blocks run first and stored, but in no statistic."""
    pulls_per_trial: int | None = Field(default=None, ge=1, le=100_000)
    """Cycles through the images. Default: the greater of the number of images and the highest concurrency."""
    load: Load = Load()
    timeout_s: float = Field(default=300.0, gt=0, le=86_400)
    """One pull, all its attempts."""
    retries: int = Field(default=0, ge=0, le=20)
    cache_reset: Literal["own", "remove"] = "own"
    """own: only images that a run brought are removed; remove: any image under test."""
    budget: Budget = Budget()
    seed: int = Field(default=1, ge=0, lt=2**63)
    slo: Slo | None = None
    """The service level to reach. Absent: not configured, and nothing is judged."""
    stress: Stress | None = None
    """What `pullbench stress` does; `pullbench run` does not look at it."""
    dockerfiles: list[Annotated[str, Field(min_length=1)]] = Field(default_factory=list)
    """Globs of Dockerfiles that preflight lints with hadolint, such as services/**/Dockerfile; relative to the spec."""
    dockerfile_threshold: Literal["error", "warning", "info", "style"] = "error"
    """The severity of hadolint from which on a Dockerfile fails preflight."""

    @model_validator(mode="after")
    def _names_exist_and_are_unique(self) -> Self:
        registries = _unique("registries", [entry.name for entry in self.registries])
        proxies = [DIRECT, *_unique("proxies", [entry.name for entry in self.proxies])]
        engines = _unique("engines", [entry.name for entry in self.engines])
        _unique("images", self.images)
        _unique("dockerfiles", self.dockerfiles)
        for index, proxy in enumerate(self.proxies):
            if proxy.upstream is not None:
                _known(f"proxies[{index}].upstream", proxy.upstream, registries)
        for factor, known in (
            ("engines", [*engines, *get_args(EngineKind)]),
            ("proxies", proxies),
            ("registries", registries),
        ):
            for index, name in enumerate(getattr(self.matrix, factor) or []):
                _known(f"matrix.{factor}[{index}]", name, known)
        _unique("slo.engines", self.slo_engines)
        for index, name in enumerate(self.slo_engines):
            _known(f"slo.engines[{index}]", name, self.matrix.engines, "an engine of the matrix")
        for factor in type(self.matrix).model_fields:
            _unique(f"matrix.{factor}", getattr(self.matrix, factor) or [])
        return self

    def engine(self, name: str) -> EngineEntry:
        """The entry of that name; a kind's bare name means its defaults."""
        return next((entry for entry in self.engines if entry.name == name), None) or default_engine(name)

    @property
    def targets(self) -> dict[str, float]:
        """The SLOs that are set, by name; none where `slo` is not configured."""
        return {} if self.slo is None else self.slo.targets

    @property
    def slo_engines(self) -> list[str]:
        """The engines whose pulls are scored: those of `slo.engines`, else those that unpack, else all of the matrix."""
        if self.slo is not None and self.slo.engines is not None:
            return self.slo.engines
        return engines_to_judge({name: self.engine(name).kind for name in self.matrix.engines})

    @property
    def every_image(self) -> tuple[str, ...]:
        """The images, and what engines of the matrix pull before them (`base_images`); each once."""
        bases = (image for name in self.matrix.engines for image in self.engine(name).base_images)
        return tuple(dict.fromkeys((*self.images, *bases)))

    def hash(self) -> str:
        """SHA-256 over the canonical JSON: equal for specs that measure the same.

        The budget is not in it, so that a run that reached it can be resumed with a greater one; nor is what preflight
        alone reads, nor whether credentials may go in clear.
        """
        left_out = {"budget", "dockerfiles", "dockerfile_threshold", *(["stress"] if self.stress is None else [])}
        measured = self.model_dump(mode="json", exclude=left_out)
        if self.stress is not None and self.stress.at_client_limit == "stop":
            del measured["stress"]["at_client_limit"]  # stress tests from before this key keep their hash
        for way in (*measured["registries"], *measured["proxies"]):
            del way["plain_http_credentials"]
        canonical = json.dumps(measured, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def redacted(self) -> dict[str, Any]:
        """The spec as JSON data for storing: header values and arguments of commands are not kept,
        for they may be secrets.
        """
        document = self.model_dump(mode="json")
        for proxy in document["proxies"]:
            proxy["headers"] = dict.fromkeys(proxy["headers"], "(redacted)")
            if proxy["cold"] is not None and proxy["cold"]["reset"]:
                proxy["cold"]["reset"][1:] = ["(redacted)"] * (len(proxy["cold"]["reset"]) - 1)
        return document


class Overrides(Strict):
    """What the Prefect form may change of a spec's factors; an empty list leaves the spec's own."""

    engines: list[str] = Field(default=[], title="Engines")
    """Names of the spec's engines, or wire, docker, podman, skopeo, containerd, fake"""
    registries: list[str] = Field(default=[], title="Registries")
    """Names of the spec's registries"""
    proxies: list[str] = Field(default=[], title="Proxies")
    """Names of the spec's proxies, or direct"""
    platforms: list[str] = Field(default=[], title="Platforms")
    """Such as linux/amd64"""
    concurrency: list[Annotated[int, Field(ge=1, le=1024)]] = Field(default=[], title="Concurrency")
    """Pulls at once, such as 1, 2, 4, 8; at most 1024"""
    cache: list[CacheState] = Field(default=[], title="Cache")
    """The client's store before a pull"""
    repetitions: int | None = Field(default=None, ge=1, le=10_000, title="Repetitions")
    """Blocks; 5 or more for a verdict"""

    def apply(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """The spec's mapping with what is given here in place of its own; a matrix that is none stays, to be refused."""
        matrix = data.get("matrix") or {}
        if not isinstance(matrix, Mapping):
            return dict(data)
        given = {key: value for key, value in self.model_dump().items() if value not in ([], None)}
        top = {key: given.pop(key) for key in ("repetitions",) if key in given}
        return {**data, **top, "matrix": {**matrix, **given}}


_TOLD_AT_ONCE = 6


def read_spec(data: object) -> Spec:
    """Validate a mapping as it comes from YAML; raises UsageError: one line, the key path, what would be right."""
    if not isinstance(data, Mapping):
        raise UsageError("the spec is no mapping: it starts with `name:`, `registries:` and `images:`")
    try:
        return Spec.model_validate(data)
    except ValidationError as error:
        told = [_explain(entry) for entry in error.errors()]
        more = [f"and {len(told) - _TOLD_AT_ONCE} more"] if len(told) > _TOLD_AT_ONCE else []
        raise UsageError("; ".join([*told[:_TOLD_AT_ONCE], *more])) from error


def _explain(entry: Any) -> str:
    path = ""
    for part in entry["loc"]:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    message, given = str(entry["msg"]).removeprefix("Value error, "), entry.get("input")
    if entry["type"] == "extra_forbidden":
        message = _unknown_key(str(entry["loc"][-1]))
    elif entry["type"] == "missing":
        message = "missing"
    elif entry["type"] == "list_type":
        message = f"a list is expected: [{given}]" if isinstance(given, str | int | float) else "a list is expected"
    elif entry["type"] in ("int_parsing", "int_type", "int_from_float"):
        message = f"a whole number is expected, not {given!r}"
    elif entry["type"] == "string_type" and isinstance(given, int | float):
        message = "put the value in quotes: text is expected, and YAML reads it as something else"
    elif entry["type"] != "value_error" and isinstance(given, str | int | float):
        message = f"{message}, not {given!r}"
    elif message.startswith("is no ") and isinstance(given, str):
        message = f"'{given}' {message}"
    message = " ".join(message.split())
    return f"{path}: {message}" if path else message


def _unknown_key(key: str) -> str:
    if key.lower() in ("username", "user", "password", "token", "secret"):
        return (
            "secrets never stand in a spec: say in `credentials` where they are kept (docker, env:PREFIX, block:NAME)"
        )
    parts: dict[str, type[Strict]] = {"registries": RegistryEntry, "proxies": ProxyEntry, "a proxy's cold": ColdCache}
    parts |= {"engines": EngineEntry, "matrix": Matrix, "load": Load, "budget": Budget, "slo": Slo, "stress": Stress}
    parts |= {"the top": Spec}
    if there := [part for part, model in parts.items() if key in model.model_fields]:
        return f"unknown key here; it belongs to {' or '.join(there)}"
    known = sorted({name for model in parts.values() for name in model.model_fields})
    close = difflib.get_close_matches(key, known, n=1)
    return "unknown key; " + (f"did you mean '{close[0]}'?" if close else "specs/spec.schema.json lists what there is")


def _unique(path: str, names: list[Any]) -> list[Any]:
    for index, name in enumerate(names):
        if name in names[:index]:
            raise ValueError(f"{path}[{index}]: '{name}' is there twice")
    return names


def _known(path: str, name: str, known: list[str], what: str = "known") -> None:
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"there are: {', '.join(dict.fromkeys(known))}"
        raise ValueError(f"{path}: '{name}' is not {what}; {hint}")
