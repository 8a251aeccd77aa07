"""The page of the factors, from what the code can do: `python -m tools.factors_page > docs/factors.md`.

Whether a kind of engine can measure a value is CAPABILITIES' to say, and what a spec accepts is the Matrix's; here
are the words for what then happens.
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
_DEMANDS_MORE = {"headers": "mirror", "forward-loopback": "forward"}
"""What a route may demand beside its proxy's kind, as in Route.demands."""
_FAKE = "as scripted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What a value of a factor does: with most kinds of engine, and with those that differ."""

    most: str
    own: Mapping[str, str] = field(default_factory=dict)

    def of(self, kind: str) -> str:
        return self.own.get(kind, self.most)


_PROCESS_PROXY = "`HTTP_PROXY` and `HTTPS_PROXY` of the pull's process"
_KEPT_LOGIN = "the login is kept; the client exchanges it for a token of its own at every pull"

MEANINGS: dict[str, Meaning] = {
    "engine:any": Meaning(
        most="",
        own={
            "wire": "fetches manifest, config and layers over libcurl, verifies every byte, unpacks nothing",
            "docker": "has a running dockerd pull and unpack",
            "podman": "`podman pull` into a store of the pull's own, unpacked",
            "skopeo": "`skopeo copy` into a new OCI layout, verified, not unpacked",
            "containerd": "`ctr images pull` at a containerd of the trial's own, a namespace a pull, unpacked",
            "fake": "pulls nothing: waits or fails as its script says",
        },
    ),
    "registry:any": Meaning(
        most="by its `url`, `ca_file` and `credentials`",
        own={
            "docker": "by its `url` and `credentials`; dockerd trusts the CAs of its own machine (`/etc/docker/certs.d`)",
            "fake": _FAKE,
        },
    ),
    "proxy:direct": Meaning(
        most="no proxy, whatever the environment says",
        own={"docker": "what dockerd was started with: make sure that it has no proxy and no mirror", "fake": _FAKE},
    ),
    "proxy:mirror": Meaning(
        most="pulls the mirror's own name of the image: its host, `prefix`, repository", own={"fake": _FAKE}
    ),
    "proxy:forward": Meaning(
        most=_PROCESS_PROXY, own={"wire": "the proxy, by CONNECT for HTTPS and by absolute URL for HTTP", "fake": _FAKE}
    ),
    "proxy:headers": Meaning(
        most="sent to the mirror", own={"containerd": "sent to the mirror, from `hosts.toml`", "fake": _FAKE}
    ),
    "proxy:forward-loopback": Meaning(most="as any other registry", own={"fake": _FAKE}),
    "platform:any": Meaning(
        most="the one that is asked for; another that came instead is `platform_missing`", own={"fake": _FAKE}
    ),
    "concurrency:any": Meaning(
        most="that many processes at once",
        own={
            "wire": "that many pulls at once, each fetching up to `layer_concurrency` layers at once",
            "docker": "that many pulls at once at one daemon, whose `max-concurrent-downloads` they share",
            "containerd": "that many processes at once at one containerd",
            "fake": "that many workers take turns with the script",
        },
    ),
    "cache:cold": Meaning(
        most="a new store for every pull",
        own={
            "wire": "always: it keeps nothing",
            "docker": "the images under test are removed before the trial, as far as `cache_reset` allows",
            "skopeo": "always: a new layout for every pull",
            "containerd": "a new namespace for every pull, which shares content with no other",
            "fake": _FAKE,
        },
    ),
    "cache:warm": Meaning(
        most="pulled once before, untimed, into the same store",
        own={"docker": "pulled once before the trial, untimed", "fake": _FAKE},
    ),
    "proxy_cache:any": Meaning(most="the proxy's store is left as it is", own={"fake": _FAKE}),
    "proxy_cache:cold": Meaning(
        most="before each trial synthetic images of the same shape are pushed upstream, or the mirror's `reset` is run"
    ),
    "proxy_cache:warm": Meaning(most="before each trial every image is pulled through the mirror, untimed, by wire"),
    "auth:persisted": Meaning(
        most=_KEPT_LOGIN, own={"wire": "tokens and connections are kept for the trial", "fake": _FAKE}
    ),
    "auth:per-pull": Meaning(most="new token and new connections for every pull", own={"fake": _FAKE}),
}
_VALUES = {
    "engine:any": "any kind",
    "registry:any": "any",
    "proxy:mirror": "a `mirror`",
    "proxy:forward": "a `forward` proxy",
    "proxy:headers": "a `mirror` with `headers`",
    "proxy:forward-loopback": "a `forward` proxy to a registry on this machine's loopback",
    "platform:any": "any",
    "concurrency:any": "any number",
}

_HEAD = """\
# Factors: what each value does, engine by engine

<!-- Made by: python -m tools.factors_page > docs/factors.md -->

A spec's `matrix` names the values of the factors, and every combination is a cell. This is what a value does with each
kind of engine. **no** means that the cell is planned out: it is not run, and plan, run and report show the reason below.
"""

_TAIL = """\
A cell is planned out, too, where the engine is not installed or does not answer, where a mirror is another registry's,
where a trial has fewer pulls than the concurrency, where the way has no mirror whose store could be cold or warm, where
nothing says how a mirror becomes cold, where an engine's `resolve` would be passed by (a forward proxy looks
names up by itself), and where an image was in a daemon's store before the run and would not be cold.

The options of an engine (`layer_concurrency`, `http_version`, `chunk_bytes`, `sink`, `strategy`, `resolve` of wire, `host`
of docker) make one kind into several engines to compare: give each a name under `engines`.
[specs/spec.schema.json](../specs/spec.schema.json) describes them; [specs/](../specs) has a ready spec for most factors.
"""


def factors_page() -> str:
    """The page as Markdown; raises KeyError for a value that has no words in MEANINGS."""
    reasons: list[str] = []
    lines = [
        f"| factor | value | {' | '.join(CAPABILITIES)} |",
        f"|{'---|' * (len(CAPABILITIES) + 2)}",
        *(_row(key, name, reasons) for key, name in factor_values()),
    ]
    why = ["## Why not", "", *(f"{number}. {reason}" for number, reason in enumerate(reasons, start=1)), ""]
    return "\n".join([_HEAD, *lines, "", _stores(), "", *why, _TAIL])


def factor_values() -> Iterator[tuple[str, str]]:
    """The matrix's key and `factor:value`, as CAPABILITIES names it, of all that a spec accepts."""
    for factor, (key, entry) in zip(FACTORS, Matrix.model_fields.items(), strict=True):
        chosen = next(iter(get_args(entry.annotation)), None)
        known = list(get_args(chosen)) if get_origin(chosen) is Literal else [_ANY]
        if factor == "proxy":
            known = [DIRECT, *get_args(ProxyKind), *_DEMANDS_MORE]
        for value in known:
            yield key, f"{factor}:{value}"


def refusal(kind: str, name: str) -> str | None:
    """Why a kind of engine cannot do `factor:value`; a route with more demands must have each of them met."""
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
        f"Engines with a store ({', '.join(kinds)}) pull an image at most once a trial: give as many images as pulls at\n"
        "once. The others cycle through the images up to `pulls_per_trial`."
    )


if __name__ == "__main__":
    sys.stdout.write(factors_page())
