"""The route of a client to a registry: without a proxy, through a mirror, or through a forward proxy."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import quote, urlsplit

from pullbench.model.reference import Reference

DIRECT = "direct"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One registry with one proxy; `url` is the endpoint that receives requests (the mirror's if there is one)."""

    registry: str
    proxy: str = DIRECT
    region: str = ""
    url: str
    prefix: str = ""
    forward_url: str | None = None
    forward_credentials: str = "anonymous"
    """The source of the login for the forward proxy; no one else may see it."""
    ca_file: str | None = None
    credentials: str = "anonymous"
    sends_in_clear: bool = False
    """Whether the spec allows the credentials over plain http to another machine (`plain_http_credentials: send`)."""
    forward_sends_in_clear: bool = False
    """The same, for the login at the forward proxy."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    namespace: str = ""
    """The registry's host, which a mirror of several registries needs as ?ns=HOST; empty if it needs none."""

    @property
    def host(self) -> str:
        """Host and port as in a reference, such as `127.0.0.1:5000`."""
        return urlsplit(self.url).netloc

    @property
    def plain_http(self) -> bool:
        return urlsplit(self.url).scheme == "http"

    @property
    def name(self) -> str:
        """The name for display: `eu` or `eu via cache`."""
        return self.registry if self.proxy == DIRECT else f"{self.registry} via {self.proxy}"

    @property
    def demands(self) -> tuple[str, ...]:
        """The capabilities that this route needs from an engine: values of the factor `proxy` in CAPABILITIES."""
        if self.proxy == DIRECT:
            return ()
        if self.forward_url is None:
            options = (("headers", self.headers), ("namespace", self.namespace))
            return ("mirror", *(name for name, value in options if value))
        return ("forward", "forward-loopback") if _is_loopback(self.url) else ("forward",)

    def may_send(self, url: str) -> bool:
        """Whether the credentials may go to a URL of this route: over TLS, to this machine without a proxy, or because the
        spec allows clear text.
        """
        if self.sends_in_clear or urlsplit(url).scheme == "https":
            return True
        return _is_loopback(url) and (self.forward_url is None or _is_loopback(self.forward_url))

    @property
    def may_send_forward(self) -> bool:
        """The same, for the login at the forward proxy."""
        return self.forward_url is None or self.forward_sends_in_clear or is_private(self.forward_url)

    def named(self, url: str) -> str:
        """The URL with the namespace, if the mirror needs one and the URL is of its registry API."""
        if not self.namespace or not url.startswith(f"{self.url}/v2/"):
            return url
        path, _, query = url.partition("?")
        kept = [part for part in query.split("&") if part and not part.startswith("ns=")]
        return "?".join([path, "&".join([*kept, f"ns={quote(self.namespace, safe='')}"])])

    def repository(self, reference: Reference) -> str:
        """The repository's name at this endpoint: a mirror may have a prefix."""
        return f"{self.prefix}/{reference.repository}" if self.prefix else reference.repository


def is_private(url: str) -> bool:
    """Whether others on the network cannot read a request to this URL: it uses TLS, or stays on this machine."""
    return urlsplit(url).scheme == "https" or _is_loopback(url)


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
