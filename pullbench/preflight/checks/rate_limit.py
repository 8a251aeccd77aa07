"""`rate-limit`: the rest of the registry's rate limit is enough for the plan.

Headers report a limit in three dialects: Docker Hub's `ratelimit-limit: 100;w=21600` (Docker's page "Pull usage and
limits"), `x-ratelimit-*` of many gateways, and the IETF's `RateLimit: "name";r=50;t=30` with `RateLimit-Policy:
"name";q=100;w=60` (draft-ietf-httpapi-ratelimit-headers).
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from pullbench.errors import ErrorCode, RegistryError, Responder
from pullbench.model.addresses import DOCKER_HUB_HOSTS, login_host
from pullbench.model.finding import Finding, Status
from pullbench.model.plan import manifest_requests
from pullbench.model.route import DIRECT, Route
from pullbench.model.text import clean
from pullbench.preflight.check import (
    Check,
    FindingKind,
    ObservedFault,
    Room,
    Target,
    cure_of,
    every_route,
    failed,
    passed,
    skipped,
    warned,
)
from pullbench.preflight.context import CheckContext
from pullbench.registry.answer import retry_after_s
from pullbench.registry.patience import PATIENCE_S

ID = "rate-limit"
SEVERAL_WINDOWS = "rate-limit-several-windows"
NEARLY_USED = "rate-limit-nearly-used"
NEAR = 0.8
"""A plan that needs more than this share of the rest is near the limit: other clients pull too, and retries count."""


SHORT_S = 600.0
"""A window this short renews during the run, so its current rest says little about the whole plan."""
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
    """The requests allowed in a window, and the rest; None for values that the headers do not have."""

    limit: int | None = None
    remaining: int | None = None
    window_s: float | None = None
    reset_s: float | None = None
    """Seconds until the window renews."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """The registry's limit, and the requests of the plan."""

    limit: RateLimit | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    """The rate limit headers, as sent."""
    cost: int | None = None
    """The plan's manifest requests on this route and on routes that share its limit; None without a plan."""
    blocks: int = 1
    """Warm-up and repetitions; the cost is spread evenly over them."""
    warmup: int = 0
    authenticated: bool = False
    image: str | None = None
    """The image whose manifest was requested; None if no image exists."""
    fault: ObservedFault | None = None
    retry_after_s: float | None = None


def probe(context: CheckContext, target: Target) -> Allowance:
    """Send HEAD, which Docker Hub answers with its limits and does not count."""
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
        headers = {name: clean(value, 120) for name, value in sorted(head.headers.items()) if name in HEADERS}
        return replace(known, image=image, limit=read_rate_limit(headers, context.now()), headers=headers)
    return known


def cost_of(context: CheckContext, route: Route, *, authenticated: bool) -> int | None:
    """The plan's manifest requests on all routes that share the route's limit; None without a plan.

    An account has one limit for all addresses. Anonymous clients have one limit per address.
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
    """The limit in an answer's headers (lower-case names); None if there is none."""
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
    """Seconds until the reset; some gateways send a Unix time instead."""
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
    expected = f"the remaining requests are enough for {needs}"
    if evidence.fault is not None and _is_of_front(evidence.fault, evidence.retry_after_s):
        return [warned(ID, target, evidence.fault, expected, cure_of(evidence.fault, target))]
    if evidence.fault is not None:
        wait = "" if evidence.retry_after_s is None else f"wait {_in_words(evidence.retry_after_s)}, or "
        return [failed(ID, target, evidence.fault, expected, f"{wait}{_cure(evidence, route)}")]
    if evidence.image is None:
        return [skipped(ID, target, "not run: the registry has no image of the spec")]
    if limit is None:
        return [passed(ID, target, f"the registry reports no rate limit ({needs})", expected)]
    observed = _observed(limit, evidence)
    left = limit.limit if limit.remaining is None else limit.remaining
    if left and cost and cost > left and _passes_soon(limit):
        window = _in_words(limit.window_s or limit.reset_s or 0)
        observed += f"; {needs} need several windows of {window}, and requests beyond the limit fail"
        return [
            warned(
                ID, target, observed, expected, f"{_slower(limit)}; or {_cure(evidence, route)}", kind=SEVERAL_WINDOWS
            )
        ]
    if left is not None and left < max(1, cost or 0):
        if cost is not None and left >= 1:
            observed += f": {cost - left} too few for {needs}"
        fault = ObservedFault(code=ErrorCode.RATE_LIMITED, text=observed)
        return [failed(ID, target, fault, expected, _cure(evidence, route))]
    if cost is not None and left is not None and cost > NEAR * left:
        observed += f"; {needs} use {cost / left:.0%} of them; retries and other clients' pulls count too"
        return [warned(ID, target, observed, expected, _cure(evidence, route), kind=NEARLY_USED)]
    return [passed(ID, target, observed, expected)]


