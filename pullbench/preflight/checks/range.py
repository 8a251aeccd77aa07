"""`range`: the registry serves parts of a blob, which chunked pulls and resumed downloads need."""

import re
from dataclasses import dataclass, field, replace

from pullbench.errors import ErrorCode, RegistryError
from pullbench.model.finding import Finding, Status
from pullbench.model.manifest import Descriptor
from pullbench.model.reference import Reference
from pullbench.model.remedy import look
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
from pullbench.registry.client import RegistryClient

ID = "range"
IGNORED = "range-ignored"
COMPRESSED = "range-compressed"
FIRST, LAST = 1, 16
EXPECTED = "206 with Content-Range and exactly the requested bytes (RFC 9110, section 14)"
IDENTITY = "content comes as it is stored, unless the client asks for compression (RFC 9110, section 12.5.3)"
_MOST_OVERHEAD = 1024  # what compression may add to small content
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeAnswer:
    """The answer to a request for bytes FIRST to LAST of an image's config, and the correct bytes."""

    repository: str = ""
    digest: str = ""
    size_bytes: int = 0
    status: int | None = None
    content_range: str = ""
    body: bytes = field(default=b"", repr=False)
    promised: bytes = field(default=b"", repr=False)
    encoding: str = ""
    """The Content-Encoding of a config that was requested without Accept-Encoding; empty if it came as it is."""
    fault: ObservedFault | None = None
    """The fault if the blob, or a part of it, could not be fetched."""


def probe(context: CheckContext, target: Target) -> RangeAnswer | None:
    """Request a part of the first existing image's config; None if there is no image.

    A config is used, not a layer: its bytes are known and can be compared, and a pull-through mirror does not fetch a layer
    that a benchmark needs to be cold.
    """
    client = context.client(target.route)
    for image in context.spec.images:
        for platform in context.platforms:
            try:
                found = context.platform_image(target.route, image, platform)
            except RegistryError:
                continue
            if found is not None and found.manifest.config.size_bytes > LAST:
                return _ask(client, client.route.repository(Reference.parse(image)), found.manifest.config)
    return None


def _ask(client: RegistryClient, repository: str, config: Descriptor) -> RangeAnswer:
    path, size = f"/v2/{repository}/blobs/{config.digest}", config.size_bytes
    try:
        whole = client.config(repository, config)
        answer = client.ask(
            "GET", path, repository=repository, limit_bytes=size, headers={"Range": f"bytes={FIRST}-{LAST}"}
        )
    except RegistryError as error:
        return RangeAnswer(repository=repository, digest=config.digest, size_bytes=size, fault=ObservedFault.of(error))
    return RangeAnswer(
        repository=repository,
        digest=config.digest,
        size_bytes=size,
        status=answer.status,
        content_range=clean(answer.headers.get("content-range", ""), 80),
        body=answer.body,
        promised=whole[FIRST : LAST + 1],
        encoding=_encoding(client, repository, config),
    )


def _encoding(client: RegistryClient, repository: str, config: Descriptor) -> str:
    """How the config is encoded for a client that asks for no encoding; a refused request tells nothing."""
    try:
        answer = client.ask(
            "GET",
            f"/v2/{repository}/blobs/{config.digest}",
            repository=repository,
            limit_bytes=config.size_bytes + _MOST_OVERHEAD,
            headers={"Accept-Encoding": ""},
        )
    except RegistryError:
        return ""
    found = clean(answer.headers.get("content-encoding", ""), 40)
    return "" if found.lower() == "identity" else found


