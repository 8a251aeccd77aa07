"""The closed list of error codes, the classification of error texts, and the exceptions that a user may see.

PullbenchError              exit 70  a bug, unless a subclass says otherwise
├── UsageError              exit 2   spec, arguments, a resume whose spec differs
│   └── MissingExtraError   exit 2   an optional package is not installed
├── PreflightFailed         exit 1   the registry is not ready; no load was sent
├── IncompleteError         exit 3   over budget, disk full, a report that failed: what was measured is stored
│   └── InterruptedRunError exit 3   stopped by Ctrl-C or SIGTERM
└── RegistryError           exit 1   one exchange with a registry failed, with its code
"""

import re
from enum import StrEnum


class ErrorCode(StrEnum):
    """Why a pull, an exchange or a check failed. The list is closed; the codes are stored in Parquet."""

    DNS = "dns"
    UNREACHABLE = "unreachable"
    CONNECT_REFUSED = "connect_refused"
    CONNECT_TIMEOUT = "connect_timeout"
    TLS_TIMEOUT = "tls_timeout"
    TLS_UNTRUSTED = "tls_untrusted"
    TLS_EXPIRED = "tls_expired"
    TLS_HOSTNAME = "tls_hostname"
    PLAIN_HTTP = "plain_http"
    PROXY = "proxy"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    PLATFORM_MISSING = "platform_missing"
    RATE_LIMITED = "rate_limited"
    SERVER_ERROR = "server_error"
    NOT_A_REGISTRY = "not_a_registry"
    REDIRECT_LOOP = "redirect_loop"
    TOO_LARGE = "too_large"
    RESET = "reset"
    TRUNCATED = "truncated"
    STALLED = "stalled"
    TIMEOUT = "timeout"
    DIGEST_MISMATCH = "digest_mismatch"
    DISK_FULL = "disk_full"
    ENGINE_UNAVAILABLE = "engine_unavailable"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


class Responder(StrEnum):
    """Which server answered, or failed to answer."""

    REGISTRY = "registry"
    TOKEN_SERVICE = "token_service"
    REDIRECT = "redirect"
    """Another host, such as a storage service, named by a redirect or by an upload's Location header."""
    PROXY = "proxy"
    """A proxy that marks its answers as its own."""
    IN_FRONT = "in_front"
    """A reverse proxy or a load balancer in front of the registry, with a page of its own."""
    BOX_BETWEEN = "box_between"
    """A page that no registry sends: a firewall or a web filter on the network."""
    DAEMON = "daemon"