def _is_of_front(fault: ObservedFault, wait_s: float | None) -> bool:
    """Whether a proxy in front limits requests each second: it asks for no longer pause than a client makes by itself."""
    return fault.answered_by is Responder.IN_FRONT and (wait_s is None or wait_s <= PATIENCE_S)


def _passes_soon(limit: RateLimit) -> bool:
    length_s = limit.window_s or limit.reset_s
    return length_s is not None and length_s <= SHORT_S


def _slower(limit: RateLimit) -> str:
    """A load below the limit: pulling an index takes two manifest requests. Without a limit, the rest counts."""
    allowed, length_s = limit.limit or limit.remaining or 1, limit.window_s or limit.reset_s or 1.0
    return f"pull below that rate: `load: {{mode: open, rate: {NEAR * allowed / length_s / 2:.2g}}}`"


def _observed(limit: RateLimit, evidence: Allowance) -> str:
    """`76 of 100 requests in 6 h remain; counted for this address`."""
    most = "" if limit.limit is None else f" of {limit.limit}"
    window = "" if limit.window_s is None else f" in {_in_words(limit.window_s)}"
    if limit.remaining is None:
        text = f"the limit is {limit.limit} requests{window}; the registry does not report how many remain"
    else:
        text = f"{limit.remaining}{most} requests{window} remain"
    if limit.reset_s is not None:
        text += f"; the limit renews in {_in_words(limit.reset_s)}"
    if source := evidence.headers.get("docker-ratelimit-source"):
        text += f"; counted for {source}"
    return text


def _cure(evidence: Allowance, route: Route) -> str:
    """The options, cheapest first: log in, use fewer repetitions, pull through a mirror."""
    options = []
    if not evidence.authenticated:
        options.append(f"log in for a higher limit: `docker login {login_host(route)}`")
        if route.credentials == "anonymous":
            options[0] += f", and set `credentials: docker` for '{route.registry}'"
    if (fewer := _repetitions_that_fit(evidence)) is not None:
        fits = f"use fewer repetitions: `--set repetitions={fewer}`"
        options.append(fits if fewer else "use fewer images or configurations")
    if route.proxy == DIRECT or route.forward_url is not None:
        mirrored = "https://registry-1.docker.io" if route.host in DOCKER_HUB_HOSTS else route.url
        options.append(
            f"pull through a mirror: run a docker-registry with `proxy: {{remoteurl: {mirrored}}}`, and add to the spec "
            f"`proxies: [{{name: cache, kind: mirror, upstream: {route.registry}, url: …}}]`"
        )
    else:
        options.append(f"give the mirror at {route.host} credentials for its upstream")
    return "; or ".join(options)


def _repetitions_that_fit(evidence: Allowance) -> int | None:
    """The repetitions that stay well within the rest, after the warm-up; 0 if none fits, None if the rest is unknown."""
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
    looks_at="Sends `HEAD` for the first existing image and reads the rate limit headers: `ratelimit-limit`, "
    "`ratelimit-remaining`, `x-ratelimit-*`, the IETF's `ratelimit`, `retry-after`. Docker Hub does not count this request. "
    "The check compares the rest with the plan's manifest requests on all routes that share the account or address.",
    statuses={
        Status.PASS: "the remaining requests are enough for the plan, or the registry reports no limit",
        Status.WARN: f"the plan needs more than {NEAR:.0%} of the remaining requests, or more than remain in a window of minutes; "
        "or a proxy in front of the registry limits the rate",
        Status.FAIL: "the plan needs more requests than remain, none remain, or the answer is already 429",
        Status.SKIP: "the registry has no image of the spec",
    },
    advice="Log in (`docker login HOST`), use fewer repetitions (`--set repetitions=N`; the finding computes N), or pull through "
    "a mirror.",
    kinds={
        SEVERAL_WINDOWS: FindingKind(
            cause="The plan has more manifest requests than the registry allows in one of its short windows.",
            remedy="Lower the concurrency or the rate, log in for a higher limit, or pull through a mirror.",
        ),
        NEARLY_USED: FindingKind(
            cause="The plan uses most of the remaining requests. Retries, and other clients behind the same account or address, use the rest.",
            remedy="Log in (`docker login HOST`), use fewer repetitions (`--set repetitions=N`), or pull through a mirror.",
        ),
    },
    targets=every_route,
    probe=probe,
    judge=judge,
    needs=frozenset({"api", "auth"}),
)
