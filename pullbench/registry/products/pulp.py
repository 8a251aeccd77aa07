"""Pulp's status API, which needs no login: versions, the database and the disk of its content.

Source: GET /pulp/api/v3/status/ of pulpcore 3. Sizes are bytes; with an object store `storage` is null.
"""

from typing import Any

from pullbench.errors import ErrorCode, RegistryError
from pullbench.model.text import clean
from pullbench.registry.products.api import PULP_STATUS, ProductApi, objects, part, whole
from pullbench.registry.products.storage import Ailment, Space, Storage


def read_storage(api: ProductApi) -> Storage:
    """Pulp's storage. Raises RegistryError if it does not answer."""
    answer = api.read(PULP_STATUS)
    if answer.document is None:
        detail = f"{answer.status}: this is no API of Pulp"
        raise RegistryError(ErrorCode.NOT_FOUND, f"GET {api.url}{PULP_STATUS}", detail, status=answer.status)
    status = answer.document
    space = _space(status)
    versions = {entry.get("component"): entry.get("version") for entry in objects(part(status, "versions"))}
    see = f"run `curl {api.url}{PULP_STATUS}`, and read the log of Pulp's API server"
    is_cut = part(status, "database_connection", "connected") is False
    return Storage(
        product="Pulp",
        version=clean(versions.get("core") or "", 40),
        spaces=() if space is None else (space,),
        ailments=(Ailment(name="the database", text="not connected", remedy=see),) if is_cut else (),
        hidden=() if space is not None else ("the disk (Pulp reports none, as with an object store)",),
    )


def _space(status: Any) -> Space | None:
    used, free = whole(part(status, "storage", "used")), whole(part(status, "storage", "free"))
    if free is None:
        return None
    remedy = "enlarge the disk of Pulp's media directory, or delete content and run `pulp orphan cleanup`"
    return Space(name="the disk of its content", used_bytes=used, free_bytes=free, remedy=remedy)
