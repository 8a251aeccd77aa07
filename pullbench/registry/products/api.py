"""Queries a product's own JSON API. Credentials are sent without a challenge, because these APIs send none."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pullbench.errors import ErrorCode
from pullbench.model.route import Route
from pullbench.registry.answer import Answer
from pullbench.registry.auth import TOKEN_USERNAME, Credentials, basic_header
from pullbench.registry.client import Ping
from pullbench.registry.exchange import Exchanger
from pullbench.registry.keychain import Keychain
from pullbench.registry.patience import PATIENCE_S, Patience

OAUTH_USERNAME = "$oauthtoken"
"""The user name whose password is an OAuth token (auth/credential_consts.py of quay/quay)."""
MAX_BYTES = 4 * 1024 * 1024
_EXCHANGE_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductAnswer:
    """An answer: its JSON for status 200; None if it was refused or does not exist (401, 403, 404)."""

    status: int
    document: Any = field(default=None, repr=False)


class ProductApi:
    """The API of one registry's product. Thread-safe; close it when done.

    Credentials go only to the route's own host, in clear text only if the spec allows it, and never after a redirect to
    another host, and no longer once the registry has refused them. Raises UsageError if the `ca_file` or the credentials source fails.
    """

    def __init__(
        self,
        route: Route,
        keychain: Keychain,
        *,
        timeout_s: float = 10.0,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.url = route.url
        self._patience = Patience(PATIENCE_S, monotonic=monotonic, sleep=sleep)
        self._exchanger = Exchanger(
            route,
            connect_timeout_s=timeout_s,
            read_timeout_s=timeout_s,
            exchange_timeout_s=_EXCHANGE_TIMEOUT_S,
            forward_login=keychain.forward_login(route),
        )
        found = keychain.credentials(route.credentials, route.host)
        is_refused = keychain.logins.refusal(route.url, found) is not None
        self._credentials = found if route.may_send(route.url) and _is_password(found) and not is_refused else None
        self._authorization = None if self._credentials is None else _authorization(self._credentials)

    @property
    def who(self) -> str:
        """The user that the product sees, for display."""
        return "nobody" if self._credentials is None else f"user '{self._credentials.username}'"

    @property
    def has_oauth_token(self) -> bool:
        """Whether the credentials are an OAuth token of Quay."""
        return self._credentials is not None and self._credentials.username == OAUTH_USERNAME

    def answer(self, path: str, *, headers: Mapping[str, str] | None = None) -> Answer:
        """GET with any status; RegistryError if there is no HTTP answer."""
        send = partial(
            self._exchanger.send,
            "GET",
            f"{self.url}{path}",
            limit_bytes=MAX_BYTES,
            headers={"Accept": "application/json", **(headers or {})},
            authorization=self._authorization,
        )
        return self._patience.keep(send, limits=self._credentials is None)

    def read(self, path: str, *, headers: Mapping[str, str] | None = None) -> ProductAnswer:
        """GET a JSON document. Raises RegistryError for an unexpected status, and for an answer that is not JSON."""
        answer = self.answer(path, headers=headers)
        if answer.status in (401, 403, 404):
            return ProductAnswer(status=answer.status)
        if answer.status != 200:
            raise answer.fault()
        try:
            return ProductAnswer(status=answer.status, document=json.loads(answer.body))
        except (ValueError, RecursionError):
            detail = "the answer is not JSON"
            raise answer.error_of(ErrorCode.NOT_A_REGISTRY, detail) from None

    def close(self) -> None:
        self._exchanger.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _is_password(found: Credentials | None) -> bool:
    """Whether it is a password: an identity token works only at the token service, not at a product's API."""
    return found is not None and found.username != TOKEN_USERNAME and bool(found.password)


def _authorization(found: Credentials) -> str:
    return f"Bearer {found.password}" if found.username == OAUTH_USERNAME else basic_header(found)


def part(document: Any, *names: str) -> Any:
    """The value under these names in foreign JSON; None if a part of the path is missing or not an object."""
    for name in names:
        if not isinstance(document, dict):
            return None
        document = document.get(name)
    return document


def whole(value: Any) -> int | None:
    """A number of bytes in foreign JSON; None if it is not one."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def objects(value: Any) -> list[dict[str, Any]]:
    """The objects in a foreign JSON list; empty if it is not a list."""
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _is_quays(realm: str, url: str) -> bool:
    return realm.endswith("/v2/auth") and urlsplit(realm).hostname == urlsplit(url).hostname


def _is_pulp(answer: Answer) -> bool:
    try:
        return answer.status == 200 and isinstance(part(json.loads(answer.body), "versions"), list)
    except (ValueError, RecursionError):
        return False


Product = Literal["harbor", "nexus", "pulp", "quay", "distribution", "none"]
PULP_STATUS = "/pulp/api/v3/status/"


def product_of(api: ProductApi, ping: Ping) -> Product:
    """Detect the product: Harbor answers GET /api/v2.0/ping with `Pong` (its swagger.yaml), Nexus sends `Server: Nexus/…`,
    Pulp answers its status without a login. Quay's token service is at its own /v2/auth.

    `distribution` means Docker's protocol (Docker-Distribution-Api-Version) without a known product: CNCF distribution and
    hosted services, which do not report their storage. Raises RegistryError if nothing answers.
    """
    if ping.server.startswith("Nexus/"):
        return "nexus"
    if any(_is_quays(challenge.realm, ping.url) for challenge in ping.challenges):
        return "quay"
    pong = api.answer("/api/v2.0/ping")
    if pong.status == 200 and pong.body.strip().strip(b'"').lower() == b"pong":
        return "harbor"
    if pong.headers.get("server", "").startswith("Nexus/"):  # a proxy in front of it may rewrite only /v2/
        return "nexus"
    if _is_pulp(api.answer(PULP_STATUS)):
        return "pulp"
    return "distribution" if ping.api_version.startswith("registry/") else "none"
