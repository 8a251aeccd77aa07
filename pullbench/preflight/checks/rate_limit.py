"""`rate-limit`: what is left of the registry's rate limit holds what the plan will ask for.

Headers state a limit in three dialects: Docker Hub's `ratelimit-limit: 100;w=21600` (Docker's page "Pull usage and
limits"), `x-ratelimit-*` of many gateways, and the IETF's `RateLimit: "name";r=50;t=30` with `RateLimit-Policy:
"name";q=100;w=60` (draft-ietf-httpapi-ratelimit-headers).
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from pullbench.errors import ErrorCode, RegistryError
from pullbench.model.addresses import DOCKER_HUB_HOSTS, login_host
from pullbench.model.finding import Finding, Status
from pullbench.model.plan import manifest_requests
from pullbench.model.route import DIRECT, Route
from pullbench.model.text import clean
from pullbench.preflight.check import Check, ObservedFault, Room, Target, every_route, failed, passed, skipped, warned
from pullbench.preflight.context import CheckContext
from pullbench.registry.answer import retry_after_s

ID = "rate-limit"
NEAR = 0.8
"""Of what is left: a plan that takes more is near the limit, for others pull too, and retries count."""


SHORT_S = 600.0
"""A window that passes while the plan is under way: what is left in it now says little about the whole."""
_NUMBER = re.compile(r"\s*(\d{1,12})(?!\d)")
_WINDOW = re.compile(r";\s*w=(\d{1,9})(?!\d)")
_MAX_RESET_S = 7 * 86_400
HEADERS = frozenset(
    {
        *(f"{prefix}ratelimit-{name}" for prefix in ("", "x-") for name in ("limit", "remaining", "reset")),
        *("ratelimit", "ratelimit-policy", "retry-after", "docker-ratelimit-source"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """What is allowed in a window, and what is left of it; None where it is not said."""

    limit: int | None = None
    remaining: int | None = None
    window_s: float | None = None
    reset_s: float | None = None
    """Until what is left is counted anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What the registry allows, and what the plan needs of it."""

    limit: RateLimit | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    """Those that speak of limits, as they came."""
    cost: int | None = None
    """Manifest requests of the plan by this route and those that share its limit; None where there is no plan."""
    blocks: int = 1
    """Warm-up and repetitions, among which the cost is spread evenly."""
    warmup: int = 0
    authenticated: bool = False
    image: str | None = None
    """Whose manifest was asked for; None where none could be."""
    fault: ObservedFault | None = None
    retry_after_s: float | None = None


def probe(context: CheckContext, target: Target) -> Allowance:
    """By HEAD, which Docker Hub answers with its limits and does not count."""
    route, spec = target.route, context.spec
    authenticated = context.keychain.login(route) is not None
    known = Allowance(
        cost=cost_of(context, route, authenticated=authenticated),
        blocks=spec.warmup + spec.repetitions,
        warmup=spec.warmup,
        authenticated=authenticated,
    )
    for image in spec.images:
        try:
            head = context.head(route, image)
        except RegistryError as error:
            if error.code is ErrorCode.RATE_LIMITED:
                return replace(known, image=image, fault=ObservedFault.of(error), retry_after_s=error.retry_after_s)
            continue
        told = {name: clean(value, 120) for name, value in sorted(head.headers.items()) if name in HEADERS}
        return replace(known, image=image, limit=read_rate_limit(told, context.now()), headers=told)
    return known


def cost_of(context: CheckContext, route: Route, *, authenticated: bool) -> int | None:
    """Manifest requests of the plan by all ways that share the route's limit; None where there is no plan.

    Who is known has one limit wherever the requests come from; who is not, one for each address that is seen.
    """
    if context.plan is None:
        return None
    sharing = {
        (other.registry, other.proxy)
        for other in context.routes
        if (other.host, other.credentials) == (route.host, route.credentials)
        and (authenticated or other.forward_url == route.forward_url)
    }
    ours = [trial for trial in context.plan.trials if (trial.cell.registry, trial.cell.proxy) in sharing]
    return sum(manifest_requests(trial, context.facts) for trial in ours)


def read_rate_limit(headers: Mapping[str, str], now: datetime) -> RateLimit | None:
    """The limit that an answer's headers (lower-case names) state; None where they state none."""
    policy = headers.get("ratelimit-policy", "")
    fields = headers.get("ratelimit", "")
    limit_text = headers.get("ratelimit-limit") or headers.get("x-ratelimit-limit") or ""
    remaining_text = headers.get("ratelimit-remaining") or headers.get("x-ratelimit-remaining") or ""
    window = _WINDOW.search(limit_text) or _WINDOW.search(remaining_text) or _WINDOW.search(policy)
    found = RateLimit(
        limit=_first(_number(limit_text), _parameter(policy, "q"), _parameter(fields, "limit")),
        remaining=_first(_number(remaining_text), _parameter(fields, "r"), _parameter(fields, "remaining")),
        window_s=float(window[1]) if window else None,
        reset_s=_reset_s(headers, fields, now),
    )
    return None if found.limit is None and found.remaining is None else found


