"""Harbor's API v2.0: health, read-only mode, volumes and the projects' quotas.

Source: api/v2.0/swagger.yaml of goharbor/harbor, 2.16. Sizes are bytes; a hard limit of -1 means none. Volumes exist only for
a local disk: with an object store, or a disk that Harbor's core cannot see, total and free are 0.
"""

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from pullbench.errors import ErrorCode, RegistryError
from pullbench.model.text import clean
from pullbench.registry.products.api import ProductApi, objects, part, whole
from pullbench.registry.products.storage import Ailment, Space, Storage

_API = "/api/v2.0"
_BY_NAME = {"X-Is-Resource-Name": "true"}  # else Harbor treats a project named 42 as project ID 42


def read_storage(api: ProductApi, projects: Sequence[str]) -> Storage:
    """Harbor's storage, and the quotas of these projects. Raises RegistryError if it does not answer."""
    path = f"{_API}/systeminfo"
    answer = api.read(path)
    if answer.status == 404:  # the endpoint needs no login
        detail = "404: this is no Harbor API"
        raise RegistryError(ErrorCode.NOT_FOUND, f"GET {api.url}{path}", detail, status=404)
    info = answer.document
    health = api.read(f"{_API}/health").document
    hidden: list[str] = []
    spaces = [*_volumes(api, hidden)]
    is_cache = False
    for project in projects:
        summary = _summary(api, project, hidden)
        is_cache = is_cache or bool(part(summary, "registry"))
        if summary is not None:
            spaces += _quota(api, project, summary, hidden)
    read_only = part(info, "read_only")
    return Storage(
        product="Harbor",
        version=clean(part(info, "harbor_version") or "", 40).partition("-")[0],
        spaces=tuple(spaces),
        ailments=tuple(_ailments(api, health)),
        read_only=read_only if isinstance(read_only, bool) else None,
        read_only_remedy="turn it off under Administration → Configuration → System Settings → Repository Read Only, or with "
        f"`curl -u ADMIN -X PUT -H 'Content-Type: application/json' -d '{{\"read_only\": false}}' "
        f"{api.url}{_API}/configurations`",
        fills_by_pulls=is_cache,
        hidden=tuple(hidden),
    )


def _ailments(api: ProductApi, health: Any) -> list[Ailment]:
    found = []
    for entry in objects(part(health, "components")):
        if entry.get("status") != "healthy":
            name = clean(entry.get("name") or "a component", 60)
            text = clean(entry.get("error") or entry.get("status") or "no status")
            remedy = f"run `curl {api.url}{_API}/health`, and read the component's log on Harbor's host: `docker logs {_container(name)}`"
            found.append(Ailment(name=f"component {name}", text=text, remedy=remedy))
    if not found and part(health, "status") not in (None, "healthy"):
        remedy = f"run `curl {api.url}{_API}/health`"
        found.append(Ailment(name="Harbor", text=clean(part(health, "status")), remedy=remedy))
    return found


def _container(component: str) -> str:
    """The component's container in Harbor's compose file."""
    named = {"portal": "harbor-portal", "core": "harbor-core", "jobservice": "harbor-jobservice"}
    named |= {"database": "harbor-db", "trivy": "trivy-adapter"}
    return named.get(component, component)


def _volumes(api: ProductApi, hidden: list[str]) -> list[Space]:
    path = f"{_API}/systeminfo/volumes"
    answer = api.read(path)
    if answer.document is None:
        right = "a system administrator, or a robot account with permission to read `system-volumes`"
        hidden.append(f"the volumes (GET {path}: {answer.status} for {api.who}; it needs {right})")
        return []
    spaces = []
    for number, entry in enumerate(objects(part(answer.document, "storage"))):
        total, free = whole(entry.get("total")), whole(entry.get("free"))
        if not total or free is None:
            hidden.append("the volumes (Harbor reports 0 of 0 bytes, as with an object store)")
            continue
        name = "the volume" if number == 0 else f"volume {number + 1}"
        remedy = f"enlarge the disk of Harbor's data directory, or {_collect(api)}"
        spaces.append(Space(name=name, used_bytes=total - free, free_bytes=free, remedy=remedy))
    return spaces


def _summary(api: ProductApi, project: str, hidden: list[str]) -> Any:
    path = f"{_API}/projects/{quote(project, safe='')}/summary"
    answer = api.read(path, headers=_BY_NAME)
    if answer.document is None:
        right = "it needs a member of the project, or a robot account with permission to read its `quota`"
        hidden.append(f"the quota of project '{project}' (GET {path}: {answer.status} for {api.who}; {right})")
    return answer.document


def _quota(api: ProductApi, project: str, summary: Any, hidden: list[str]) -> list[Space]:
    quota = part(summary, "quota") or _listed_quota(api, project)
    hard, used = whole(part(quota, "hard", "storage")), whole(part(quota, "used", "storage"))
    if hard is None or used is None:
        hidden.append(
            f"the quota of project '{project}' (not in its summary for {api.who}; it needs a member of the project, "
            "or quotas are turned off)"
        )
        return []
    remedy = f"raise the quota under Administration → Project Quotas, or delete artifacts and {_collect(api)}"
    free = None if hard < 0 else max(0, hard - used)
    return [Space(name=f"the quota of project '{project}'", used_bytes=used, free_bytes=free, remedy=remedy)]


def _listed_quota(api: ProductApi, project: str) -> Any:
    """The quota from the list of quotas, which only system administrators may read."""
    number = part(api.read(f"{_API}/projects/{quote(project, safe='')}", headers=_BY_NAME).document, "project_id")
    if whole(number) is None:
        return None
    listed = objects(api.read(f"{_API}/quotas?reference=project&reference_id={number}").document)
    return listed[0] if listed else None


def _collect(api: ProductApi) -> str:
    return (
        "run garbage collection under Administration → Clean Up → Garbage Collection: `curl -u ADMIN -X POST "
        '-H \'Content-Type: application/json\' -d \'{"schedule": {"type": "Manual"}, "parameters": '
        f'{{"delete_untagged": true}}}}\' {api.url}{_API}/system/gc/schedule`'
    )
