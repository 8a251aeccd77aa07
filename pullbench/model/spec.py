"""What the user asks for: the benchmark spec, as a pydantic model whose JSON Schema ships for editors.

`read_spec(mapping)` reads one: it raises UsageError with one line that names the key path.
"""

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from typing import Annotated, Any, Literal, Self, get_args
from urllib.parse import urlsplit

from pydantic import ConfigDict, Field, ValidationError, WithJsonSchema, model_validator

from pullbench.errors import UsageError
from pullbench.model.capability import (
    AuthMode,
    CacheState,
    EngineKind,
    ProxyCacheState,
    ProxyKind,
    engines_to_judge,
)
from pullbench.model.cold_cache import RESET_S, ColdCache
from pullbench.model.route import DIRECT
from pullbench.model.schema_rules import (
    LOAD_RULES,
    PROXY_RULES,
    UNIQUE,
    engine_names,
    engine_rules,
    spec_rules,
)
from pullbench.model.spec_errors import explain
from pullbench.model.spec_fields import (
    AddressText,
    ChunkBytes,
    CountersUrl,
    Credentials,
    CredentialSource,
    DaemonHost,
    ImageText,
    Name,
    PinnedHost,
    PlainHttpCredentials,
    PlatformText,
    Prefix,
    ProductName,
    SizeBytes,
    Strict,
    Url,
)
from pullbench.model.text import did_you_mean


class EngineEntry(Strict):
    """A client that pulls, with its options."""

    model_config = ConfigDict(json_schema_extra=lambda schema: schema.update(engine_rules(_option_defaults())))

    name: Name
    kind: EngineKind
    """The client: wire (registry and network alone), docker, podman, skopeo, containerd, or fake (pulls nothing)."""
    layer_concurrency: int = Field(default=3, ge=1, le=64)
    """wire: layers of one pull to download concurrently, as Docker's max-concurrent-downloads."""
    http_version: Literal["1.1", "2"] = "1.1"
    """wire: the HTTP version to offer; the version in use is stored."""
    sink: Literal["discard", "disk"] = "discard"
    """wire: what to do with verified bytes; disk includes writing and fsync in the time."""
    chunk_bytes: ChunkBytes = None
    """wire: download larger layers in parts of this size, such as 32MiB. Each part is a Range request, and `layer_concurrency`
    of them run concurrently. A pull keeps up to layer_concurrency × chunk_bytes in memory. A server without ranges sends the
    whole layer, and the transfer's `note` says so. Default: off."""
    strategy: Literal["all-at-once", "base-first"] = "all-at-once"
    """wire: base-first pulls `base_images` first, then the other layers of the image; the time includes both."""
    base_images: list[ImageText] = Field(default_factory=list, max_length=16)
    """wire: the images that base-first pulls first, by the same route. A run resolves their tags once, outside the time."""
    resolve: dict[PinnedHost, AddressText] = Field(default_factory=dict)
    """wire: the IP address for a HOST or HOST:PORT, in place of DNS: one replica or one CDN edge."""
    connect_timeout_s: float = Field(default=10.0, gt=0, le=300)
    """wire: how long connecting may take, including the TLS handshake."""
    stall_timeout_s: float = Field(default=30.0, gt=0, le=3600)
    """wire: how long a transfer may receive nothing."""
    transfer: Literal["local", "service"] | None = None
    """containerd: who downloads. local: ctr, which unpacks after the download. service: containerd itself, which unpacks while it
    downloads (containerd 1.7 and later). Default: that of the installed ctr, which is service from containerd 2 on."""
    partial_pulls: bool = False
    """podman: download layers of zstd:chunked images in parts, without files that the store has (podman 5 and later). The bytes
    of such a pull are unknown."""
    host: DaemonHost | None = None
    """docker: the daemon's socket, such as unix:///run/docker-2.sock. Default: DOCKER_HOST, else the current Docker context."""
    script: list[float | str] = Field(default_factory=list)
    """fake: what each pull does in turn: its duration in seconds, or an error code."""

    @model_validator(mode="after")
    def _options_belong_to_the_kind(self) -> Self:
        if self.name in get_args(EngineKind) and self.name != self.kind:
            raise ValueError(f"'{self.name}' is another kind of engine than '{self.kind}'; choose another name")
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
            return "a forward proxy resolves names itself and ignores `resolve`: pin them where the proxy runs"
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
    "transfer": "containerd",
    "partial_pulls": "podman",
    "host": "docker",
    "script": "fake",
}