def _first(*values: int | None) -> int | None:
    return next((value for value in values if value is not None), None)


def _number(text: str) -> int | None:
    found = _NUMBER.match(text)
    return int(found[1]) if found else None


def _parameter(text: str, name: str) -> int | None:
    found = re.search(rf"(?:^|[;,\s]){name}=(\d{{1,12}})(?!\d)", text)
    return int(found[1]) if found else None


def _reset_s(headers: Mapping[str, str], fields: str, now: datetime) -> float | None:
    """Seconds, or the instant since 1970 as some gateways have it."""
    text = headers.get("ratelimit-reset") or headers.get("x-ratelimit-reset") or ""
    stated = _first(_number(text), _parameter(fields, "t"), _parameter(fields, "reset"))
    if stated is None:
        return retry_after_s(headers.get("retry-after"), now)
    seconds = float(stated)
    if seconds > 1e9:
        seconds -= now.timestamp()
    return seconds if 0 <= seconds <= _MAX_RESET_S else None


def judge(evidence: Allowance, target: Target) -> list[Finding]:
    cost, limit, route = evidence.cost, evidence.limit, target.route
    needs = "the next pulls" if cost is None else f"the plan's {_manifests(cost)}"
    expected = f"what is left holds {needs}"
    if evidence.fault is not None:
        told = evidence.fault
        wait = "" if evidence.retry_after_s is None else f"wait {_in_words(evidence.retry_after_s)}, or "
        return [failed(ID, target, told, expected, f"{wait}{_cure(evidence, route)}")]
    if evidence.image is None:
        return [skipped(ID, target, "not run: no image of the spec is there to ask about")]
    if limit is None:
        return [passed(ID, target, f"no rate limit is stated, for {needs} or others", expected)]
    observed = _observed(limit, evidence)
    left = limit.limit if limit.remaining is None else limit.remaining
    if left and cost and cost > left and _passes_soon(limit):
        window = _in_words(limit.window_s or limit.reset_s or 0)
        observed += f"; {needs} take several such windows, and more than that in {window} is refused"
        return [warned(ID, target, observed, expected, f"{_slower(limit)}; or {_cure(evidence, route)}")]
    if left is not None and left < max(1, cost or 0):
        if cost is not None and left >= 1:
            observed += f": {cost - left} too few for {needs}"
        told = ObservedFault(code=ErrorCode.RATE_LIMITED, text=observed)
        return [failed(ID, target, told, expected, _cure(evidence, route))]
    if cost is not None and left is not None and cost > NEAR * left:
        observed += f"; {needs} take {cost / left:.0%} of that, and retries and others' pulls count too"
        return [warned(ID, target, observed, expected, _cure(evidence, route))]
    return [passed(ID, target, observed, expected)]