REMEDIES: dict[ErrorCode, str] = {
    ErrorCode.DNS: "check the host name and the resolver (`getent hosts HOST`; `options timeout:2` in /etc/resolv.conf)",
    ErrorCode.UNREACHABLE: "no network route to the host: check the network, the VPN and the firewall (`ip route get ADDRESS`)",
    ErrorCode.CONNECT_REFUSED: "nothing listens on this port: check that the registry (or the proxy) is running, and the port in the URL",
    ErrorCode.CONNECT_TIMEOUT: "the network drops the packets: check the firewall and the security groups for this port",
    ErrorCode.TLS_TIMEOUT: "the TLS handshake got no answer: check for a middlebox, a wrong MTU or an overloaded registry",
    ErrorCode.TLS_UNTRUSTED: "set `ca_file` to the registry's CA, and install the CA for Docker as /etc/docker/certs.d/HOST/ca.crt "
    "(show the chain: `openssl s_client -showcerts -connect HOST:443`)",
    ErrorCode.TLS_EXPIRED: "renew the registry's certificate "
    "(show its dates: `openssl s_client -connect HOST:443 </dev/null 2>/dev/null | openssl x509 -noout -dates`)",
    ErrorCode.TLS_HOSTNAME: "the certificate is for another host: use a name that the certificate lists, or reissue it for this host",
    ErrorCode.PLAIN_HTTP: "the registry speaks plain HTTP: if that is intended, write http:// in the URL "
    "and add the host to Docker's insecure-registries",
    ErrorCode.PROXY: "the proxy failed, not the registry: check the proxy's address, its `credentials`, its CONNECT rules and "
    "its upstream",
    ErrorCode.UNAUTHORIZED: "log in again (`docker logout HOST && docker login HOST`), or set `credentials` in the spec",
    ErrorCode.FORBIDDEN: "this login may not pull the repository: grant the pull permission, "
    "log in as another user (`docker login HOST`), or change the policy that the error names",
    ErrorCode.NOT_FOUND: "check the repository name and the tag, or push the image first",
    ErrorCode.PLATFORM_MISSING: "build and push the image for this platform, in a format of today (OCI or Docker schema 2), "
    "or remove the platform from the spec",
    ErrorCode.RATE_LIMITED: "log in for a higher limit (`docker login HOST`), wait (for the time in Retry-After, if the answer has it), "
    "or pull through a mirror",
    ErrorCode.SERVER_ERROR: "the registry failed, or did not take the request: check its log and its storage at this time",
    ErrorCode.NOT_A_REGISTRY: "this URL does not answer as a registry: check the path, the port and the Content-Type of its manifests, "
    "and look for a captive portal",
    ErrorCode.REDIRECT_LOOP: "the redirects never end: check the registry's external URL and the reverse proxy in front of it",
    ErrorCode.TOO_LARGE: "this is more than the client takes: check which server answers at this URL, "
    "or build the image with a smaller manifest or fewer layers",
    ErrorCode.RESET: "the connection was cut: check load balancers and idle timeouts between client and registry",
    ErrorCode.TRUNCATED: "the body ended early: check the buffer and size limits of proxies, and the registry's storage",
    ErrorCode.STALLED: "no data arrived for too long: check bandwidth, storage and proxies, or raise the engine's `stall_timeout_s`",
    ErrorCode.TIMEOUT: "the pull took longer than `timeout_s`: raise it, or find the slowest layer in the report",
    ErrorCode.DIGEST_MISMATCH: "the content does not match its digest: check the registry's storage and caches for corruption, "
    "or push the image again",
    ErrorCode.DISK_FULL: "free space where images are stored (`docker system df`; `pullbench clean` removes leftovers of killed runs)",
    ErrorCode.ENGINE_UNAVAILABLE: "install or start the engine (`docker info` must answer), or remove it from the spec",
    ErrorCode.CANCELLED: "the run was stopped: continue it with `--resume`",
    ErrorCode.UNKNOWN: "pullbench does not know this error: send its whole text to the maintainers of pullbench",
}

