"""Which product a registry is: by what it says of itself, then by an address that only this product has."""

from typing import Literal

from pullbench.registry.client import Ping
from pullbench.registry.products.api import ProductApi

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
