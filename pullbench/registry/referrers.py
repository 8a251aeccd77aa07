"""What refers to an image: signatures, SBOMs and attestations (OCI distribution spec 1.1, "Listing Referrers").

A registry answers `GET /v2/NAME/referrers/DIGEST` with an index, which may be empty. Where it has no such API it answers 404, and
clients keep the same index under a fall-back tag, `sha256-…` (the same spec, "Referrers Tag Schema").
"""

import json
from dataclasses import dataclass

from pullbench.errors import ErrorCode, RegistryError
from pullbench.model.manifest import MAX_MANIFEST_BYTES, OCI_INDEX
from pullbench.model.reference import Reference
from pullbench.model.text import clean
from pullbench.registry.answer import Answer
from pullbench.registry.client import RegistryClient

MOST_TYPES = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Referrers:
    """The list of an image; `artifact_types` has one entry for each artifact, at most MOST_TYPES."""

    artifact_types: tuple[str, ...] = ()


def fallback_tag(digest: str) -> str:
    """The tag that stands in for the API: at most 128 characters."""
    algorithm, _, encoded = digest.partition(":")
    return f"{algorithm[:32]}-{encoded[:64]}"


def listed(client: RegistryClient, reference: Reference, digest: str) -> Referrers:
    """The list by the API. Raises RegistryError: a status of 404 means that the registry has no such API."""
    repository = client.route.repository(reference)
    path = f"/v2/{repository}/referrers/{digest}"
    answer = client.ask("GET", path, repository=repository, accept=OCI_INDEX, limit_bytes=MAX_MANIFEST_BYTES)
    if answer.content_type != OCI_INDEX:
        given = answer.content_type or "no Content-Type"
        raise answer.error_of(ErrorCode.NOT_A_REGISTRY, f"{answer.status} with {given} instead of {OCI_INDEX}")
    return _read(answer)


def tagged(client: RegistryClient, reference: Reference, digest: str) -> Referrers | None:
    """The list under the fall-back tag; None without that tag. It sends GET, as clients do."""
    tag = Reference(repository=reference.repository, tag=fallback_tag(digest))
    repository = client.route.repository(tag)
    path = f"/v2/{repository}/manifests/{tag.locator}"
    try:
        answer = client.ask("GET", path, repository=repository, accept=OCI_INDEX, limit_bytes=MAX_MANIFEST_BYTES)
    except RegistryError as error:
        if error.status == 404:
            return None
        raise
    return _read(answer)


def _read(answer: Answer) -> Referrers:
    try:
        entries = json.loads(answer.body)["manifests"]
        types = tuple(clean(entry.get("artifactType") or "an unnamed type", 120) for entry in entries[:MOST_TYPES])
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        raise answer.error_of(ErrorCode.NOT_A_REGISTRY, f"{answer.status} with a body that is no index") from None
    return Referrers(artifact_types=types)