_ELSEWHERE = "clients must reach it; or turn the registry's redirects off (distribution: `storage.redirect.disable`)"
_REALM = "the realm in the registry's configuration (distribution: `auth.token.realm`)"
REMEDIES_BY: dict[Responder, dict[ErrorCode, str]] = {
    # Of an answer over TLS that leads to plain HTTP; a registry that speaks plain HTTP itself gives no answer over TLS.
    Responder.REGISTRY: {
        ErrorCode.PLAIN_HTTP: "set `X-Forwarded-Proto: https` at the proxy that ends TLS in front of the registry, or the registry's "
        "external URL to https:// (Harbor: `external_url`; distribution: `http.host`); for a redirect to a storage service, "
        "serve the storage over TLS",
    },
    Responder.IN_FRONT: {
        ErrorCode.SERVER_ERROR: "the proxy or load balancer in front of the registry answered, not the registry: it reaches no registry, is in "
        "maintenance, or limits requests (nginx: `limit_req`, `limit_conn`); check its upstream, its timeouts, and the methods and "
        "sizes that it takes",
        ErrorCode.FORBIDDEN: "the proxy or load balancer in front of the registry refused, not the registry: check its access rules for "
        "this client's address",
        ErrorCode.UNAUTHORIZED: "the proxy or load balancer in front of the registry refused, and asks for no login that a client can send: "
        "check its access rules for this path",
        ErrorCode.NOT_FOUND: "the proxy or load balancer in front of the registry answered, not the registry: check that it passes this path "
        "on to the registry",
        ErrorCode.NOT_A_REGISTRY: "the proxy or load balancer in front answered, and passes /v2/ on to no registry: check its routes for this "
        "host name and path",
        ErrorCode.RATE_LIMITED: "the proxy or load balancer in front of the registry limits the rate (nginx: `limit_req`): raise its limit for "
        "this client, or lower the concurrency",
    },
    Responder.BOX_BETWEEN: {
        ErrorCode.FORBIDDEN: "this page is no registry's answer: a firewall or a web filter between this machine and HOST may refuse it; "
        "allow the host there, or measure from another network",
        ErrorCode.NOT_A_REGISTRY: "this page is no registry's answer: log in at the network's portal, or allow HOST at the filter between",
    },
    Responder.TOKEN_SERVICE: {
        ErrorCode.FORBIDDEN: "the token service at HOST refused this client, not the registry: follow its message; it may allow only some "
        "networks",
        ErrorCode.NOT_FOUND: f"the token service at HOST does not have this path: check {_REALM}",
        ErrorCode.NOT_A_REGISTRY: f"HOST does not answer with a token: check {_REALM}",
        ErrorCode.SERVER_ERROR: "the token service at HOST failed, not the registry: check its log at this time",
        ErrorCode.CONNECT_REFUSED: f"nothing listens at the token service HOST: check that it is running, and {_REALM}",
        ErrorCode.PLAIN_HTTP: f"the token service at HOST does not use TLS throughout: check its external URL, and {_REALM}",
    },
    Responder.REDIRECT: {
        ErrorCode.UNAUTHORIZED: "HOST refused the URL that the registry signed; a login does not help: check the clocks and the storage's keys",
        ErrorCode.FORBIDDEN: "HOST refused the URL that the registry signed; a login does not help: check the clocks of registry and "
        "storage, the storage's keys and policy, and proxies that change the URL",
        ErrorCode.NOT_FOUND: "the registry redirects to HOST, which does not have the content: check the bucket, its lifecycle rules and "
        "its replication, or push the image again",
        ErrorCode.SERVER_ERROR: "HOST, to which the registry redirects, refused or failed: check its log, and the registry's storage "
        "configuration (region, endpoint, signature version)",
        ErrorCode.NOT_A_REGISTRY: "HOST, to which the registry redirects, does not answer with the content: check the redirect's address, "
        "and web filters between",
        ErrorCode.RATE_LIMITED: "HOST, to which the registry redirects, limits the rate: lower the concurrency, or raise the storage's limit",
        ErrorCode.DNS: f"the registry redirects to HOST, which this machine cannot resolve: {_ELSEWHERE}",
        ErrorCode.CONNECT_REFUSED: f"nothing listens at HOST, to which the registry redirects: {_ELSEWHERE}",
        ErrorCode.CONNECT_TIMEOUT: f"the network drops the packets to HOST, to which the registry redirects: {_ELSEWHERE}",
        ErrorCode.UNREACHABLE: f"there is no network route to HOST, to which the registry redirects: {_ELSEWHERE}",
        ErrorCode.PLAIN_HTTP: "HOST, to which the registry redirects, does not use TLS throughout: serve the storage over TLS",
    },
}
"""Remedies that depend on the server that answered; without an entry the code's own applies."""

LOST_BLOB = (
    "the registry or a cache has the manifest and not this blob: check garbage collection, storage that replicas do not share, and "
    "the cache's upstream; then push the image again"
)
"""The remedy of `not_found` for a config or a layer, whose manifest was served."""

LOST_DIGEST = (
    "check the repository name and the digest: the registry may have deleted it (retention rules, garbage collection); name one that it "
    "has, or push the image again"
)
"""The remedy of `not_found` for a manifest that was asked for by its digest."""

ROUTE_FAILURES: frozenset[ErrorCode] = frozenset(
    {
        ErrorCode.DNS,
        ErrorCode.UNREACHABLE,
        ErrorCode.CONNECT_REFUSED,
        ErrorCode.CONNECT_TIMEOUT,
        ErrorCode.TLS_TIMEOUT,
        ErrorCode.TLS_UNTRUSTED,
        ErrorCode.TLS_EXPIRED,
        ErrorCode.TLS_HOSTNAME,
        ErrorCode.PLAIN_HTTP,
        ErrorCode.PROXY,
    }
)
"""Failures of the route, not of one image: requests for other images would fail the same way."""

