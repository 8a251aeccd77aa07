"""An engine of the spec: a client that pulls, with the options of its kind."""

from typing import Literal, Self, get_args

from pydantic import Field, model_validator

from pullbench.model.capability import EngineKind
from pullbench.model.spec_fields import Name, Strict


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


_OPTION_OF: dict[str, EngineKind] = {
    "layer_concurrency": "wire",
    "http_version": "wire",
    "sink": "wire",
    "connect_timeout_s": "wire",
    "stall_timeout_s": "wire",
    "host": "docker",
    "script": "fake",
}
