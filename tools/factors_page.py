"""Writes the page of the factors: `python -m tools.factors_page > docs/factors.md`.

CAPABILITIES defines the values that each kind of engine can measure, and Matrix the values that a spec accepts. This
module describes what each value does.
"""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args, get_origin

from pullbench.model.capability import CAPABILITIES, ProxyKind
from pullbench.model.plan import FACTORS
from pullbench.model.route import DIRECT
from pullbench.model.spec import Matrix

_ANY = "any"
_DEMANDS_MORE = {"headers": "mirror", "namespace": "mirror", "forward-loopback": "forward"}
"""Demands of a route in addition to its proxy's kind, as in Route.demands."""
_FAKE = "as scripted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What a value of a factor does, for most kinds of engine and for those that differ."""

    most: str
    own: Mapping[str, str] = field(default_factory=dict)

    def of(self, kind: str) -> str:
        return self.own.get(kind, self.most)


_PROCESS_PROXY = "`HTTP_PROXY` and `HTTPS_PROXY` of the pull's process"
_KEPT_LOGIN = "the login is kept; the client exchanges it for a new token at every pull"

MEANINGS: dict[str, Meaning] = {
    "engine:any": Meaning(
        most="",
        own={
            "wire": "fetches manifest, config and layers over libcurl, verifies every byte, unpacks nothing",
            "docker": "a running dockerd pulls and unpacks",
            "podman": "`podman pull` into a separate store per pull, unpacked",
            "skopeo": "`skopeo copy` into a new OCI layout, verified, not unpacked",
            "containerd": "`ctr images pull` at a separate containerd per trial, one namespace per pull, unpacked",
            "fake": "pulls nothing: waits or fails as scripted",
        },
    ),
    "registry:any": Meaning(
        most="uses its `url`, `ca_file` and `credentials`",
        own={
            "docker": "uses its `url` and `credentials`; dockerd trusts the CAs of its own machine (`/etc/docker/certs.d`)",
            "fake": _FAKE,
        },
    ),
    "proxy:direct": Meaning(
        most="no proxy; proxy variables of the environment are ignored",
        own={"docker": "dockerd's own configuration: make sure that it has no proxy and no mirror", "fake": _FAKE},
    ),
    "proxy:mirror": Meaning(
        most="pulls the image by its name at the mirror: host, `prefix`, repository", own={"fake": _FAKE}
    ),
    "proxy:forward": Meaning(
        most=_PROCESS_PROXY, own={"wire": "CONNECT for HTTPS, absolute URLs for HTTP", "fake": _FAKE}
    ),
    "proxy:namespace": Meaning(
        most="sent to the mirror with each request, as `?ns=HOST`",
        own={
            "containerd": "the image has this host's name, and `hosts.toml` has the mirror as its server",
            "fake": _FAKE,
        },
    ),
    "proxy:headers": Meaning(
        most="sent to the mirror", own={"containerd": "sent to the mirror, from `hosts.toml`", "fake": _FAKE}
    ),
    "proxy:forward-loopback": Meaning(most="like any other registry", own={"fake": _FAKE}),
    "platform:any": Meaning(
        most="pulls this platform; if the registry sends another, the pull fails with `platform_missing`",
        own={"fake": _FAKE},
    ),
    "concurrency:any": Meaning(
        most="this many concurrent processes",
        own={
            "wire": "this many concurrent pulls, each with up to `layer_concurrency` concurrent layers",
            "docker": "this many concurrent pulls at one daemon; they share its `max-concurrent-downloads`",
            "containerd": "this many concurrent processes at one containerd",
            "fake": "this many workers share the script",
        },
    ),
    "cache:cold": Meaning(
        most="a new store for every pull",
        own={
            "wire": "always: it stores nothing",
            "docker": "the images under test are removed before the trial, as far as `cache_reset` allows",
            "skopeo": "always: a new layout for every pull",
            "containerd": "a new namespace for every pull, which shares no content with others",
            "fake": _FAKE,
        },
    ),
    "cache:warm": Meaning(
        most="pulled once before, not timed, into the same store",
        own={"docker": "pulled once before the trial, not timed", "fake": _FAKE},
    ),
    "proxy_cache:any": Meaning(most="the proxy's store stays as it is", own={"fake": _FAKE}),
    "proxy_cache:cold": Meaning(
        most="before each trial new synthetic images of the same shape are pushed upstream, or the mirror's `reset` runs"
    ),
    "proxy_cache:warm": Meaning(most="before each trial wire pulls every image through the mirror, not timed"),
    "auth:persisted": Meaning(
        most=_KEPT_LOGIN, own={"wire": "tokens and connections are kept for the trial", "fake": _FAKE}
    ),
    "auth:per-pull": Meaning(most="a new token and new connections for every pull", own={"fake": _FAKE}),
}
_VALUES = {
    "engine:any": "any kind",
    "registry:any": "any",
    "proxy:mirror": "a `mirror`",
    "proxy:forward": "a `forward` proxy",
    "proxy:headers": "a `mirror` with `headers`",
    "proxy:namespace": "a `mirror` with `namespace`",
    "proxy:forward-loopback": "a `forward` proxy to a registry on this machine's loopback",
    "platform:any": "any",
    "concurrency:any": "any number",
}

