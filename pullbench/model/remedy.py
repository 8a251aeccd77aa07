"""The remedy of an error code for one route, with commands that name its host.

Preflight findings and the reports' failed pulls use it.
"""

import re
import shlex

from pullbench.errors import (
    LOST_BLOB,
    LOST_DIGEST,
    REMEDIES,
    REMEDIES_BY,
    ROUTE_FAILURES,
    ErrorCode,
    Responder,
    remedy_text,
)
from pullbench.model.addresses import Endpoint, connected_endpoint, image_name, login_host, registry_endpoint
from pullbench.model.manifest import ACCEPT
from pullbench.model.reference import Reference
from pullbench.model.route import Route

# Added to remedies that name no command with the host. CURL stands for curl with the route's options.
_DOWNLOADS = "Docker's layer concurrency is `max-concurrent-downloads` in /etc/docker/daemon.json"
_COMMANDS: dict[ErrorCode, str] = {
    ErrorCode.CONNECT_REFUSED: "test it with `nc -vz NAME PORT`",
    ErrorCode.CONNECT_TIMEOUT: "test it with `nc -vz -w 5 NAME PORT`",
    ErrorCode.TLS_TIMEOUT: f"test it with `openssl s_client -connect NAME:PORT`; if it happens only under load, lower the concurrency: {_DOWNLOADS}",
    ErrorCode.TLS_UNTRUSTED: "install it with `sudo install -D -m 644 CA_FILE /etc/docker/certs.d/HOST/ca.crt`",
    ErrorCode.TLS_HOSTNAME: "show its names with `openssl s_client -connect NAME:PORT </dev/null | openssl x509 -noout -ext subjectAltName`",
    ErrorCode.PLAIN_HTTP: "test it with `curl -i http://NAME:PORT/v2/`",
    ErrorCode.NOT_FOUND: "list the tags with `skopeo list-tags docker://HOST/REPOSITORY`",
    ErrorCode.PLATFORM_MISSING: "list its platforms with `docker manifest inspect HOST/IMAGE`; "
    "build with `docker buildx build --platform PLATFORM --tag HOST/IMAGE --push .`",
    ErrorCode.RESET: "test it with `openssl s_client -connect NAME:PORT`",
}
_GENERAL = "test it with `CURL -i URL/v2/`"
_OF_NO_HOST = (ErrorCode.DISK_FULL, ErrorCode.ENGINE_UNAVAILABLE, ErrorCode.CANCELLED)
_AWAY = (Responder.TOKEN_SERVICE, Responder.REDIRECT)
_OF_ENDPOINT = (ROUTE_FAILURES - {ErrorCode.PLAIN_HTTP, ErrorCode.PROXY}) | {ErrorCode.RESET}
"""Failures of one host and port, which their commands name."""
NO_ROUTE = Route(registry="", url="https://<host>", credentials="docker")
"""For a remedy whose route is no longer known: its commands say `<host>`."""


def remedy(
    code: ErrorCode,
    route: Route,
    *,
    address: str | None = None,
    reference: Reference | None = None,
    platform: str | None = None,
    answered_by: Responder | None = None,
    answered_at: str | None = None,
    error: str = "",
) -> str:
    """The remedy of a code, with this route's host, port, repository and platform filled in.

    `answered_by` and `answered_at` (host and port) tell who answered, or failed to; else the error's own URL does. A remedy of
    a token service or of a redirect's host names that host.
    """
    if answered_by is None and route is not NO_ROUTE:
        answered_by, answered_at = _elsewhere(code, error, route)
    text = remedy_text(code, answered_by, error)
    is_general = text in (REMEDIES[code], LOST_BLOB, LOST_DIGEST)
    if code is ErrorCode.UNAUTHORIZED and is_general:
        text = _credentials_remedy(route)
    there = _endpoint_at(answered_at) if answered_by in _AWAY and (not is_general or code in _OF_ENDPOINT) else None
    if is_general and code in _COMMANDS:
        text = f"{text}; {_COMMANDS[code]}"
    elif there is not None and code in _OF_ENDPOINT:
        text = f"{text}; {_COMMANDS.get(code, 'test it with `getent hosts HOST`')}"
    elif answered_by not in _AWAY and code not in _OF_NO_HOST and "HOST" not in text and "ADDRESS" not in text:
        refused = _path_in(error, route) if answered_by is Responder.IN_FRONT else None
        text = f"{text}; {_GENERAL if refused is None else f'test it with `{look(refused, route)}`'}"
    connected = there or _endpoint(code, route)
    known = parameters_of(code, route, reference=reference, platform=platform)
    if there is not None and answered_at is not None:
        known |= {"host": answered_at, "endpoint": str(there), "address": there.host}
    words = {
        "HOST:443": known["endpoint"],
        "getent hosts HOST": f"getent hosts {connected.host}",
        "HOST": known["host"],
        "ADDRESS": address or known["address"],
        "NAME:PORT": known["endpoint"],
        "NAME PORT": f"{connected.host} {connected.port}",
        "REPOSITORY": known.get("repository", "<repository>"),
        "IMAGE": known.get("image", "<image>"),
        "PLATFORM": known.get("platform", "<platform>"),
        "CURL": curl(route),
        "openssl s_client": openssl(route),
        "skopeo list-tags": skopeo("list-tags", route),
        "docker manifest inspect": f"docker manifest inspect{' --insecure' if route.plain_http else ''}",
        "CA_FILE": shlex.quote(route.ca_file or "ca.pem"),
        "URL/v2/": f"{route.url}/v2/",
    }
    # One pass over whole words: CI_USERNAME contains NAME, and a replacement may contain any of these words.
    pattern = "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))
    return re.sub(rf"(?<![A-Za-z_])(?:{pattern})(?![A-Za-z_])", lambda found: words[found[0]], text)


