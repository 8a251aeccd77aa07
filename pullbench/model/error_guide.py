"""What each error code means: its usual causes, which server it comes from, and its remedies.

docs/errors.md, `pullbench errors` and the reports show it. The remedies are those of errors.py and remedy.py.
"""

import re
from dataclasses import dataclass

from pullbench.errors import REMEDIES_BY, ErrorCode, Responder
from pullbench.model.remedy import NO_ROUTE, of_handshake, remedy

ERRORS_PAGE = "docs/errors.md"
"""The page with an anchor for each code."""

RESPONDERS: dict[Responder, str] = {
    Responder.REGISTRY: "the registry",
    Responder.TOKEN_SERVICE: "the token service",
    Responder.REDIRECT: "the host of a redirect (a storage service)",
    Responder.PROXY: "a forward proxy",
    Responder.IN_FRONT: "a reverse proxy or load balancer in front of the registry",
    Responder.BOX_BETWEEN: "a firewall or web filter between",
    Responder.DAEMON: "the client or its daemon on this machine",
}
"""Each server that may answer, or fail to, in words."""
_REGISTRY, _TOKEN, _REDIRECT, _PROXY, _FRONT, _BETWEEN, _HERE = RESPONDERS
_ANY_HOST = (_REGISTRY, _TOKEN, _REDIRECT, _PROXY)


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorGuide:
    """What a code means, what usually leads to it, and which servers it can come from; none: that is not known."""

    meaning: str
    causes: tuple[str, ...]
    comes_from: tuple[Responder, ...]


