"""URLs as libcurl must be given them."""

from collections.abc import Mapping, Sequence
from urllib.parse import quote, urlsplit

from pullbench.registry.redirect import destination

_URL_CHARACTERS = "%/:=&?~#+!$,;'@()*[]"  # what stands in a URL as it is (RFC 3986)


def proxy_url(url: str | None) -> str:
    """With its port, for libcurl would take 1080 where none is named, and every other client the scheme's own."""
    return "{}://{}:{}".format(urlsplit(url).scheme, *_host_and_port(url)) if url else ""


def pins(resolve: Mapping[str, str], url: str) -> Sequence[str]:
    """libcurl's HOST:PORT:ADDRESS for the host that is about to be looked up, where the engine pins it."""
    if not resolve:
        return ()
    host, port = _host_and_port(url)
    address = resolve.get(f"{host}:{port}") or resolve.get(host)
    if address is None:
        return ()
    return (f"{host}:{port}:[{address}]" if ":" in address else f"{host}:{port}:{address}",)


def _host_and_port(url: str) -> tuple[str, int]:
    """As they stand in a URL; an IPv6 address in brackets."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return f"[{host}]" if ":" in host else host, parts.port or (443 if parts.scheme == "https" else 80)


def led_to(url: str, location: str) -> str:
    """Where a Location leads, in ASCII; raises RedirectRefusedError."""
    return destination(url, quote(location, safe=_URL_CHARACTERS, encoding="latin-1"))
