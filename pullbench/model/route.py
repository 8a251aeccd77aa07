"""How a client reaches a registry: directly, by a mirror, or by a forward proxy."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import urlsplit

from pullbench.model.reference import Reference

DIRECT = "direct"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One registry by one proxy; `url` is the endpoint that is asked (the mirror's where there is one)."""

    registry: str
    proxy: str = DIRECT
    region: str = ""
    url: str
    prefix: str = ""
    forward_url: str | None = None
    forward_credentials: str = "anonymous"
    """Where the login for the forward proxy is kept, which is nobody else's to see."""
    ca_file: str | None = None
    credentials: str = "anonymous"
    sends_in_clear: bool = False
    """The spec allows the credentials over plain http to another machine (`plain_http_credentials: send`)."""
    forward_sends_in_clear: bool = False
    """The same, for the login at the forward proxy."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def host(self) -> str:
        """Host and port as they stand in a reference, such as `127.0.0.1:5000`."""
        return urlsplit(self.url).netloc

    @property
    def plain_http(self) -> bool:
        return urlsplit(self.url).scheme == "http"

    @property
    def name(self) -> str:
        """For people: `eu` or `eu via cache`."""
        return self.registry if self.proxy == DIRECT else f"{self.registry} via {self.proxy}"

    @property
    def demands(self) -> tuple[str, ...]:
        """What an engine must be able to do for this route: the values of the factor `proxy` in CAPABILITIES."""
        if self.proxy == DIRECT:
            return ()
        if self.forward_url is None:
            return ("mirror", "headers") if self.headers else ("mirror",)
        return ("forward", "forward-loopback") if _is_loopback(self.url) else ("forward",)

    def may_send(self, url: str) -> bool:
        """Whether the credentials may go to a URL of this route: under TLS, to this very machine without another in
        between, or because the spec allows them in clear.
        """
        if self.sends_in_clear or urlsplit(url).scheme == "https":
            return True
        return _is_loopback(url) and (self.forward_url is None or _is_loopback(self.forward_url))

    @property
    def may_send_forward(self) -> bool:
        """The same, for the login at the forward proxy."""
        return self.forward_url is None or self.forward_sends_in_clear or is_private(self.forward_url)

    def repository(self, reference: Reference) -> str:
        """The repository's name at this endpoint: a mirror may put a prefix before it."""
        return f"{self.prefix}/{reference.repository}" if self.prefix else reference.repository


def is_private(url: str) -> bool:
    """Whether nobody on a network can read what is sent to a URL: it is under TLS, or stays on this machine."""
    return urlsplit(url).scheme == "https" or _is_loopback(url)


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