_HEAD = """\
# Factors: what each value does, engine by engine

<!-- Made by: python -m tools.factors_page > docs/factors.md -->

A spec's `matrix` lists the values of the factors, and every combination is a configuration. This table shows what a value
does with each kind of engine. **no** means that the configuration is excluded: it does not run, and plan, run and report
show the reason below.
"""

_TAIL = """\
A configuration is also excluded if

- the engine is not installed or does not answer,
- the installed version lacks an option of the engine, such as `transfer: service` with containerd 1.6,
- the mirror belongs to another registry,
- a trial has fewer pulls than the concurrency,
- `proxy_cache` is cold or warm and the route has no mirror, or the spec does not say how to make the mirror cold,
- the engine has `resolve` and the route uses a forward proxy, which resolves names itself,
- the cache must be cold and an image was in the daemon's store before the run.

The options of an engine (`layer_concurrency`, `http_version`, `chunk_bytes`, `sink`, `strategy`, `resolve` of wire, `host`
of docker, `transfer` of containerd, `partial_pulls` of podman) turn one kind into several engines to compare: name each one
under `engines`.
[specs/spec.schema.json](../specs/spec.schema.json) describes them; [specs/](../specs) has a ready spec for most factors.
"""


def factors_page() -> str:
    """The page as Markdown. Raises KeyError for a value without an entry in MEANINGS."""
    reasons: list[str] = []
    lines = [
        f"| factor | value | {' | '.join(CAPABILITIES)} |",
        f"|{'---|' * (len(CAPABILITIES) + 2)}",
        *(_row(key, name, reasons) for key, name in factor_values()),
    ]
    why = ["## Why not", "", *(f"{number}. {reason}" for number, reason in enumerate(reasons, start=1)), ""]
    return "\n".join([_HEAD, *lines, "", _stores(), "", *why, _TAIL])


def factor_values() -> Iterator[tuple[str, str]]:
    """The matrix key and the `factor:value` of every value that a spec accepts."""
    for factor, (key, entry) in zip(FACTORS, Matrix.model_fields.items(), strict=True):
        chosen = next(iter(get_args(entry.annotation)), None)
        known = list(get_args(chosen)) if get_origin(chosen) is Literal else [_ANY]
        if factor == "proxy":
            known = [DIRECT, *get_args(ProxyKind), *_DEMANDS_MORE]
        for value in known:
            yield key, f"{factor}:{value}"


def refusal(kind: str, name: str) -> str | None:
    """Why a kind of engine cannot measure `factor:value`; the engine must meet all demands of a route."""
    factor, _, value = name.partition(":")
    demands = (_DEMANDS_MORE[value], value) if factor == "proxy" and value in _DEMANDS_MORE else (value,)
    refusals = (CAPABILITIES[kind].refusal(factor, demand) for demand in demands)
    return next((reason for reason in refusals if reason is not None), None)


def _row(key: str, name: str, reasons: list[str]) -> str:
    meaning = MEANINGS[name]
    cells = [f"`{key}`", _VALUES.get(name, f"`{name.partition(':')[2]}`")]
    for kind in CAPABILITIES:
        reason = refusal(kind, name)
        if reason is not None and reason not in reasons:
            reasons.append(reason)
        cells.append(meaning.of(kind) if reason is None else f"**no** ({reasons.index(reason) + 1})")
    return f"| {' | '.join(cells)} |"


def _stores() -> str:
    kinds = [kind for kind, capability in CAPABILITIES.items() if capability.has_store]
    return (
        f"Engines with a store ({', '.join(kinds)}) pull an image at most once per trial: the spec needs at least as many\n"
        "images as the concurrency. The others cycle through the images up to `pulls_per_trial`."
    )


if __name__ == "__main__":
    sys.stdout.write(factors_page())