def _option_defaults() -> dict[str, dict[str, Any]]:
    """Kind → its options, with the default that every other kind has."""
    found: dict[str, dict[str, Any]] = {}
    for option, kind in _OPTION_OF.items():
        default = EngineEntry.model_fields[option].get_default(call_default_factory=True)
        found.setdefault(kind, {})[option] = default
    return found


class ProxyEntry(Strict):
    """A route to a registry: a mirror (pull-through cache), or a forward HTTP proxy."""

    model_config = ConfigDict(json_schema_extra=PROXY_RULES)

    name: Name
    kind: ProxyKind
    """mirror: a pull-through cache in place of the registry. forward: an HTTP proxy."""
    url: Url
    """scheme://host[:port]"""
    upstream: Name | None = None
    """mirror: the registry that it mirrors. forward: the only registry to use it for; default: all."""
    prefix: Prefix = ""
    """mirror: what it adds before the repository, such as the proxy project of Harbor."""
    credentials: CredentialSource = "docker"
    """The source of the credentials: docker (config.json and helpers), env:PREFIX, block:NAME or anonymous. A forward proxy
    needs env:PREFIX or block:NAME; docker means none there."""
    plain_http_credentials: PlainHttpCredentials = "refuse"
    """Whether to send credentials over plain http to another machine. Everyone on the route can read them."""
    ca_file: str | None = None
    """mirror: a PEM file, the CA of its certificate. Relative to the spec."""
    headers: dict[str, str] = Field(default_factory=dict)
    """mirror: extra request headers, such as X-Dragonfly-Registry."""
    namespace: PinnedHost | None = None
    """mirror: the registry's host, such as docker.io, for a mirror of several registries (Spegel). Each request names it as
    ?ns=HOST, as containerd does."""
    product: ProductName = "auto"
    """mirror: the product, for checks of its storage. auto: detect it; none: skip these checks."""
    product_url: Url | None = None
    """The URL of the product's own API, if it is not `url`: scheme://host[:port], such as that of the UI of Nexus."""
    cold: ColdCache | None = None
    """mirror: how to make it cold, for `proxy_cache: [cold]`."""

    @model_validator(mode="after")
    def _mirror_names_its_upstream(self) -> Self:
        if self.name == DIRECT:
            raise ValueError("'direct' means no proxy; choose another name")
        if self.kind == "mirror" and self.upstream is None:
            raise ValueError("a mirror needs `upstream`: the name of its registry")
        if self.kind == "forward" and (self.prefix or self.headers or self.ca_file or self.cold):
            raise ValueError("`prefix`, `headers`, `ca_file` and `cold` belong to a mirror, not to a forward proxy")
        if self.kind == "forward" and self.namespace is not None:
            raise ValueError("`namespace` belongs to a mirror, not to a forward proxy")
        if self.kind == "forward" and (self.product_url or self.product != "auto"):
            raise ValueError("`product` and `product_url` belong to a mirror, not to a forward proxy")
        return self


RampKind = Literal["concurrency", "rate"]
LoadValue = Annotated[float, Field(gt=0, le=10_000)]
MOST_AT_ONCE = 1024


class Stress(Strict):
    """How `pullbench stress` raises the load until the SLO is missed, and lowers it again."""

    ramp: RampKind = "concurrency"
    """What to raise. concurrency: concurrent pulls; each worker starts its next pull when the last one ends (closed loop).
    rate: pulls per second, independent of the registry (open loop); latency counts from the planned start."""
    steps: list[LoadValue] = Field(default=[1, 2, 4, 8, 16, 32, 64], min_length=1, max_length=100)
    """The loads to try, ascending: concurrent pulls, or pulls per second."""
    trials: int = Field(default=3, ge=3, le=100)
    """Trials of each step: its intervals come from them."""
    pulls_per_worker: int = Field(default=3, ge=1, le=1000)
    """concurrency: pulls of each worker in a trial, rounded up so that it pulls all images equally often."""
    trial_s: float = Field(default=10.0, gt=0, le=3600)
    """rate: how long pulls start in a trial, in seconds."""
    in_flight: int = Field(default=64, ge=1, le=MOST_AT_ONCE)
    """rate: the most concurrent pulls. Further pulls wait in the client, and their latency includes the wait."""
    hold: int = Field(default=3, ge=0, le=1000)
    """Trials at the highest load before it is lowered: does it get worse over time? 0: none."""
    down: list[LoadValue] | None = Field(default=None, max_length=100)
    """The loads after the highest, descending; those below the highest load are used. Default: `steps` in reverse. []: none, and
    no result on recovery."""
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
                    raise ValueError(f"{load:g} is not a concurrency: give whole numbers up to {MOST_AT_ONCE}")
        return self


