"""Sonatype Nexus Repository 3: blob stores, their soft quotas, and whether the server accepts writes.

Source: the OpenAPI description of a server at /service/rest/swagger.json, and GenericBlobStoreApiResponse and
BlobStoreQuotaResultXO of sonatype/nexus-public. A store without a limit reports 2^63-1 bytes available. A read-only server
answers 503. A quota is soft: Nexus reports it, and continues to write.
"""

from typing import Any
from urllib.parse import quote

from pullbench.errors import ErrorCode, RegistryError
from pullbench.model.text import clean
from pullbench.registry.products.api import ProductApi, objects, part, whole
from pullbench.registry.products.storage import Ailment, Space, Storage

_API = "/service/rest/v1"
_NO_LIMIT_BYTES = 2**62
"""Larger than any disk; sums of several unlimited stores are capped at 2^63-1."""


def read_storage(api: ProductApi) -> Storage:
    """Nexus's storage, and the blob stores of its Docker repositories; all blob stores if it does not list them.

    Raises RegistryError if it does not answer as Nexus, such as at a port that serves only Docker.
    """
    status = api.answer(f"{_API}/status")
    if status.status not in (200, 503):
        detail = f"{status.status}: this is no REST API of Nexus"
        raise RegistryError(ErrorCode.NOT_FOUND, status.where, detail, status=status.status)
    ailments = [] if status.status == 200 else [_not_started(api)]
    hidden: list[str] = []
    stores = objects(_read(api, f"{_API}/blobstores", "the blob stores", "nx-blobstores-read", hidden))
    used = _used_by_docker(api) if stores else frozenset()
    chosen = [store for store in stores if not used or store.get("name") in used]
    spaces: list[Space] = []
    for store in chosen:
        name = clean(store.get("name") or "", 80)
        if store.get("unavailable") is True:
            ailments.append(_unavailable(api, name))
        elif store.get("type") != "Group":  # the list contains its members too
            spaces.append(_space(api, name, store, hidden))
    return Storage(
        product="Nexus",
        version=clean(status.headers.get("server", ""), 80).removeprefix("Nexus/").partition(" ")[0],
        spaces=tuple(spaces),
        ailments=tuple(ailments),
        read_only=api.answer(f"{_API}/status/writable").status == 503,
        read_only_remedy="turn it off under Administration → System → Nodes, or with "
        f"`curl -u ADMIN -X POST {api.url}{_API}/read-only/release`",
        hidden=tuple(hidden),
    )


def _read(api: ProductApi, path: str, what: str, right: str, hidden: list[str]) -> Any:
    answer = api.read(path)
    if answer.document is None:
        hidden.append(f"{what} (GET {path}: {answer.status} for {api.who}; it needs the privilege {right})")
    return answer.document


def _used_by_docker(api: ProductApi) -> frozenset[str]:
    """The names of the blob stores of Docker repositories; empty if the settings may not be read."""
    settings = objects(api.read(f"{_API}/repositorySettings").document)
    names = (part(entry, "storage", "blobStoreName") for entry in settings if entry.get("format") == "docker")
    return frozenset(name for name in names if isinstance(name, str))


def _space(api: ProductApi, name: str, store: dict[str, Any], hidden: list[str]) -> Space:
    used, free = whole(store.get("totalSizeInBytes")), whole(store.get("availableSpaceInBytes"))
    if free is not None and (free >= _NO_LIMIT_BYTES or (free == 0 and store.get("type") != "File")):
        free = None  # an object store has no limit, and some report that as 0
    return Space(
        name=f"blob store '{name}'",
        used_bytes=used,
        free_bytes=free,
        over_quota=_violation(api, name, hidden) if store.get("softQuota") else "",
        remedy="enlarge its disk, or run the tasks `Docker - Delete unused manifests and images` and `Admin - Compact "
        f"blob store` under Administration → System → Tasks; list them with `curl -u ADMIN {api.url}{_API}/blobstores`",
    )


def _violation(api: ProductApi, name: str, hidden: list[str]) -> str:
    path = f"{_API}/blobstores/{quote(name, safe='')}/quota-status"
    found = _read(api, path, f"the quota of blob store '{name}'", "nx-blobstores-read", hidden)
    return clean(part(found, "message") or "") if part(found, "isViolation") is True else ""


def _not_started(api: ProductApi) -> Ailment:
    remedy = f"run `curl -i {api.url}{_API}/status`, and read the server's nexus.log"
    return Ailment(name="the server", text="503: it cannot serve reads", remedy=remedy)


def _unavailable(api: ProductApi, name: str) -> Ailment:
    remedy = (
        f"check Administration → Repository → Blob Stores, `curl -u ADMIN {api.url}{_API}/blobstores` and nexus.log"
    )
    return Ailment(name=f"blob store '{name}'", text="unavailable", remedy=remedy)
