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
    in_process: bool = False
    """It pulls in this process, whose CPU time is known apart; the others are programs and daemons, and part of what is measured."""
    keeps_store: bool = False
    """Its store outlives a trial, so that what one trial brought is there in the next."""
    hides_server: bool = False
    """It does not say who answered it, so the same route is asked before and after each of its trials."""
    cannot: Mapping[str, str] = field(default_factory=dict)
    """`proxy:forward`, `proxy:headers`, `cache:warm`, `auth:per-pull` … → why not."""

    def refusal(self, factor: str, value: str) -> str | None:
        """Why a value of a factor cannot be measured with this kind; None where it can."""
        return self.cannot.get(f"{factor}:{value}")


def engines_to_judge(kinds: Mapping[str, str]) -> list[str]:
    """Of engines by name, with their kind: those that unpack images into a store, as users' clients do, else all."""
    unpacking = [name for name, kind in kinds.items() if kind in CAPABILITIES and CAPABILITIES[kind].has_store]
    return unpacking or list(kinds)


_NO_STORE = "keeps nothing between pulls, so every pull is cold"
_NO_HEADERS = "cannot send the proxy's `headers`: use the engine wire or containerd for this proxy"
_NOTHING_PULLED = "fake pulls nothing, so a proxy's store is the same to it: use another engine"
_NO_LOOPBACK_PROXY = (
    "never asks a proxy for localhost or 127.0.0.0/8, as no program written in Go does: "
    "give the registry by another address of this machine"
)


def _own_exchange(client: str) -> str:
    return f"{client} makes a token exchange of its own for every pull; the setting would change nothing"


CAPABILITIES: dict[str, Capability] = {
    "wire": Capability(has_store=False, in_process=True, cannot={"cache:warm": f"wire {_NO_STORE}"}),
    "docker": Capability(
        has_store=True,
        keeps_store=True,
        hides_server=True,
        cannot={
            "proxy:forward": "dockerd takes its HTTP proxy at start, not per pull: "
            "start a second daemon with HTTP_PROXY and give the engine its `host`",
            "proxy:headers": f"dockerd {_NO_HEADERS}",
            "auth:per-pull": _own_exchange("dockerd"),
        },
    ),
    "podman": Capability(
        has_store=True,
        hides_server=True,
        cannot={
            "proxy:headers": f"podman {_NO_HEADERS}",
            "proxy:forward-loopback": f"podman {_NO_LOOPBACK_PROXY}",
            "auth:per-pull": _own_exchange("podman"),
        },
    ),
    "skopeo": Capability(
        has_store=False,
        hides_server=True,
        cannot={
            "proxy:headers": f"skopeo {_NO_HEADERS}",
            "proxy:forward-loopback": f"skopeo {_NO_LOOPBACK_PROXY}",
            "cache:warm": f"skopeo {_NO_STORE}",
            "auth:per-pull": _own_exchange("skopeo"),
        },
    ),
    "containerd": Capability(
        has_store=True,
        hides_server=True,
        cannot={
            "proxy:forward-loopback": f"ctr {_NO_LOOPBACK_PROXY}",
            "auth:per-pull": _own_exchange("ctr"),
        },
    ),
    "fake": Capability(
        has_store=False,
        in_process=True,
        cannot={"proxy_cache:cold": _NOTHING_PULLED, "proxy_cache:warm": _NOTHING_PULLED},
    ),
}