SILENT: frozenset[ErrorCode] = frozenset({ErrorCode.STALLED, ErrorCode.TIMEOUT})
"""Failures that only a timeout shows: each further request would wait as long."""

RETRYABLE: frozenset[ErrorCode] = frozenset(
    {
        ErrorCode.CONNECT_REFUSED,
        ErrorCode.CONNECT_TIMEOUT,
        ErrorCode.TLS_TIMEOUT,
        ErrorCode.UNREACHABLE,
        ErrorCode.RATE_LIMITED,
        ErrorCode.SERVER_ERROR,
        ErrorCode.RESET,
        ErrorCode.TRUNCATED,
        ErrorCode.STALLED,
        ErrorCode.PROXY,
    }
)
"""Failures that may go away on a retry. Wrong content, missing images and refusals do not."""

# Clients print host names, repositories and tags among their words, so a single word counts only in its place: alone, or
# as an error code between the colons of a chain of causes. Patterns with a space cannot occur in names.
_ALONE = r"(?<![\w./:@-])(?:{})(?![\w/@-]|\.\w|:\w)"
_CAUSE = r"(?:^|: |\"|errors: )(?:{})(?=[:\"',)\]]|$)"
_ENDS = r"(?=[\"')]|$)"

# A client's own words for what it met. The first match wins, so specific patterns come before general ones.
_BY_CLIENT: tuple[tuple[str, ErrorCode], ...] = (
    (r"no space left on device|disk quota exceeded", ErrorCode.DISK_FULL),
    (
        r"proxyconnect tcp|proxy connect|proxy authentication required|received http code \d+ from proxy|"
        r"connect tunnel failed|"
        # Go prints only the reason phrase when a proxy refuses CONNECT; a registry's answer has more text.
        r"\"https://[^\"]*\": (forbidden|service unavailable|bad gateway|gateway timeout)" + _ENDS,
        ErrorCode.PROXY,
    ),
    (r"tls handshake timeout", ErrorCode.TLS_TIMEOUT),
    (r"certificate has expired|certificate is not yet valid|expired certificate", ErrorCode.TLS_EXPIRED),
    (
        r"doesn't contain any ip sans|legacy common name field|certificate is valid for .*, not |certificate is not valid for|"
        r"certificate is not valid for any names|hostname mismatch|ip address mismatch|does not match target host|"
        r"no alternative certificate subject name",
        ErrorCode.TLS_HOSTNAME,
    ),
    (
        r"(?<![\w./:@-])x509: |certificate verify failed|unable to get local issuer|self[- ]signed certificate|ssl certificate problem",
        ErrorCode.TLS_UNTRUSTED,
    ),
    # Mutual TLS: the server requires a client certificate.
    (
        r"alert certificate required|alert bad certificate|tls: (certificate required|bad certificate)",
        ErrorCode.UNAUTHORIZED,
    ),
    (
        r"alert protocol version|unsupported protocol(?! scheme)|protocol version not supported|no protocols available|"
        r"alert handshake failure|tls: handshake failure|no shared cipher",
        ErrorCode.TLS_UNTRUSTED,
    ),
    (
        r"server gave http response to https client|wrong version number|http/0\.9 when not allowed|packet length too long|"
        r"first record does not look like a tls handshake",
        ErrorCode.PLAIN_HTTP,
    ),
    (
        rf"{_CAUSE.format('toomanyrequests')}|too many requests|rate limit|"
        # What S3, Docker Hub and ECR say with a 429 or in its place; docker on containerd's store prints nothing else.
        r"registry: (slow down|rate exceeded)",
        ErrorCode.RATE_LIMITED,
    ),
    # A manifest with another Content-Type than its own.
    (
        r"mediatype in [a-z ]{1,30} should be|unsupported docker v2s2 media type: \W*application/vnd\.oci\.image\.(manifest|index)|"
        r"unsupported schema version 2|unexpected media type",
        ErrorCode.NOT_A_REGISTRY,
    ),
    # Formats that no client of today runs, such as Docker's schema 1, are of no platform either.
    (
        r"no matching manifest for|no image found in (image|manifest) (index|list) for|no match for platform|"
        r"no longer supported since containerd|schema 1 (support|image manifests)|no fslayers in manifest|missing signature key|(^|: )no signatures$|"
        r"unsupported image-specific operation on artifact|unexpectedly received a manifest list|no processor for media-type|"
        r"unsupported docker v2s2 media type",
        ErrorCode.PLATFORM_MISSING,
    ),
    (r"max depth exceeded|rejecting \d+ byte manifest|exceeded maximum allowed size", ErrorCode.TOO_LARGE),
    (
        r"(layer|config|manifest) verification failed|digest did not match|unexpected commit digest|does not match digest|"
        r"digest mismatch|digest verification failed|does not match (provided manifest digest|expected sha)|"
        r"failed size validation|unexpected commit size|content size of zero|mismatched image rootfs|"
        r"number of layers and diffids don't match|image config has only \d+ diffid values|"
        # The image was pushed broken: a blob is no valid layer, or not the layer that the config names.
        r"invalid tar header|gzip: invalid|flate: corrupt input|wrong diff id|does not match config's diffid|don't match image configuration",
        ErrorCode.DIGEST_MISMATCH,
    ),
    # Amazon ECR reports an expired token as DENIED; a new login fixes it.
    (r"token has expired|(oauth|anonymous) token: .{0,400}: 40[013]\b", ErrorCode.UNAUTHORIZED),
    # Before the status: containers/image prints both errors when a token lacks the permission.
    (
        rf"{_CAUSE.format('insufficient_scope')}|requested access to the resource is denied|due to configured policy",
        ErrorCode.FORBIDDEN,
    ),
)
# An HTTP status as clients print it: `unexpected status from GET request to URL: 403 Forbidden`, `StatusCode: 451, …`.
_STATUS = (
    r"(?:\bstatus ?(?:code)?(?: from registry| \[[^\]]*\]| from \S+ request to \S+| \w+://\S+)?:? |\bhttp |status code )"
    r"([345]\d\d)\b"
)
# An error code of a registry in lower case, as Go's clients print it before the registry's message (OCI distribution
# specification 1.1, "Error Codes", and those of the CNCF's registry).
_BY_REGISTRY: tuple[tuple[str, ErrorCode], ...] = (
    (_CAUSE.format("unauthorized") + "|registry: unauthorized", ErrorCode.UNAUTHORIZED),
    (_CAUSE.format("denied") + "|registry: denied", ErrorCode.FORBIDDEN),
    (
        _CAUSE.format("manifest unknown|manifest blob unknown|name unknown|blob unknown|name invalid|tag invalid"),
        ErrorCode.NOT_FOUND,
    ),
)
# What is less specific than a status or a registry's code.
_BY_WORDS: tuple[tuple[str, ErrorCode], ...] = (
    (
        r"no basic auth credentials|incorrect username or password|invalid username/password|authentication required",
        ErrorCode.UNAUTHORIZED,
    ),
    (
        rf"access denied|unavailable for legal reasons|payment required|403 forbidden|{_CAUSE.format('forbidden')}",
        ErrorCode.FORBIDDEN,
    ),
    (
        r"no such host|could not resolve|name or service not known|temporary failure in name resolution|"
        r"nodename nor servname|dial tcp: lookup |server misbehaving",
        ErrorCode.DNS,
    ),
    (r"content descriptor \S+ \(text/html", ErrorCode.NOT_A_REGISTRY),
    (
        r"\bnot found\b|manifest unknown|name unknown|blob unknown|unknown blob|"
        + _ALONE.format("manifest_unknown|name_invalid"),
        ErrorCode.NOT_FOUND,
    ),
    (
        r"error while fetching server api version|cannot connect to the docker daemon|is the docker daemon running",
        ErrorCode.ENGINE_UNAVAILABLE,
    ),
    (r"connection refused", ErrorCode.CONNECT_REFUSED),
    (r"no route to host|network is unreachable|host is unreachable|host is down", ErrorCode.UNREACHABLE),
    (
        r"dial tcp .*i/o timeout|canceled while waiting for connection|connection timed out|connect(ion)? timeout|"
        r"failed to connect .* timed? ?out",
        ErrorCode.CONNECT_TIMEOUT,
    ),
    (
        r"connection reset|broken pipe|recv failure|send failure|connection aborted|server closed idle connection|"
        r"(endpoint|socket) is not connected|"
        rf"\": eof{_ENDS}|(^|: )eof$",
        ErrorCode.RESET,
    ),
    (
        r"unexpected eof|unexpected end of json input|short read|incomplete read|peer closed connection without|"
        r"transfer closed with .* remaining|end of response with .* missing",
        ErrorCode.TRUNCATED,
    ),
    (r"too many redirects|maximum .*redirects|stopped after 10 redirects|redirect loop", ErrorCode.REDIRECT_LOOP),
    (rf"{_ALONE.format('stalled')}|operation too slow", ErrorCode.STALLED),
    (
        r"5\d\d (internal|bad gateway|service|gateway)|bad gateway|service unavailable|internal server error",
        ErrorCode.SERVER_ERROR,
    ),
    (
        rf"deadline exceeded|i/o timeout|timed out\b|client\.timeout exceeded|{_ALONE.format('timeout')}",
        ErrorCode.TIMEOUT,
    ),
    (
        r"invalid character '.{1,6}' (looking for|after|in)|unsupported manifest|unknown media type|"
        r"unexpected content type",
        ErrorCode.NOT_A_REGISTRY,
    ),
    # The registry refused in words of its own, and the client drops the status.
    (rf"error from registry: |{_CAUSE.format('unknown|unavailable|unsupported')}(?!$)", ErrorCode.SERVER_ERROR),
    (_ALONE.format("cancell?ed"), ErrorCode.CANCELLED),
)