def _path_in(error: str, route: Route) -> str | None:
    """The path under /v2/ of the request that an error's text begins with or quotes; None for another URL and for /v2/."""
    found = re.search(rf"\b[A-Z]{{3,7}} {re.escape(route.url)}/v2/([^\s?]+?)(?:\?\S*)?: ", error)
    return None if found is None else found[1]


def _elsewhere(code: ErrorCode, error: str, route: Route) -> tuple[Responder | None, str | None]:
    """The other server that an error's text starts with, `GET https://storage…`, if the code has a remedy of its own for it."""
    found = re.match(r"[A-Z]{3,7} (https?://([^/\s?#@]+)(\S*)): ", error)
    if found is None or found[2].lower() == route.host.lower() or found[3].startswith("/v2/"):
        return None, None
    is_token = re.search(r"[?&](service|scope)=", found[1]) is not None
    by = Responder.TOKEN_SERVICE if is_token else Responder.REDIRECT
    return (by, found[2]) if code in REMEDIES_BY[by] else (None, None)


def _endpoint_at(host: str | None) -> Endpoint | None:
    if host is None:
        return None
    name, _, port = host.rpartition(":") if re.search(r":\d+$", host) else (host, "", "443")
    return Endpoint(host=name.strip("[]"), port=int(port))


def parameters_of(
    code: ErrorCode, route: Route, *, reference: Reference | None = None, platform: str | None = None
) -> dict[str, str]:
    """The parameters of a code's remedy for a route, by name; unknown ones are left out.

    `host` is the argument of `docker login`. `endpoint` is the name and port that failed: the forward proxy's if the
    connection failed. `address` is the endpoint's host name. `image` is the image's name without the host.
    """
    connected = _endpoint(code, route)
    known = {
        "registry": route.registry,
        "proxy": route.proxy,
        "url": route.url,
        "host": login_host(route),
        "endpoint": str(connected),
        "address": connected.host,
    }
    if reference is not None:
        known["repository"] = route.repository(reference)
        known["image"] = image_name(route, reference).removeprefix(f"{login_host(route)}/")
    return known if platform is None else {**known, "platform": platform}


def of_handshake(text: str, route: Route) -> str | None:
    """The remedy when the server ends the handshake for a reason other than its certificate; else None."""
    certificate = (
        f"the registry requires a client certificate (mutual TLS), which pullbench cannot send: allow this client without "
        f"one, or measure through a proxy that has one (Docker reads /etc/docker/certs.d/{route.host}/client.cert)"
    )
    version = f"enable TLS 1.2 or 1.3 on the server: `{openssl(route)} -connect {registry_endpoint(route)} -tls1_2`"
    if re.search(r"certificate required|bad certificate", text, re.IGNORECASE):
        return certificate
    if re.search(r"handshake failure", text, re.IGNORECASE):
        return f"{version}; or {certificate}"
    if re.search(r"unsupported protocol|protocol version|no protocols available", text, re.IGNORECASE):
        return version
    return None


def curl(route: Route) -> str:
    """`curl` with the route's proxy and CA options."""
    proxy = f" -x {route.forward_url}" if route.forward_url else ""
    return f"curl{proxy}" + (f" --cacert {shlex.quote(route.ca_file)}" if route.ca_file else "")


def look(path: str, route: Route, options: str = "-sSi") -> str:
    """A `curl` command for a path under /v2/, with the client's headers. curl cannot log in to a token service."""
    login = _login(route)
    accept = f" -H 'Accept: {ACCEPT}'" if "/manifests/" in path else ""
    return f"{curl(route)}{f' -u {login}' if login else ''} {options}{accept} {shlex.quote(route.named(f'{route.url}/v2/{path}'))}"


def skopeo(command: str, route: Route) -> str:
    """A `skopeo` command for one registry, with the route's options."""
    login = _login(route)
    plain = " --tls-verify=false" if route.plain_http else ""
    trust = f"SSL_CERT_FILE={shlex.quote(route.ca_file)} " if route.ca_file and not route.plain_http else ""
    return f"{trust}skopeo {command}{plain}{f' --creds {login}' if login else ''}"


def _login(route: Route) -> str:
    """The login as shell variables, for `env:` credentials; the tools find other sources themselves."""
    kind, _, name = route.credentials.partition(":")
    return f'"${name}_USERNAME:${name}_PASSWORD"' if kind == "env" else ""


def openssl(route: Route) -> str:
    """`openssl s_client` with the route's proxy and CA options."""
    proxy = f" -proxy {connected_endpoint(route)}" if route.forward_url else ""
    return f"openssl s_client{proxy}" + (f" -CAfile {shlex.quote(route.ca_file)}" if route.ca_file else "")


def _credentials_remedy(route: Route) -> str:
    kind, _, name = route.credentials.partition(":")
    if kind == "env":
        return (
            f"set {name}_USERNAME and {name}_PASSWORD, or {name}_TOKEN, to credentials that `docker login HOST` accepts"
        )
    if kind == "block":
        return f"renew the Prefect Secret '{name}' with credentials that `docker login HOST` accepts"
    if kind == "anonymous":
        return "set `credentials: docker` for this registry in the spec, and run `docker login HOST`"
    return REMEDIES[ErrorCode.UNAUTHORIZED]


def _endpoint(code: ErrorCode, route: Route) -> Endpoint:
    """The endpoint that failed: the connected one for connection errors, else the registry."""
    of_connection = (
        ErrorCode.DNS,
        ErrorCode.UNREACHABLE,
        ErrorCode.CONNECT_REFUSED,
        ErrorCode.CONNECT_TIMEOUT,
        ErrorCode.PROXY,
    )
    return connected_endpoint(route) if code in of_connection else registry_endpoint(route)