GUIDES: dict[ErrorCode, ErrorGuide] = {
    ErrorCode.DNS: ErrorGuide(
        meaning="The host name has no address, or the resolver does not answer.",
        causes=(
            "a typing error in the URL or in the image's name",
            "a name that only another network knows, such as one behind a VPN",
            "a name server in /etc/resolv.conf that is down, blocked or overloaded",
        ),
        comes_from=_ANY_HOST,
    ),
    ErrorCode.UNREACHABLE: ErrorGuide(
        meaning="This machine has no network route to the address of the host.",
        causes=(
            "a VPN that is down",
            "a host with only an IPv6 address, and a machine or container without IPv6",
            "a firewall that rejects the connection, or a host that is switched off",
        ),
        comes_from=_ANY_HOST,
    ),
    ErrorCode.CONNECT_REFUSED: ErrorGuide(
        meaning="The host is there, and nothing accepts connections on this port.",
        causes=(
            "a registry that is stopped, restarting or out of memory",
            "a wrong port in the URL, such as 443 for a registry on 5000",
            "a registry that listens only on another address of its host, such as 127.0.0.1",
        ),
        comes_from=_ANY_HOST,
    ),
    ErrorCode.CONNECT_TIMEOUT: ErrorGuide(
        meaning="The connection got no answer in the client's time; for wire this is `connect_timeout_s`.",
        causes=(
            "a firewall or a security group that drops the packets",
            "a host that is down",
            "a host or a network that is too busy to accept more connections",
        ),
        comes_from=_ANY_HOST,
    ),
    ErrorCode.TLS_TIMEOUT: ErrorGuide(
        meaning="The host accepted the connection, and the TLS handshake did not end in time.",
        causes=(
            "a middlebox that inspects TLS",
            "a path that drops large packets (MTU)",
            "a registry whose CPU is busy with other handshakes",
        ),
        comes_from=_ANY_HOST,
    ),
    ErrorCode.TLS_UNTRUSTED: ErrorGuide(
        meaning="The client does not trust the certificate, or has no TLS version or cipher in common with the server.",
        causes=(
            "a CA of one's own that this client does not have",
            "a server that does not send its intermediate certificates",
            "a proxy or a firewall that inspects TLS and signs with its own CA",
            "a weak key or signature, or a server that has only TLS 1.0 and 1.1",
        ),
        comes_from=_ANY_HOST,
    ),
    ErrorCode.TLS_EXPIRED: ErrorGuide(
        meaning="A certificate has expired, or is not valid yet.",
        causes=(
            "a renewal that failed, or a server that has not loaded the new certificate",
            "an intermediate certificate that has expired",
            "a wrong clock on this machine",
        ),
        comes_from=_ANY_HOST,
    ),
    ErrorCode.TLS_HOSTNAME: ErrorGuide(
        meaning="The certificate is for another host than the one in the URL.",
        causes=(
            "a registry that is called by its IP address or by a second name",
            "a certificate whose name is only in its common name (CN): clients written in Go do not read that",
            "a DNS entry that leads to another server, or a proxy with a default certificate",
        ),
        comes_from=_ANY_HOST,
    ),
    ErrorCode.PLAIN_HTTP: ErrorGuide(
        meaning="The server speaks plain HTTP where the client expects TLS.",
        causes=(
            "a registry without TLS whose URL starts with https://",
            "a proxy that ends TLS and does not tell the registry: its token service or its redirects then have http://",
            "a storage service without TLS",
        ),
        comes_from=(_REGISTRY, _TOKEN, _REDIRECT),
    ),
    ErrorCode.PROXY: ErrorGuide(
        meaning="The forward proxy did not connect the client with the registry.",
        causes=(
            "a proxy that is down, or a wrong address of it",
            "a proxy that requires a login (status 407)",
            "rules of the proxy that forbid this host or port",
            "a proxy that cannot reach the registry (status 502, 503 or 504)",
        ),
        comes_from=(_PROXY,),
    ),
    ErrorCode.UNAUTHORIZED: ErrorGuide(
        meaning="The server requires a login, or refuses the one that it got.",
        causes=(
            "no login for this host, or only one for another name or port of it",
            "a password that was changed, or a token that has expired",
            "a repository that does not exist: some registries then require a login",
            "a server that requires a client certificate (mutual TLS)",
        ),
        comes_from=(_REGISTRY, _TOKEN, _REDIRECT, _FRONT),
    ),
    ErrorCode.FORBIDDEN: ErrorGuide(
        meaning="The server knows this client and refuses the request.",
        causes=(
            "a login without the pull permission for this repository",
            "a repository that does not exist: Docker Hub and others then answer so",
            "a policy of the registry: vulnerabilities, signatures, a quarantine, a payment",
            "an access rule for addresses, or a web filter's page",
            "a signed storage URL that is too old, or that a proxy has changed",
        ),
        comes_from=(_REGISTRY, _TOKEN, _REDIRECT, _FRONT, _BETWEEN),
    ),
    ErrorCode.NOT_FOUND: ErrorGuide(
        meaning="The image, the tag, or a layer or config of it is not there for this login.",
        causes=(
            "a typing error, or a tag that was deleted or never pushed",
            "a repository that this login may not see",
            "a missing part of the name, such as the project in Harbor",
            "garbage collection, or replicas without shared storage: the manifest is there and a layer is not",
            "a mirror that cannot reach its upstream",
        ),
        comes_from=(_REGISTRY, _TOKEN, _REDIRECT, _FRONT),
    ),
    ErrorCode.PLATFORM_MISSING: ErrorGuide(
        meaning="The image does not exist for this platform, or is in a format that no client of today runs.",
        causes=(
            "an image that was built on one machine, for its own platform only",
            "a copy without all platforms of its index",
            "an image in Docker schema 1",
            "an artifact that is no image, such as a Helm chart",
        ),
        comes_from=(_REGISTRY,),
    ),
    ErrorCode.RATE_LIMITED: ErrorGuide(
        meaning="The server limits the requests: status 429, or 503 from a storage service or a proxy that slows clients down.",
        causes=(
            "the limit for pulls without a login, such as that of Docker Hub",
            "many machines behind one address",
            "more concurrent requests than the registry, its storage or a proxy in front allows",
        ),
        comes_from=(_REGISTRY, _TOKEN, _REDIRECT, _FRONT),
    ),
    ErrorCode.SERVER_ERROR: ErrorGuide(
        meaning="The server failed (status 5xx), or does not take this kind of request (such as 400 or 405).",
        causes=(
            "a storage or database of the registry that is full, slow or not reachable",
            "a registry that is restarting or overloaded",
            "a reverse proxy whose upstream is down or too slow (status 502 or 504)",
        ),
        comes_from=(_REGISTRY, _TOKEN, _REDIRECT, _FRONT),
    ),
    ErrorCode.NOT_A_REGISTRY: ErrorGuide(
        meaning="The answer is not a registry's: a web page, or JSON that is no manifest and no token.",
        causes=(
            "the URL of the product's web pages instead of its registry",
            "a captive portal or a web filter",
            "a reverse proxy that answers with a page of its own",
            "a broken manifest in the registry",
            "a cache or a file server that sends a manifest with another Content-Type than its own",
        ),
        comes_from=(_REGISTRY, _TOKEN, _REDIRECT, _FRONT, _BETWEEN),
    ),
    ErrorCode.REDIRECT_LOOP: ErrorGuide(
        meaning="The server redirects again and again: more than 10 times.",
        causes=(
            "a registry and the proxy in front of it that both redirect http:// to https://",
            "a wrong external URL of the registry",
            "a login page that redirects clients without a session",
        ),
        comes_from=(_REGISTRY, _FRONT, _REDIRECT),
    ),
    ErrorCode.TOO_LARGE: ErrorGuide(
        meaning="A manifest is larger, or the image has more layers, than the client accepts.",
        causes=(
            "an image with more layers than docker can stack (about 125)",
            "a manifest of more than 4 MB",
            "a server that is no registry and sends without end",
        ),
        comes_from=(_REGISTRY,),
    ),
    ErrorCode.RESET: ErrorGuide(
        meaning="The connection was closed before the answer was complete.",
        causes=(
            "a load balancer or firewall that closes long or idle connections",
            "a registry that crashed or was restarted",
            "a limit on connections",
        ),
        comes_from=(*_ANY_HOST, _FRONT),
    ),
    ErrorCode.TRUNCATED: ErrorGuide(
        meaning="The body of an answer ended before its announced length.",
        causes=(
            "a proxy with a limit on its buffers or temporary files (nginx: `proxy_max_temp_file_size`)",
            "a storage that has lost a part of the content",
            "a server that was stopped in the middle of an answer",
        ),
        comes_from=(_REGISTRY, _REDIRECT, _PROXY, _FRONT),
    ),
    ErrorCode.STALLED: ErrorGuide(
        meaning="No byte arrived for the engine's `stall_timeout_s`, with the connection still open.",
        causes=(
            "a slow or overloaded storage behind the registry",
            "a proxy or mirror that fetches the whole layer before it sends the first byte",
            "a path that loses packets, or a firewall that forgot the connection",
        ),
        comes_from=(_REGISTRY, _REDIRECT, _PROXY, _FRONT),
    ),
    ErrorCode.TIMEOUT: ErrorGuide(
        meaning="The pull or the request took longer than its limit; for a pull this is the spec's `timeout_s`.",
        causes=(
            "a large image over a slow network",
            "more concurrent pulls than the registry, the network or this machine's disk can handle",
            "a registry that answers very slowly",
        ),
        comes_from=(*_ANY_HOST, _FRONT, _HERE),
    ),
    ErrorCode.DIGEST_MISMATCH: ErrorGuide(
        meaning="The content is not what its digest, its config or another registry's tag says.",
        causes=(
            "a proxy or cache that changes content, such as by compressing it",
            "a damaged storage or cache",
            "an image that was pushed broken, such as with a layer that is no archive",
            "a tag that has different images in two registries (check `tag-consistency`)",
        ),
        comes_from=(_REGISTRY, _REDIRECT, _PROXY, _FRONT),
    ),
    ErrorCode.DISK_FULL: ErrorGuide(
        meaning="No bytes or inodes are left where the client stores images.",
        causes=(
            "images that need more than is free: a layer and its unpacked files are there at the same time",
            "images and containers that nobody uses",
            "a quota of the user or of the file system",
        ),
        comes_from=(_HERE,),
    ),
    ErrorCode.ENGINE_UNAVAILABLE: ErrorGuide(
        meaning="The client does not start, or its daemon does not answer.",
        causes=(
            "a client that is not installed, or not in PATH",
            "a daemon that is stopped or has crashed",
            "no permission for the daemon's socket, or a wrong DOCKER_HOST",
        ),
        comes_from=(_HERE,),
    ),
    ErrorCode.CANCELLED: ErrorGuide(
        meaning="The pull was stopped before its end.",
        causes=(
            "Ctrl-C or SIGTERM",
            "a daemon that was stopped",
            "a part of the pull that failed first, after which the client stopped the others",
        ),
        comes_from=(_HERE,),
    ),
    ErrorCode.UNKNOWN: ErrorGuide(
        meaning="Nothing in the client's text is known to pullbench.",
        causes=(
            "a new version of a client, with new words",
            "a client or a registry that pullbench was not tried with",
        ),
        comes_from=(),
    ),
}