def _compiled(patterns: tuple[tuple[str, ErrorCode], ...]) -> tuple[tuple[re.Pattern[str], ErrorCode], ...]:
    return tuple((re.compile(pattern, re.IGNORECASE), code) for pattern, code in patterns)


# containerd 2 asks for a manifest as a blob too where its first request fails, and prints only the second answer.
_SECOND_ANSWER = re.compile(r"failed to resolve reference \"[^\"]+@sha256:\w+\": [^ ]+: not found$")
_BEFORE_STATUS = _compiled(_BY_CLIENT)
_AFTER_STATUS = _compiled(_BY_REGISTRY + _BY_WORDS)
_STATUS_IN_TEXT = re.compile(_STATUS, re.IGNORECASE)


def classify(text: str) -> ErrorCode:
    """The code of an error text as clients and registries print it; `unknown` if nothing in it is known.

    A client's own words win; then the HTTP status, the registry's error code, and words that say less.
    """
    if (code := _first(_BEFORE_STATUS, text)) is not None:
        return code
    if (status := _STATUS_IN_TEXT.search(text)) is not None:
        return code_of_status(int(status[1]))
    return _first(_AFTER_STATUS, text) or ErrorCode.UNKNOWN


def with_doubt(text: str) -> str:
    """The text, with a remark where the client may hide what happened: a digest is resolved before the run, so it was there."""
    if _SECOND_ANSWER.search(text) is None:
        return text
    return f"{text} (it was there before the run: containerd 2 says this also after a failed connection or a refusal)"


