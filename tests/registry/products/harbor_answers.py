"""Harbor's answers, as its API description has them.

Source: goharbor/harbor v2.16.0, api/v2.0/swagger.yaml (definitions GeneralInfo, OverallHealthStatus, SystemInfo,
ProjectSummary, Quota, Errors); who may see what: src/server/v2.0/handler/systeminfo.go, quota.go and project.go.
Values are made up.
"""

import copy
from typing import Any

from tests.registry.products.server import Answer, Reply, path_of

GB = 10**9

INFO_FOR_ANYBODY: dict[str, Any] = {
    "auth_mode": "db_auth",
    "primary_auth_mode": False,
    "self_registration": False,
    "banner_message": "",
}
"""GeneralInfo of an anonymous request: "Some attributes will be omitted"."""

INFO: dict[str, Any] = {
    **INFO_FOR_ANYBODY,
    "harbor_version": "v2.16.0-c50c7ddd",
    "external_url": "https://harbor.example.com",
    "registry_url": "harbor.example.com",
    "has_ca_root": False,
    "project_creation_restriction": "adminonly",
    "read_only": False,
    "notification_enable": True,
    "registry_storage_provider_name": "filesystem",
    "current_time": "2026-11-23T16:15:00.000Z",
}

HEALTH: dict[str, Any] = {
    "status": "healthy",
    "components": [
        {"name": name, "status": "healthy"}
        for name in ("core", "database", "jobservice", "portal", "redis", "registry", "registryctl")
    ],
}

UNHEALTHY: dict[str, Any] = {
    "status": "unhealthy",
    "components": [
        {"name": "core", "status": "healthy"},
        {
            "name": "registry",
            "status": "unhealthy",
            "error": "failed to check health: Get http://registry:5000: refused",
        },
    ],
}

VOLUMES: dict[str, Any] = {"storage": [{"total": 2000 * GB, "free": 1500 * GB}]}
VOLUMES_OF_AN_OBJECT_STORE: dict[str, Any] = {"storage": [{"total": 0, "free": 0}]}

SUMMARY: dict[str, Any] = {
    "repo_count": 3,
    "developer_count": 2,
    "quota": {"hard": {"storage": 50 * GB}, "used": {"storage": 12 * GB}},
}
SUMMARY_WITHOUT_LIMIT: dict[str, Any] = {
    "repo_count": 3,
    "quota": {"hard": {"storage": -1}, "used": {"storage": 12 * GB}},
}
SUMMARY_OF_A_CACHE: dict[str, Any] = {**SUMMARY, "registry": {"id": 1, "name": "hub", "type": "docker-hub"}}
SUMMARY_WITHOUT_QUOTA: dict[str, Any] = {"repo_count": 3}

PROJECT: dict[str, Any] = {"project_id": 7, "name": "library", "repo_count": 3, "owner_name": "admin"}
QUOTAS: list[dict[str, Any]] = [
    {
        "id": 4,
        "ref": {"id": 7, "name": "library", "owner_name": "admin"},
        "hard": {"storage": 20 * GB},
        "used": {"storage": 19 * GB},
    }
]

UNAUTHORIZED: dict[str, Any] = {"errors": [{"code": "UNAUTHORIZED", "message": "unauthorized"}]}
FORBIDDEN: dict[str, Any] = {"errors": [{"code": "FORBIDDEN", "message": "forbidden"}]}

_V2 = {"Docker-Distribution-Api-Version": "registry/2.0"}
CHALLENGE = {
    **_V2,
    "WWW-Authenticate": 'Bearer realm="https://harbor.example.com/service/token",service="harbor-registry"',
}


def harbor(
    *,
    health: Any = HEALTH,
    volumes: Any = VOLUMES,
    summary: Any = SUMMARY,
    read_only: bool = False,
    admins: tuple[str, ...] = ("admin",),
) -> Answer:
    """A Harbor whose only project is `library`; who is no admin sees no volumes, and nobody sees no quota."""

    def answer(target: str, user: str | None) -> Reply | None:
        known: dict[str, Reply] = {
            "/v2/": (401, UNAUTHORIZED, CHALLENGE),
            "/api/v2.0/ping": (200, b"Pong", {"Content-Type": "text/plain; charset=utf-8"}),
            "/api/v2.0/health": (200, health),
            "/api/v2.0/systeminfo": (200, INFO_FOR_ANYBODY if user is None else {**INFO, "read_only": read_only}),
            "/api/v2.0/systeminfo/volumes": _for_admins(volumes, user, admins),
            "/api/v2.0/projects/library": _for_members(PROJECT, user),
            "/api/v2.0/projects/library/summary": _for_members(summary, user),
            "/api/v2.0/quotas": _for_admins(QUOTAS, user, admins),
        }
        return copy.deepcopy(known.get(path_of(target)))

    return answer


def _for_admins(document: Any, user: str | None, admins: tuple[str, ...]) -> Reply:
    if user is None:
        return 401, UNAUTHORIZED
    return (200, document) if user in admins else (403, FORBIDDEN)


def _for_members(document: Any, user: str | None) -> Reply:
    return (401, UNAUTHORIZED) if user is None else (200, document)
