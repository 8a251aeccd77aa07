"""Nexus Repository 3's answers, as its OpenAPI description and its source have them.

Source: sonatype/nexus-public (commits bd54b7e1 and 254ce2dd), components/nexus-blobstore,
org.sonatype.nexus.blobstore.rest: GenericBlobStoreApiResponse, BlobStoreApiSoftQuota, BlobStoreQuotaResultXO,
BlobStoreResource (who may see them: nexus:blobstores:read); status and status/writable: 200, or 503 as Sonatype's
article "Nexus 3 Server Metrics and Health Information" says; repositorySettings: SimpleApiHostedRepository and
SimpleApiProxyRepository, storage of StorageAttributes. Values are made up.
"""

import copy
from collections.abc import Sequence
from typing import Any

from tests.registry.products.server import Answer, Reply, path_of

GB = 10**9
LONG_MAX = 2**63 - 1

FILE_STORE: dict[str, Any] = {
    "softQuota": None,
    "name": "default",
    "type": "File",
    "unavailable": False,
    "blobCount": 4711,
    "totalSizeInBytes": 100 * GB,
    "availableSpaceInBytes": 300 * GB,
}
S3_STORE: dict[str, Any] = {
    **FILE_STORE,
    "name": "bucket",
    "type": "S3",
    "availableSpaceInBytes": LONG_MAX,
}
LIMITED_STORE: dict[str, Any] = {
    **FILE_STORE,
    "name": "docker",
    "softQuota": {"type": "spaceUsedQuota", "limit": 50 * GB},
}
LOST_STORE: dict[str, Any] = {
    **FILE_STORE,
    "name": "lost",
    "unavailable": True,
    "blobCount": 0,
    "totalSizeInBytes": 0,
    "availableSpaceInBytes": 0,
}
VIOLATION: dict[str, Any] = {
    "isViolation": True,
    "message": "Blob store docker is using 100.00 GB space and has a limit of 50.00 GB",
    "blobStoreName": "docker",
}
NO_VIOLATION: dict[str, Any] = {
    "isViolation": False,
    "message": "Blob store docker has no quota",
    "blobStoreName": "docker",
}
DOCKER_SETTINGS: list[dict[str, Any]] = [
    {"name": "maven-central", "format": "maven2", "type": "proxy", "storage": {"blobStoreName": "default"}},
    {"name": "hub", "format": "docker", "type": "proxy", "storage": {"blobStoreName": "docker"}},
    {"name": "all", "format": "docker", "type": "group", "storage": {"blobStoreName": "docker"}},
]
SERVER = "Nexus/3.76.1-01 (COMMUNITY)"

CHALLENGE = {
    "Docker-Distribution-Api-Version": "registry/2.0",
    "WWW-Authenticate": 'Basic realm="Sonatype Nexus Repository Manager"',
}


def nexus(
    *,
    stores: Sequence[Any] = (FILE_STORE,),
    settings: Any = None,
    quota: Any = NO_VIOLATION,
    status: int = 200,
    writable: int = 200,
    readers: tuple[str, ...] = ("admin",),
) -> Answer:
    """A Nexus; `settings` None is a user who may not read the repositories' settings."""

    def answer(target: str, user: str | None) -> Reply | None:
        path, may = path_of(target), 200 if user in readers else 401 if user is None else 403
        known: dict[str, Reply] = {
            "/v2/": (401, {"errors": [{"code": "UNAUTHORIZED"}]}, CHALLENGE),
            "/service/rest/v1/status": (status, b""),
            "/service/rest/v1/status/writable": (writable, b""),
            "/service/rest/v1/blobstores": (may, list(stores)),
            "/service/rest/v1/blobstores/docker/quota-status": (may, quota),
            "/service/rest/v1/repositorySettings": (403 if settings is None else may, settings or []),
        }
        return copy.deepcopy(known.get(path))

    return answer
