"""`api`: GET /v2/ is answered by a registry."""

import json
import re
import time
from dataclasses import dataclass, replace

from pullbench.errors import ErrorCode, RegistryError, Responder
from pullbench.model.addresses import DOCKER_HUB_API, DOCKER_HUB_HOSTS
from pullbench.model.finding import Finding, Status
from pullbench.model.remedy import of_handshake
from pullbench.preflight.check import (
    Check,
    ObservedFault,
    Room,
    Target,
    cure_of,
    every_route,
    failed,
    name_the_registry,
    passed,
    warned,
)
from pullbench.preflight.context import CheckContext
from pullbench.registry.auth import redact_url
from pullbench.registry.client import Ping

ID = "api"
_A_WORD = re.compile(rb"[A-Za-z][\w .!-]{0,31}")
EXPECTED = "a registry answers GET /v2/ with 200 or 401"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiAnswer:
    """The answer to GET /v2/ without credentials, or the fault."""

    ping: Ping | None = None
    fault: ObservedFault | None = None
    total_s: float = 0.0
    namespace: str | None = None
    """The registry's host, if this is a mirror that serves only requests that name it as ?ns=HOST."""


def probe(context: CheckContext, target: Target) -> ApiAnswer:
    client = context.client(target.route)
    started = time.monotonic()
    try:
        ping = client.ping(authenticate=False)
    except RegistryError as error:
        fault = ObservedFault.of(error)
        refused = fault.status in (400, 403, 404)
        namespace = context.needed_namespace(target.route, context.spec.images[0]) if refused else None
        return ApiAnswer(fault=fault if namespace else _as_no_registry(fault), namespace=namespace)
    return ApiAnswer(ping=ping, total_s=time.monotonic() - started)


def _as_no_registry(fault: ObservedFault) -> ObservedFault:
    """Every registry has /v2/, so a 404 here means `not_a_registry`."""
    if fault.code is not ErrorCode.NOT_FOUND:
        return fault
    return replace(fault, code=ErrorCode.NOT_A_REGISTRY, text=f"{fault.text}: this server has no /v2/")


def judge(evidence: ApiAnswer, target: Target) -> list[Finding]:
    ping, fault = evidence.ping, evidence.fault
    if ping is not None:
        fault = _not_a_registry(ping)
    if fault is not None and evidence.namespace is not None:
        text = f"{fault.text}; the mirror serves several registries, and answers a request that names its registry"
        cure = name_the_registry(target.route, evidence.namespace)
        return [failed(ID, target, replace(fault, text=text), EXPECTED, cure)]
    if fault is not None and fault.code is ErrorCode.FORBIDDEN and fault.answered_by is Responder.REGISTRY:
        cure = (
            f"let {target.route.host} answer /v2/ with 200, or with 401 and a challenge: podman and skopeo go on only then (docker and "
            "containerd do not look)"
        )
        return [warned(ID, target, fault, EXPECTED, cure)]
    if fault is not None or ping is None:
        fault = fault or ObservedFault(code=ErrorCode.UNKNOWN, text="no answer")
        cure = of_handshake(fault.text, target.route) or cure_of(fault, target)
        if target.route.host in DOCKER_HUB_HOSTS - {DOCKER_HUB_API} and fault.code is ErrorCode.NOT_A_REGISTRY:
            cure = f"write https://{DOCKER_HUB_API}: this host serves Docker Hub's images"
        return [failed(ID, target, fault, EXPECTED, cure)]
    version = ping.api_version or "no Docker-Distribution-API-Version (OCI does not require it)"
    server = f", {ping.server}" if ping.server else ""
    return [passed(ID, target, f"{ping.status} in {evidence.total_s * 1000:.0f} ms, {version}{server}", EXPECTED)]


def _not_a_registry(ping: Ping) -> ObservedFault | None:
    """The fault if another server answers: captive portals send 200 or 401 too, but a page, and no challenge.

    Clients do not read the body of a 200; registries send JSON, nothing, or a word such as `OK`.
    """
    where = f"GET {redact_url(ping.url)}: {ping.status}"
    if ping.status == 401:
        if ping.challenges:
            return None
        return ObservedFault(
            code=ErrorCode.NOT_A_REGISTRY, text=f"{where} without a Basic or Bearer challenge", status=401
        )
    if ping.content_type.lower().startswith("text/html") or not _is_harmless(ping.body):
        kind = ping.content_type or "no content type"
        return ObservedFault(code=ErrorCode.NOT_A_REGISTRY, text=f"{where} with a body of {kind}", status=ping.status)
    return None


def _is_harmless(body: bytes) -> bool:
    """Whether a body may be a registry's: JSON, nothing or a short line of text."""
    try:
        return not body.strip() or isinstance(json.loads(body), dict | list | bool | str | type(None))
    except (ValueError, RecursionError):
        return _A_WORD.fullmatch(body.strip()) is not None


CHECK = Check(
    id=ID,
    room=Room.NETWORK,
    looks_at="Sends `GET /v2/` without credentials and checks the status, challenge, body, version and server headers.",
    statuses={
        Status.PASS: "the status is 200, or 401 with a challenge",
        Status.WARN: "the status is 403 without a login: podman and skopeo stop there",
        Status.FAIL: "there is no answer, another status, or an answer that no registry sends, such as a captive portal's page",
    },
    advice="Check which server answers: `curl -i URL/v2/`.",
    targets=every_route,
    probe=probe,
    judge=judge,
    needs=frozenset({"tcp", "tls"}),
)
