"""From a spec's registries and proxies to the ways between them. Pure."""

from pullbench.model.route import DIRECT, Route
from pullbench.model.spec import ProxyEntry, RegistryEntry, Spec


def routes(spec: Spec) -> dict[tuple[str, str], Route]:
    """Every way of the matrix that leads anywhere, by (registry, proxy); a mirror leads to its upstream alone."""
    registries = [entry for entry in spec.registries if entry.name in (spec.matrix.registries or [entry.name])]
    proxies = {entry.name: entry for entry in spec.proxies}
    return {
        (registry.name, proxy): route_of(registry, proxies.get(proxy))
        for registry in registries
        for proxy in spec.matrix.proxies
        if proxy == DIRECT or proxies[proxy].upstream in (None, registry.name)
    }


def route_of(registry: RegistryEntry, proxy: ProxyEntry | None) -> Route:
    """The way to a registry by a proxy; None is no proxy."""
    if proxy is None or proxy.kind == "forward":
        return Route(
            registry=registry.name,
            proxy=DIRECT if proxy is None else proxy.name,
            region=registry.region,
            url=registry.url,
            forward_url=None if proxy is None else proxy.url,
            forward_credentials=_forward_credentials(proxy),
            forward_sends_in_clear=proxy is not None and proxy.plain_http_credentials == "send",
            ca_file=registry.ca_file,
            credentials=registry.credentials,
            sends_in_clear=registry.plain_http_credentials == "send",
        )
    return Route(
        registry=registry.name,
        proxy=proxy.name,
        region=registry.region,
        url=proxy.url,
        prefix=proxy.prefix.strip("/"),
        ca_file=proxy.ca_file,
        credentials=proxy.credentials,
        sends_in_clear=proxy.plain_http_credentials == "send",
        headers=proxy.headers,
    )


def _forward_credentials(proxy: ProxyEntry | None) -> str:
    """What Docker's config.json holds are logins to registries: a forward proxy's is named, or there is none."""
    named = proxy is not None and proxy.credentials.startswith(("env:", "block:"))
    return proxy.credentials if proxy is not None and named else "anonymous"
