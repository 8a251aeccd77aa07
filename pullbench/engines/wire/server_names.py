"""Whether servers' certificates have names: Go's clients read only subjectAltName, and libcurl falls back to the common name."""

from collections.abc import Sequence
from threading import Lock

import pycurl

IS_READABLE = pycurl.COMPILE_SSL_LIB == "openssl"
"""Whether libcurl tells the extensions of a certificate: only with OpenSSL."""
NAMELESS = "the certificate has no name or address in its subjectAltName; docker, containerd, podman and skopeo do not read its common name"
_FIELD = "X509v3 Subject Alternative Name"
_KINDS = ("DNS:", "IP Address:")

CertificateFields = Sequence[tuple[str, str]]
"""The fields of a server's certificate, as libcurl prints them."""


class ServerNames:
    """What the certificates of servers showed, by host and port; thread-safe.

    Reading one takes libcurl some 0.7 ms of the handshake, so it is asked once for each server.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._named: dict[str, bool] = {}

    def is_due(self, server: str) -> bool:
        """Whether the certificate of this server was not read yet."""
        return IS_READABLE and server not in self._named

    def note(self, server: str, fields: CertificateFields) -> None:
        """Remember whether this certificate has a name; without fields nothing is known."""
        if fields:
            listed = next((value for name, value in fields if name == _FIELD), "")
            with self._lock:
                self._named[server] = any(kind in listed for kind in _KINDS)

    def is_nameless(self, server: str) -> bool:
        return not self._named.get(server, True)