def _may_stay_empty(schema: dict[str, Any]) -> None:
    """For a form: a plain field without a value, where it would ask for the value's type first, with `None` as the choice."""
    (kind,) = (each for each in schema.pop("anyOf") if each.get("type") != "null")
    schema.pop("default")
    schema.update(kind)


class StressOverrides(Strict):
    """What the Prefect form may change of a stress test; what is left empty stays as the spec says."""

    engine: str | None = Field(default=None, title="Engine", json_schema_extra=_may_stay_empty)
    """One of the spec's engines, or wire, docker, podman, skopeo, containerd"""
    registry: str | None = Field(default=None, title="Registry", json_schema_extra=_may_stay_empty)
    """One of the spec's registries"""
    proxy: str | None = Field(default=None, title="Proxy", json_schema_extra=_may_stay_empty)
    """One of the spec's proxies, or direct"""
    platform: str | None = Field(default=None, title="Platform", json_schema_extra=_may_stay_empty)
    """Such as linux/amd64"""
    ramp: RampKind | None = Field(default=None, title="Ramp", json_schema_extra=_may_stay_empty)
    """What to raise: concurrency, or pulls per second"""
    steps: list[float] = Field(default=[], title="Steps")
    """The loads to try, such as 1, 2, 4, 8, 16"""
    hold: int | None = Field(default=None, ge=0, le=1000, title="Hold", json_schema_extra=_may_stay_empty)
    """Trials at the highest load reached"""

    def apply(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """The spec's mapping with what is given here in place of its own; a section that is none stays, to be refused."""
        matrix, stress = data.get("matrix") or {}, data.get("stress") or {}
        if not isinstance(matrix, Mapping) or not isinstance(stress, Mapping):
            return dict(data)
        factors = {"engine": "engines", "registry": "registries", "proxy": "proxies", "platform": "platforms"}
        given = {key: value for key, value in self.model_dump().items() if value not in ([], None, "")}
        chosen = {plural: [given.pop(single)] for single, plural in factors.items() if single in given}
        return {**data, "matrix": {**matrix, **chosen}, "stress": {**stress, **given}}


class RegistryEntry(Strict):
    """A registry under test."""

    name: Name
    url: Url
    """scheme://host[:port]"""
    region: str = Field(default="", max_length=63)
    """The region of the registry: a label for the report."""
    credentials: Credentials = "docker"
    plain_http_credentials: PlainHttpCredentials = "refuse"
    """Whether to send credentials over plain http to another machine. Everyone on the route can read them."""
    ca_file: str | None = None
    """A PEM file: the CA of its certificate. Relative to the spec."""
    product: ProductName = "auto"
    """The product, for checks of its storage. auto: detect it; none: skip these checks."""
    product_url: Url | None = None
    """The URL of the product's own API, if it is not `url`: scheme://host[:port], such as that of the UI of Nexus."""
    counters: CountersUrl | None = None
    """The Prometheus page of CNCF distribution (http://HOST:PORT/metrics). It shows how many bytes a mirror downloaded from the
    registry. It counts all clients, so no other client may pull during the run."""


EngineName = Annotated[Name, WithJsonSchema(engine_names(get_args(EngineKind)))]


class Matrix(Strict):
    """The factors. Every combination of their values is a configuration."""

    engines: list[EngineName] = Field(default=["wire"], min_length=1, json_schema_extra=UNIQUE)
    """The clients: wire, docker, podman, skopeo, containerd, or names from `engines`."""
    registries: list[Name] | None = Field(default=None, min_length=1, json_schema_extra=UNIQUE)
    """Names from `registries`. Default: all."""
    proxies: list[Name] = Field(default=[DIRECT], min_length=1, json_schema_extra=UNIQUE)
    """The routes: direct (no proxy), or names from `proxies`."""
    platforms: list[PlatformText] | None = Field(default=None, min_length=1, json_schema_extra=UNIQUE)
    """The platforms, such as linux/amd64. Default: that of this machine."""
    concurrency: list[Annotated[int, Field(ge=1, le=1024)]] = Field(default=[1], min_length=1, json_schema_extra=UNIQUE)
    """The numbers of concurrent pulls."""
    cache: list[CacheState] = Field(default=["cold"], min_length=1, json_schema_extra=UNIQUE)
    """The store of the client before a pull: cold (without the image) or warm (with it)."""
    proxy_cache: list[ProxyCacheState] = Field(default=["any"], min_length=1, json_schema_extra=UNIQUE)
    """The store of a mirror before a trial. any: as it is; cold: without the images, see `cold` of the proxy; warm: with the
    images, which setup pulls through it."""
    auth: list[AuthMode] = Field(default=["persisted"], min_length=1, json_schema_extra=UNIQUE)
    """persisted: pulls share token and connections; per-pull: each pull has new ones."""


class Load(Strict):
    """When pulls start."""

    model_config = ConfigDict(json_schema_extra=LOAD_RULES)

    mode: Literal["closed", "open"] = "closed"
    """closed: each worker starts its next pull when the last one ends. open: pulls start at a rate, independent of the
    registry; latency counts from the planned start, and `concurrency` is the most concurrent pulls."""
    rate: Annotated[float | None, Field(gt=0, le=10_000)] = None
    """open: pulls per second."""
    arrivals: Literal["poisson", "uniform"] = "poisson"
    """open: the intervals between starts: poisson (random, as independent users) or uniform."""

    @model_validator(mode="after")
    def _rate_belongs_to_open(self) -> Self:
        if self.mode == "open" and self.rate is None:
            raise ValueError("`mode: open` needs `rate`: pulls per second")
        if self.mode == "closed" and self.rate is not None:
            raise ValueError("`rate` needs `mode: open`")
        return self


class Budget(Strict):
    """The run stops after the trial that reaches one of these limits. Its results are stored (exit code 3)."""

    bytes: SizeBytes = None
    """Bytes that pulls and setup transfer: a number, or a size such as 50GB."""
    manifest_requests: Annotated[int | None, Field(ge=1)] = None
    """Requests for manifests: registries limit them."""
    minutes: Annotated[float | None, Field(gt=0)] = None
    """Minutes that the run may take."""
    server_errors: Annotated[int | None, Field(ge=1)] = None
    """Consecutive pulls that fail with 5xx or 429: the registry is overloaded."""


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
    engines: Annotated[list[Name] | None, Field(min_length=1, json_schema_extra=UNIQUE)] = None
    """Engines of the matrix whose pulls are scored. Default: those that unpack images (docker, podman, containerd), else
    all of the matrix. `p99_api_s` is scored for every engine that reports API answers."""
    per_configuration: bool = False
    """Also score each configuration of these engines; one that misses an SLO is a miss of the run."""

    @property
    def targets(self) -> dict[str, float]:
        """The SLOs that are set, by name."""
        return slo_targets(self.model_dump())


_FIRST_SLOS = ("success_rate", "mean_pull_s", "p99_api_s", "consecutive_failures")
"""Those that every spec had, with defaults; stored hashes include them."""
SLO_NAMES = tuple(name for name in Slo.model_fields if name not in ("engines", "per_configuration"))


def slo_targets(slo: Mapping[str, Any] | None) -> dict[str, float]:
    """Of a spec's `slo` as stored: the SLOs that are set, by name; none where it is not configured."""
    return {name: target for name in SLO_NAMES if (target := (slo or {}).get(name)) is not None}


class Spec(Strict):
    """A benchmark: which images, from which registries, by which clients, in which configurations, how often."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        title="pullbench spec",
        json_schema_extra=spec_rules(get_args(EngineKind)),
    )

    name: Name
    labels: dict[Name, str] = Field(default_factory=dict)
    """Labels of the run, such as commit: 3f4ff3c. `compare` finds runs by them."""
    registries: list[RegistryEntry] = Field(min_length=1)
    """The registries to measure."""
    proxies: list[ProxyEntry] = Field(default_factory=list)
    """Mirrors and HTTP proxies on the route to a registry."""
    engines: list[EngineEntry] = Field(default_factory=list)
    """Clients with options of their own. Without options, name the kind in `matrix.engines`."""
    images: list[ImageText] = Field(min_length=1, json_schema_extra=UNIQUE)
    """The images: repository[:tag][@digest], without a host."""
    matrix: Matrix = Field(default=Matrix(), description="The factors, such as concurrency: what to vary.")
    repetitions: int = Field(default=5, ge=1, le=10_000)
    """Passes over all configurations; give 5 or more for a verdict."""
    warmup: int = Field(default=1, ge=0, le=100)
    """Repetitions before the others; they are stored, and excluded from the statistics."""
    pulls_per_trial: int | None = Field(default=None, ge=1, le=100_000)
    """Pulls of a trial, one image after the other. Default: the number of images, or the highest concurrency if that is more."""
    load: Load = Field(default=Load(), description="When pulls start: closed loop, or at a rate.")
    timeout_s: float = Field(default=300.0, gt=0, le=86_400)
    """How long a pull may take in seconds, including all attempts."""
    retries: int = Field(default=0, ge=0, le=20)
    """How often a failed pull is tried again."""
    cache_reset: Literal["own", "remove"] = "own"
    """own: remove only images that a run pulled; remove: remove every image under test."""
    budget: Budget = Field(default=Budget(), description="Limits that stop the run.")
    seed: int = Field(default=1, ge=0, lt=2**63)
    """The seed of the random order of configurations."""
    slo: Slo | None = None
    """The service level to reach. Absent: not configured, and nothing is judged."""
    stress: Stress | None = None
    """For `pullbench stress` only."""
    dockerfiles: list[Annotated[str, Field(min_length=1)]] = Field(default_factory=list)
    """Dockerfiles that preflight checks with hadolint, such as services/**/Dockerfile. Relative to the spec."""
    dockerfile_threshold: Literal["error", "warning", "info", "style"] = "error"
    """The lowest severity of hadolint that fails preflight."""

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
        if self.slo is not None:  # specs from before these keys keep their hash
            measured["slo"] = {
                name: value
                for name, value in measured["slo"].items()
                if name in _FIRST_SLOS or value not in (None, False)
            }
        for way in (*measured["registries"], *measured["proxies"]):
            del way["plain_http_credentials"]
        for proxy in measured["proxies"]:
            if proxy["namespace"] is None:  # specs from before this key keep their hash
                del proxy["namespace"]
            if proxy["cold"] is not None:
                proxy["cold"].setdefault("timeout_s", RESET_S)  # it was written out where nothing resets, too
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
    """Concurrent pulls, such as 1, 2, 4, 8; at most 1024"""
    cache: list[CacheState] = Field(default=[], title="Cache")
    """The client's store before a pull: cold is empty, warm has the image"""
    repetitions: int | None = Field(
        default=None, ge=1, le=10_000, title="Repetitions", json_schema_extra=_may_stay_empty
    )
    """5 or more for a verdict"""

    def apply(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """The spec's mapping with what is given here in place of its own; a matrix that is none stays, to be refused."""
        matrix = data.get("matrix") or {}
        if not isinstance(matrix, Mapping):
            return dict(data)
        given = {key: value for key, value in self.model_dump().items() if value not in ([], None, "")}
        top = {key: given.pop(key) for key in ("repetitions",) if key in given}
        return {**data, **top, "matrix": {**matrix, **given}}


_SHOWN_AT_MOST = 6


def read_spec(data: object) -> Spec:
    """Validate a mapping as it comes from YAML; raises UsageError: one line, the key path, what would be right."""
    if not isinstance(data, Mapping):
        raise UsageError("this is not a spec: a spec has at least `name:`, `registries:` and `images:`")
    try:
        return Spec.model_validate(data)
    except ValidationError as error:
        lines = explain(error.errors(), Spec)
        more = [f"and {len(lines) - _SHOWN_AT_MOST} more"] if len(lines) > _SHOWN_AT_MOST else []
        raise UsageError("; ".join([*lines[:_SHOWN_AT_MOST], *more])) from error


def _unique(path: str, names: list[Any]) -> list[Any]:
    for index, name in enumerate(names):
        if name in names[:index]:
            raise ValueError(f"{path}[{index}]: '{name}' is listed twice")
    return names


def _known(path: str, name: str, known: list[str], what: str = "known") -> None:
    if name not in known:
        raise ValueError(f"{path}: '{name}' is not {what}; {did_you_mean(name, known)}")
