"""What the user asks for: the benchmark spec, as a pydantic model whose JSON Schema ships for editors.

`read_spec(mapping)` is the way in: it raises UsageError with one line that names the key path.
"""

import difflib
import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import ConfigDict, Field, ValidationError, model_validator

from pullbench.errors import UsageError
from pullbench.model.capability import AuthMode, CacheState, EngineKind, ProxyCacheState
from pullbench.model.route import DIRECT
from pullbench.model.spec_engine import EngineEntry as EngineEntry  # part of what a spec is: imported from here
from pullbench.model.spec_engine import default_engine
from pullbench.model.spec_fields import (
    CountersUrl,
    Credentials,
    ImageText,
    Name,
    PlainHttpCredentials,
    PlatformText,
    ProductName,
    SizeBytes,
    Strict,
    Url,
)
from pullbench.model.spec_proxy import ColdCache as ColdCache
from pullbench.model.spec_proxy import ProxyEntry as ProxyEntry
from pullbench.model.spec_stress import Stress as Stress


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
    """What the service should give; each is scored as met, missed or not shown."""

    success_rate: Annotated[float | None, Field(gt=0, le=1)] = 0.999
    mean_pull_s: Annotated[float | None, Field(gt=0)] = 3.0
    p99_api_s: Annotated[float | None, Field(gt=0)] = 2.0
    consecutive_failures: Annotated[int | None, Field(ge=1)] = 3


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
    slo: Slo = Slo()
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
        for factor in type(self.matrix).model_fields:
            _unique(f"matrix.{factor}", getattr(self.matrix, factor) or [])
        return self

    def engine(self, name: str) -> EngineEntry:
        """The entry of that name; a kind's bare name means its defaults."""
        return next((entry for entry in self.engines if entry.name == name), None) or default_engine(name)

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


def _known(path: str, name: str, known: list[str]) -> None:
    if name not in known:
        raise ValueError(f"{path}: '{name}' is not known; there are: {', '.join(dict.fromkeys(known))}")
