"""The capabilities of each kind of engine: the table that plan, docs and reports use."""

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
    """The capabilities of one kind of engine. `cannot` maps a factor's value to the reason and an alternative."""

    has_store: bool
    """The engine stores images, so it pulls an image at most once per trial."""
    in_process: bool = False
    """The engine pulls in this process, so its CPU time is known separately. Others are programs or daemons under test."""
    keeps_store: bool = False
    """The store outlives a trial: images of one trial are present in the next."""
    keeps_manifests: bool = False
    """The store has the manifests too, and the engine requests none of an image that is in it."""
    hides_server: bool = False
    """The engine does not report which server answered, so a probe of the same route runs before and after each trial."""
    cannot: Mapping[str, str] = field(default_factory=dict)
    """`proxy:forward`, `proxy:headers`, `cache:warm`, `auth:per-pull` … → why not."""

    def refusal(self, factor: str, value: str) -> str | None:
        """Why this kind cannot measure a value of a factor; None if it can."""
        return self.cannot.get(f"{factor}:{value}")


def engines_by_work(kinds: Mapping[str, str]) -> list[list[str]]:
    """Of engines by name, with their kind: those that do the same work together; no empty group.

    First those that unpack images into a store, as users' clients do, then those that only download.
    """
    unpacking = [name for name, kind in kinds.items() if kind in CAPABILITIES and CAPABILITIES[kind].has_store]
    return [group for group in (unpacking, [name for name in kinds if name not in unpacking]) if group]


def engines_to_judge(kinds: Mapping[str, str]) -> list[str]:
    """Of engines by name, with their kind: those that unpack images into a store, as users' clients do, else all."""
    return next(iter(engines_by_work(kinds)), [])


_NO_STORE = "keeps nothing between pulls, so every pull is cold"
_NO_HEADERS = "cannot send the proxy's `headers`: use the engine wire or containerd for this proxy"
_NO_NAMESPACE = "cannot send the proxy's `namespace`: use the engine wire or containerd for this proxy"
_NOTHING_PULLED = "fake pulls nothing, so the proxy's cache has no effect: use another engine"
_NO_LOOPBACK_PROXY = (
    "uses no proxy for localhost and 127.0.0.0/8, like every Go program: "
    "use another address of this machine in the registry's URL"
)


def _own_exchange(client: str) -> str:
    return f"{client} already requests a new token for every pull, so per-pull would change nothing"


CAPABILITIES: dict[str, Capability] = {
    "wire": Capability(has_store=False, in_process=True, cannot={"cache:warm": f"wire {_NO_STORE}"}),
    "docker": Capability(
        has_store=True,
        keeps_store=True,
        hides_server=True,
        cannot={
            "proxy:forward": "dockerd reads its HTTP proxy at start, not per pull: "
            "start a second daemon with HTTP_PROXY, and set the engine's `host` to it",
            "proxy:headers": f"dockerd {_NO_HEADERS}",
            "proxy:namespace": f"dockerd {_NO_NAMESPACE}",
            "auth:per-pull": _own_exchange("dockerd"),
        },
    ),
    "podman": Capability(
        has_store=True,
        hides_server=True,
        cannot={
            "proxy:headers": f"podman {_NO_HEADERS}",
            "proxy:namespace": f"podman {_NO_NAMESPACE}",
            "proxy:forward-loopback": f"podman {_NO_LOOPBACK_PROXY}",
            "auth:per-pull": _own_exchange("podman"),
        },
    ),
    "skopeo": Capability(
        has_store=False,
        hides_server=True,
        cannot={
            "proxy:headers": f"skopeo {_NO_HEADERS}",
            "proxy:namespace": f"skopeo {_NO_NAMESPACE}",
            "proxy:forward-loopback": f"skopeo {_NO_LOOPBACK_PROXY}",
            "cache:warm": f"skopeo {_NO_STORE}",
            "auth:per-pull": _own_exchange("skopeo"),
        },
    ),
    "containerd": Capability(
        has_store=True,
        keeps_manifests=True,
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