def _first(patterns: tuple[tuple[re.Pattern[str], ErrorCode], ...], text: str) -> ErrorCode | None:
    return next((code for pattern, code in patterns if pattern.search(text)), None)


_BY_STATUS: dict[int, ErrorCode] = {
    401: ErrorCode.UNAUTHORIZED,
    402: ErrorCode.FORBIDDEN,
    403: ErrorCode.FORBIDDEN,
    404: ErrorCode.NOT_FOUND,
    407: ErrorCode.PROXY,
    410: ErrorCode.NOT_FOUND,
    412: ErrorCode.FORBIDDEN,  # Harbor: a policy on vulnerabilities or signatures
    423: ErrorCode.FORBIDDEN,
    428: ErrorCode.FORBIDDEN,
    429: ErrorCode.RATE_LIMITED,
    451: ErrorCode.FORBIDDEN,
    511: ErrorCode.NOT_A_REGISTRY,  # a captive portal (RFC 6585, section 6)
}


def code_of_status(status: int) -> ErrorCode:
    """The code of an HTTP status of 300 or more that ends an exchange (RFC 9110, section 15).

    A registry that does not take a request at all, such as with 400 or 405, is a `server_error`; a redirect without a target
    is none of a registry's answers.
    """
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return ErrorCode.SERVER_ERROR if status >= 400 else ErrorCode.NOT_A_REGISTRY