def _passes_soon(limit: RateLimit) -> bool:
    length_s = limit.window_s or limit.reset_s
    return length_s is not None and length_s <= SHORT_S


def _slower(limit: RateLimit) -> str:
    """Two manifest requests a pull of an index; a limit that is not said is taken for what is left."""
    allowed, length_s = limit.limit or limit.remaining or 1, limit.window_s or limit.reset_s or 1.0
    return f"offer pulls below that rate: `load: {{mode: open, rate: {NEAR * allowed / length_s / 2:.2g}}}`"


def _observed(limit: RateLimit, evidence: Allowance) -> str:
    """`76 of 100 in 6 h are left, counted for this address`."""
    most = "" if limit.limit is None else f" of {limit.limit}"
    window = "" if limit.window_s is None else f" in {_in_words(limit.window_s)}"
    if limit.remaining is None:
        text = f"{limit.limit} requests{window} are allowed; how many are left is not said"
    else:
        text = f"{limit.remaining}{most} requests{window} are left"
    if limit.reset_s is not None:
        text += f"; counted anew in {_in_words(limit.reset_s)}"
    if source := evidence.headers.get("docker-ratelimit-source"):
        text += f"; counted for {source}"
    return text


def _cure(evidence: Allowance, route: Route) -> str:
    """What costs least first: log in, repeat less, pull through a mirror."""
    ways = []
    if not evidence.authenticated:
        ways.append(f"log in for a higher limit: `docker login {login_host(route)}`")
        if route.credentials == "anonymous":
            ways[0] += f" and give '{route.registry}' `credentials: docker`"
    if (fewer := _repetitions_that_fit(evidence)) is not None:
        ways.append(f"repeat less: `--set repetitions={fewer}`" if fewer else "pull fewer images, or fewer cells")
    if route.proxy == DIRECT or route.forward_url is not None:
        mirrored = "https://registry-1.docker.io" if route.host in DOCKER_HUB_HOSTS else route.url
        ways.append(
            f"pull through a mirror: a docker-registry with `proxy: {{remoteurl: {mirrored}}}`, in the spec as "
            f"`proxies: [{{name: cache, kind: mirror, upstream: {route.registry}, url: …}}]`"
        )
    else:
        ways.append(f"give the mirror at {route.host} credentials of its own for its upstream")
    return "; or ".join(ways)


def _repetitions_that_fit(evidence: Allowance) -> int | None:
    """How many blocks after the warm-up stay well within what is left; 0 where not even one, None where it is not known."""
    limit, cost = evidence.limit, evidence.cost
    left = None if limit is None else (limit.limit if limit.remaining is None else limit.remaining)
    if left is None or not cost:
        return None
    return max(0, math.floor(NEAR * left / (cost / evidence.blocks)) - evidence.warmup)


def _manifests(count: int) -> str:
    return "1 manifest request" if count == 1 else f"{count} manifest requests"


def _in_words(seconds: float) -> str:
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.0f} s"


CHECK = Check(
    id=ID,
    room=Room.CONTENT,
    looks_at="`HEAD` of the first image that is there, which Docker Hub answers with its limits and does not count: "
    "`ratelimit-limit`, `ratelimit-remaining`, `x-ratelimit-*`, the IETF's `ratelimit`, `retry-after`. Against it stand the "
    "manifest requests of the plan by this way and others with the same account, or the same address, at this host.",
    statuses={
        Status.PASS: "what is left holds the plan, or no limit is stated",
        Status.WARN: f"the plan takes more than {NEAR:.0%} of what is left, or more than is left in a window of minutes",
        Status.FAIL: "the plan asks for more than is left, nothing is left, or the answer is 429 already",
        Status.SKIP: "no image of the spec is there",
    },
    advice="Log in (`docker login HOST`), repeat less (`--set repetitions=N`, with the number that fits), or pull "
    "through a mirror.",
    targets=every_route,
    probe=probe,
    judge=judge,
    needs=frozenset({"api", "auth"}),
)
