"""Quay's quotas, one for each organization, which its API shows only to an OAuth token.

Source: endpoints/api/namespacequota.py and organization.py of quay/quay, 3.15. `/organization/ORG/quota` has the limits, and
`/organization/ORG` the use as `quota_report`, where quota management is on. Sizes are bytes. A quota without a limit of the type
Reject only warns. An OAuth token is the password of the user `$oauthtoken`, also for `docker login`.
"""

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from pullbench.errors import ErrorCode, RegistryError
from pullbench.model.text import clean, format_bytes
from pullbench.registry.products.api import ProductApi, objects, part, whole
from pullbench.registry.products.storage import Space, Storage

_API = "/api/v1/organization"
_COUNTED = ("", "complete")
"""States of Quay's count of an organization's bytes in which it is whole."""
_NEEDS = "it needs a token of a member, and quota management turned on (`FEATURE_QUOTA_MANAGEMENT`)"


def read_storage(api: ProductApi, organizations: Sequence[str]) -> Storage:
    """The quotas of these organizations. `api` must have an OAuth token. Raises RegistryError if Quay does not answer."""
    hidden: list[str] = []
    spaces = [space for name in organizations if (space := _space(api, name, hidden)) is not None]
    return Storage(product="Quay", spaces=tuple(spaces), hidden=tuple(hidden))


def _space(api: ProductApi, name: str, hidden: list[str]) -> Space | None:
    path = f"{_API}/{quote(name, safe='')}"
    shown = clean(name, 80)
    limits = api.read(f"{path}/quota")
    if limits.document is None:
        hidden.append(
            f"the quota of organization '{shown}' (GET {path}/quota: {limits.status} for {api.who}; {_NEEDS})"
        )
        return None
    if not isinstance(limits.document, list):
        detail = "the answer is no list of quotas"
        raise RegistryError(ErrorCode.NOT_A_REGISTRY, f"GET {api.url}{path}/quota", detail, status=limits.status)
    report = part(api.read(path).document, "quota_report")
    used = whole(part(report, "quota_bytes"))
    if used is None or (part(report, "backfill_status") or "") not in _COUNTED:
        hidden.append(f"the bytes of organization '{shown}' (Quay does not report them, or still counts them)")
        return None
    return _of(shown, limits.document, used, whole(part(report, "configured_quota")))


def _of(name: str, quotas: list[Any], used: int, default: int | None) -> Space:
    """The space of the first quota, or of the whole system's; Quay supports one quota for each organization."""
    title = f"the quota of organization '{name}'"
    remedy = (
        f"raise the quota under Organization {name} → Settings → Quota Management, or delete tags and wait until the garbage "
        "collector has run (the time machine keeps deleted tags for a while)"
    )
    own = next(iter(objects(quotas)), None)
    limit = default if own is None else whole(part(own, "limit_bytes"))
    if limit is None:
        return Space(name=title, used_bytes=used, remedy=remedy)
    limits = objects(part(own, "limits")) if own is not None else [{"type": "Reject", "limit_percent": 100}]
    refusing = [whole(each.get("limit_percent")) for each in limits if each.get("type") == "Reject"]
    percent = min((each for each in refusing if each is not None), default=None)
    if percent is not None:
        return Space(name=title, used_bytes=used, free_bytes=max(0, limit * percent // 100 - used), remedy=remedy)
    over = f"{title} is exceeded: {format_bytes(used)} of {format_bytes(limit)}; it only warns, and Quay accepts pushes"
    return Space(name=title, used_bytes=used, over_quota=over if used > limit else "", remedy=remedy)