def address_of(code: ErrorCode) -> str:
    """Where the documentation explains a code: the page with its anchor."""
    return f"{ERRORS_PAGE}#{code}"


def comes_from(code: ErrorCode) -> str:
    """The servers that a code can come from, in words."""
    return ", ".join(RESPONDERS[each] for each in GUIDES[code].comes_from) or "not known"


_TO_HTTP = "if an answer over TLS leads to http://"
_HANDSHAKES = {
    "if the server requires a client certificate": ("certificate required", ErrorCode.UNAUTHORIZED),
    "if the server has no TLS version of today": ("protocol version", ErrorCode.TLS_UNTRUSTED),
}
"""How a server ends a handshake for a reason other than its certificate, in its words, and the code of that."""


def remedies(code: ErrorCode) -> list[tuple[str, str]]:
    """Each remedy of a code after its case, such as `from the token service`; the first is for all others, without a case.

    Commands have HOST, PORT, REPOSITORY and the like where the remedy of a finding has the name.
    """
    found = [("", remedy(code, NO_ROUTE))]
    for by in Responder:
        if code in REMEDIES_BY.get(by, {}):
            case = _TO_HTTP if by is Responder.REGISTRY else f"from {RESPONDERS[by]}"
            found.append((case, remedy(code, NO_ROUTE, answered_by=by)))
    if code is ErrorCode.NOT_FOUND:
        found.append(("if only a layer or a config is missing", remedy(code, NO_ROUTE, error="/blobs/")))
        found.append(("if a digest is missing", remedy(code, NO_ROUTE, error="/manifests/sha256:")))
    found += [
        (case, of_handshake(words, NO_ROUTE) or "") for case, (words, ends) in _HANDSHAKES.items() if ends is code
    ]
    return [(case, _as_template(text)) for case, text in found]


def _as_template(text: str) -> str:
    """A remedy of NO_ROUTE, with the names of the page of checks in the places of a route's."""
    return re.sub(r"<(\w+)>", lambda name: name[1].upper(), re.sub(r"<host>([: ])443", r"HOST\1PORT", text))
