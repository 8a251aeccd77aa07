"""What each kind of engine can do: the one table that plan, docs and reports read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

EngineKind = Literal["wire", "docker", "podman", "skopeo", "containerd", "fake"]
ProxyKind = Literal["mirror", "forward"]
CacheState = Literal["cold", "warm"]
ProxyCacheState = Literal["any", "cold", "warm"]
AuthMode = Literal["persisted", "per-pull"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Capability:
    """A kind's limits. Each `cannot` maps a factor's value to the reason and the way round it."""

    has_store: bool
    """It keeps what it pulled, so it pulls an image at most once a trial."""
    cannot: Mapping[str, str] = field(default_factory=dict)
    """`proxy:forward`, `cache:warm`, `auth:per-pull` … → why not."""

    def refusal(self, factor: str, value: str) -> str | None:
        """Why a value of a factor cannot be measured with this kind; None where it can."""
        return self.cannot.get(f"{factor}:{value}")


_NO_STORE = "keeps nothing between pulls, so every pull is cold"
_NOT_BUILT = "this version of pullbench has no engine of this kind yet"

CAPABILITIES: dict[str, Capability] = {
    "wire": Capability(has_store=False, cannot={"cache:warm": f"wire {_NO_STORE}"}),
    "docker": Capability(
        has_store=True,
        cannot={
            "proxy:forward": "dockerd takes its HTTP proxy at start, not per pull: "
            "start a second daemon with HTTP_PROXY and give the engine its `host`",
            "auth:per-pull": "dockerd makes a token exchange of its own for every pull; the setting would change nothing",
        },
    ),
    "podman": Capability(has_store=True, cannot={"engine": _NOT_BUILT}),
    "skopeo": Capability(has_store=False, cannot={"engine": _NOT_BUILT}),
    "containerd": Capability(has_store=True, cannot={"engine": _NOT_BUILT}),
    "fake": Capability(has_store=False),
}