def judge(evidence: RangeAnswer | None, target: Target) -> list[Finding]:
    if evidence is None:
        return [skipped(ID, target, "not run: the registry has no image of the spec")]
    route, fault = target.route, evidence.fault
    if fault is not None and fault.status != 416:
        return [failed(ID, target, fault, "the registry serves a blob of an image", cure_of(fault, target))]
    wrong = f"416: {fault.text}" if fault is not None else _wrong(evidence)
    compressed = [_of_compression(evidence, target)] if evidence.encoding else []
    if wrong is None:
        return compressed or [passed(ID, target, f"206, {evidence.content_range}", EXPECTED)]
    path, options = f"{evidence.repository}/blobs/{evidence.digest}", f"-sSL -o /dev/null -D - -r {FIRST}-{LAST}"
    cure = (
        f"pass Range and Content-Range through the proxy or cache in front of {route.host}, or turn chunked pulls off "
        f"(`chunk_bytes` in the spec); check with `{look(path, route, options)}`"
    )
    costs = "chunked pulls and resumed downloads fetch the whole layer"
    if isinstance(wrong, ObservedFault):
        return [warned(ID, target, replace(wrong, text=f"{wrong.text}: {costs}"), EXPECTED, cure), *compressed]
    return [warned(ID, target, f"{wrong}: {costs}", EXPECTED, cure, kind=IGNORED), *compressed]


def _of_compression(evidence: RangeAnswer, target: Target) -> Finding:
    text = (
        f"a proxy compresses (Content-Encoding: {evidence.encoding}) for clients that send no Accept-Encoding: they get other bytes "
        "than those of the digest; pullbench always asks for identity"
    )
    cure = (
        f"turn compression off for /v2/ in front of {target.route.host} (nginx `gzip off;`, Apache `SetEnv no-gzip 1`, HAProxy "
        f"without `compression algo`): layers are compressed already; check with "
        f"`{look(f'{evidence.repository}/blobs/{evidence.digest}', target.route, '-sSL -o /dev/null -D -')}`"
    )
    return warned(ID, target, text, IDENTITY, cure, kind=COMPRESSED)


def _wrong(part: RangeAnswer) -> ObservedFault | str | None:
    """What is wrong with the answer; None if it is right. Wrong bytes in the right range are a fault with a code."""
    if part.status != 206:
        return f"{part.status} with {len(part.body)} bytes"
    found = _CONTENT_RANGE.fullmatch(part.content_range.strip())
    if found is None:
        return f"206 with the Content-Range '{part.content_range}'"
    first, last, total = found.groups()
    if (int(first), int(last)) != (FIRST, LAST) or total not in ("*", str(part.size_bytes)):
        return f"206 with {part.content_range} instead of {FIRST}-{LAST}/{part.size_bytes}"
    if part.body != part.promised:
        text = f"206 with {part.content_range}, but with wrong bytes"
        return ObservedFault(code=ErrorCode.DIGEST_MISMATCH, text=text)
    return None


CHECK = Check(
    id=ID,
    room=Room.CONTENT,
    looks_at=f"Requests bytes {FIRST} to {LAST} of an image's config, whose bytes are known. It requests no layer, because a "
    "pull-through mirror would have to fetch it. Requests the config once without `Accept-Encoding`.",
    statuses={
        Status.PASS: "the answer is 206 with exactly these bytes",
        Status.WARN: "the answer is the whole blob or another part: chunked pulls and resumed downloads fetch everything again; or "
        "content is compressed although the client did not ask for it",
        Status.FAIL: "the blob cannot be fetched at all, for example because the storage behind a redirect does not answer",
        Status.SKIP: "the registry has no image of the spec",
    },
    advice="Pass `Range` through the proxy in front of the registry, or turn chunked pulls off: "
    f"`curl -sSL -o /dev/null -D - -r {FIRST}-{LAST} URL/v2/REPOSITORY/blobs/DIGEST`.",
    kinds={
        IGNORED: FindingKind(
            cause="A proxy or a cache in front of the registry removes `Range`, or the registry does not support it.",
            remedy="Pass `Range` and `Content-Range` through the proxy, or turn chunked pulls off (`chunk_bytes` in the spec).",
        ),
        COMPRESSED: FindingKind(
            cause="A proxy compresses every answer. Layers are compressed already, and the bytes no longer have their digest.",
            remedy="Turn compression off for `/v2/` (nginx `gzip off;`, Apache `SetEnv no-gzip 1`, HAProxy without `compression algo`).",
        ),
    },
    targets=every_route,
    probe=probe,
    judge=judge,
    needs=frozenset({"api", "auth"}),
)
