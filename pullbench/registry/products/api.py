"""Asks a product's own API: JSON, with the credentials sent unasked, for these APIs answer strangers without a challenge."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self

from pullbench.errors import ErrorCode
from pullbench.model.route import Route
from pullbench.registry.answer import Answer
from pullbench.registry.auth import TOKEN_USERNAME, Credentials, basic_header
from pullbench.registry.client import Ping
from pullbench.registry.exchange import Exchanger
from pullbench.registry.keychain import Keychain

MAX_BYTES = 4 * 1024 * 1024
_EXCHANGE_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An answer: its JSON where the status is 200, None where it was refused or is not there (401, 403, 404)."""

    status: int
    document: Any = field(default=None, repr=False)


class ProductApi:
    """One registry's product. Safe for threads; close it when done.

    Credentials go to the route's own host alone, in clear only where the spec allows it, and never after a redirect elsewhere.
    Raises UsageError where the `ca_file` or the source of credentials fails.
    """

    def __init__(self, route: Route, keychain: Keychain, *, timeout_s: float = 10.0) -> None:
        self.url = route.url
        self._exchanger = Exchanger(
            route,
            connect_timeout_s=timeout_s,
            read_timeout_s=timeout_s,
            exchange_timeout_s=_EXCHANGE_TIMEOUT_S,
            forward_login=keychain.forward_login(route),
        )
        found = keychain.credentials(route.credentials, route.host)
        self._credentials = found if route.may_send(route.url) and _is_password(found) else None

    @property
    def who(self) -> str:
        """Whom the product sees, for people."""
        return "nobody" if self._credentials is None else f"user '{self._credentials.username}'"

    def answer(self, path: str, *, headers: Mapping[str, str] | None = None) -> Answer:
        """GET, whatever the status; RegistryError for what is no HTTP answer."""
        return self._exchanger.send(
            "GET",
            f"{self.url}{path}",
            limit_bytes=MAX_BYTES,
            headers={"Accept": "application/json", **(headers or {})},
            authorization=None if self._credentials is None else basic_header(self._credentials),
        )

    def read(self, path: str, *, headers: Mapping[str, str] | None = None) -> Told:
        """GET of a JSON document. Raises RegistryError for a status that is no answer, and for what is no JSON."""
        answer = self.answer(path, headers=headers)
        if answer.status in (401, 403, 404):
            return Told(status=answer.status)
        if answer.status != 200:
            raise answer.fault()
        try:
            return Told(status=answer.status, document=json.loads(answer.body))
        except (ValueError, RecursionError):
            detail = "the answer is no JSON"
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
    """An identity token is for the token service; no product's API takes it."""
    return found is not None and found.username != TOKEN_USERNAME and bool(found.password)


def part(document: Any, *names: str) -> Any:
    """What stands under these names of a stranger's JSON; None where anything on the way is missing or no object."""
    for name in names:
        if not isinstance(document, dict):
            return None
        document = document.get(name)
    return document


def whole(value: Any) -> int | None:
    """A number of bytes in a stranger's JSON; None for what is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def objects(value: Any) -> list[dict[str, Any]]:
    """The objects of a stranger's JSON list; none for what is no list."""
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


Product = Literal["harbor", "nexus", "distribution", "none"]


def product_of(api: ProductApi, ping: Ping) -> Product:
    """Harbor answers GET /api/v2.0/ping with `Pong` (its swagger.yaml), Nexus names itself in `Server: Nexus/…`.

    `distribution` is what speaks Docker's protocol (Docker-Distribution-Api-Version) and is none of these: CNCF
    distribution, and hosted services, neither of which tells its storage. Raises RegistryError where nothing answers.
    """
    if ping.server.startswith("Nexus/"):
        return "nexus"
    pong = api.answer("/api/v2.0/ping")
    if pong.status == 200 and pong.body.strip().strip(b'"').lower() == b"pong":
        return "harbor"
    if pong.headers.get("server", "").startswith("Nexus/"):  # a proxy before it may rewrite /v2/ alone
        return "nexus"
    return "distribution" if ping.api_version.startswith("registry/") else "none"
