"""An engine of the spec: a client that pulls, with the options of its kind."""

from functools import cache
from typing import Literal, Self, get_args
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from pullbench.model.capability import EngineKind, ProxyKind
from pullbench.model.spec_fields import AddressText, ChunkBytes, ImageText, Name, PinnedHost, Strict


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