class PullbenchError(Exception):
    """Base of pullbench's own exceptions; the text is one line for the user."""

    exit_code = 70


class UsageError(PullbenchError):
    """The spec or the arguments are wrong; the text names the key path and the accepted values."""

    exit_code = 2


class MissingExtraError(UsageError):
    """A feature needs a package that is not installed; the text names the extra that installs it."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs an optional package: pip install 'pullbench[{extra}]'")
        self.extra = extra


class PreflightFailed(PullbenchError):  # noqa: N818  (it is a verdict, not an error)
    """A check failed, so no load was sent. `summary` is for a reader who has seen the findings."""

    exit_code = 1

    def __init__(self, text: str, summary: str | None = None) -> None:
        super().__init__(text)
        self.summary = summary or text


class IncompleteError(PullbenchError):
    """The run could not finish; its results so far are stored."""

    exit_code = 3


class InterruptedRunError(IncompleteError):
    """A user or a supervisor stopped the run; its results so far are stored."""


_BY_DIGEST = re.compile(r"/manifests/\w+:")


def remedy_text(code: ErrorCode, answered_by: Responder | None = None, where: str = "") -> str:
    """The remedy of a code for the server that answered; `where` (method and URL) tells a blob from an image."""
    own = None if answered_by is None else REMEDIES_BY.get(answered_by, {}).get(code)
    if own is None and code is ErrorCode.NOT_FOUND and "/blobs/" in where:
        return LOST_BLOB
    if own is None and code is ErrorCode.NOT_FOUND and _BY_DIGEST.search(where):
        return LOST_DIGEST
    return own or REMEDIES[code]


_HOST_OF_URL = re.compile(r"https?://(?:[^/\s]*@)?([^/\s?#]+)")


class RegistryError(PullbenchError):
    """One exchange failed: `where` (method and redacted URL), the code, and the detail.

    `status` is the HTTP status, if there was an answer. `retry_after_s` is the wait that the server requested.
    `answered_by` and `host` (name and port) name the server that answered, if known.
    """

    exit_code = 1

    def __init__(
        self,
        code: ErrorCode,
        where: str,
        detail: str,
        *,
        status: int | None = None,
        retry_after_s: float | None = None,
        answered_by: Responder | None = None,
        host: str | None = None,
    ) -> None:
        self.code = code
        self.where = where
        self.detail = detail
        self.status = status
        self.retry_after_s = retry_after_s
        self.answered_by = answered_by
        self.host = host
        super().__init__(f"{where}: {detail}; {self.remedy}")

    @property
    def remedy(self) -> str:
        """The code's remedy; its commands name `host`, else the host of the URL in `where`."""
        requested = _HOST_OF_URL.search(self.where)
        host = self.host or (requested[1] if requested else "<host>")
        name, _, port = host.partition(":")
        text = remedy_text(self.code, self.answered_by, self.where)
        if self.answered_by is Responder.TOKEN_SERVICE and self.code is ErrorCode.UNAUTHORIZED:
            host = "<registry>"  # the login is at the registry, not at its token service
        text = text.replace("HOST:443", f"{name}:{port or 443}")
        return text.replace("getent hosts HOST", f"getent hosts {name}").replace("HOST", host).replace("ADDRESS", name)
