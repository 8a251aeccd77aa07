"""What to do about an error code at one route: the code's remedy, with the command that fits this very host.

Preflight words its findings with it, and reports their failed pulls.
"""

import re
import shlex

from pullbench.errors import REMEDIES, ErrorCode
from pullbench.model.addresses import Endpoint, connected_endpoint, image_name, login_host, registry_endpoint
from pullbench.model.manifest import ACCEPT
from pullbench.model.reference import Reference
from pullbench.model.route import Route

# Added where the code's own remedy names no command with the host in it. CURL stands for curl with the route's options.
_AT_ONCE = "`max-concurrent-downloads` in /etc/docker/daemon.json says how many layers Docker asks for at once"
_COMMANDS: dict[ErrorCode, str] = {
    ErrorCode.CONNECT_REFUSED: "`nc -vz NAME PORT`",
    ErrorCode.CONNECT_TIMEOUT: "`nc -vz -w 5 NAME PORT`",
    ErrorCode.TLS_TIMEOUT: f"`openssl s_client -connect NAME:PORT`; where it happens under load alone, ask for less: {_AT_ONCE}",
    ErrorCode.TLS_UNTRUSTED: "`sudo install -D -m 644 CA_FILE /etc/docker/certs.d/HOST/ca.crt`",
    ErrorCode.TLS_HOSTNAME: "`openssl s_client -connect NAME:PORT </dev/null | openssl x509 -noout -ext subjectAltName`",
    ErrorCode.PLAIN_HTTP: "`curl -i http://NAME:PORT/v2/`",
    ErrorCode.FORBIDDEN: "`docker login HOST` as a user who may",
    ErrorCode.NOT_FOUND: "`skopeo list-tags docker://HOST/REPOSITORY`",
    ErrorCode.PLATFORM_MISSING: "`docker manifest inspect HOST/IMAGE`; "
    "`docker buildx build --platform PLATFORM --tag HOST/IMAGE --push .`",
    ErrorCode.RATE_LIMITED: "`docker login HOST`",
    ErrorCode.RESET: "`openssl s_client -connect NAME:PORT`",
}
_GENERAL = "`CURL -i URL/v2/`"
_OF_NO_HOST = (ErrorCode.DISK_FULL, ErrorCode.ENGINE_UNAVAILABLE, ErrorCode.CANCELLED)
NO_ROUTE = Route(registry="", url="https://<host>", credentials="docker")
"""For a remedy where the route is not known any more: its commands say `<host>`."""


def remedy(
    code: ErrorCode,
    route: Route,
    *,
    address: str | None = None,
    reference: Reference | None = None,
    platform: str | None = None,
) -> str:
    """The remedy of a code with this route's host, port, repository and platform in it."""
    text = _credentials_remedy(route) if code is ErrorCode.UNAUTHORIZED else REMEDIES[code]
    if code in _COMMANDS:
        text = f"{text}; {_COMMANDS[code]}"
    elif code not in _OF_NO_HOST and "HOST" not in text and "ADDRESS" not in text:
        text = f"{text}; {_GENERAL}"
    connected = _endpoint(code, route)
    known = parameters_of(code, route, reference=reference, platform=platform)
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
    # One pass over whole words: CI_USERNAME holds NAME, and what is put in may hold any of them.
    pattern = "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))
    return re.sub(rf"(?<![A-Za-z_])(?:{pattern})(?![A-Za-z_])", lambda found: words[found[0]], text)


def parameters_of(
    code: ErrorCode, route: Route, *, reference: Reference | None = None, platform: str | None = None
) -> dict[str, str]:
    """What a code's remedy speaks of at a route, by name; what is not known is left out.

    `host` is what `docker login` takes, `endpoint` the name and port that the code speaks of (the forward proxy's where a
    connection failed), `address` its name, `image` what follows the host in the image's name there.
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
    """What to do about a refusal by the server that is no matter of its certificate; None for any other text."""
    certificate = (
        f"the registry asks for a client certificate (mutual TLS), which pullbench does not send: let this client in without "
        f"one, or measure through a proxy that has one (Docker reads /etc/docker/certs.d/{route.host}/client.cert)"
    )
    version = f"let the server speak TLS 1.2 or 1.3: `{openssl(route)} -connect {registry_endpoint(route)} -tls1_2`"
    if re.search(r"certificate required|bad certificate", text, re.IGNORECASE):
        return certificate
    if re.search(r"handshake failure", text, re.IGNORECASE):
        return f"{version}; or {certificate}"
    if re.search(r"unsupported protocol|protocol version|no protocols available", text, re.IGNORECASE):
        return version
    return None


def curl(route: Route) -> str:
    """`curl`, with the options that take it along the route."""
    proxy = f" -x {route.forward_url}" if route.forward_url else ""
    return f"curl{proxy}" + (f" --cacert {shlex.quote(route.ca_file)}" if route.ca_file else "")


def look(path: str, route: Route, options: str = "-sSi") -> str:
    """`curl` for a path under /v2/, as the route's client asks for it. A token service's login curl cannot do."""
    login = _login(route)
    accept = f" -H 'Accept: {ACCEPT}'" if "/manifests/" in path else ""
    return f"{curl(route)}{f' -u {login}' if login else ''} {options}{accept} {shlex.quote(f'{route.url}/v2/{path}')}"


def skopeo(command: str, route: Route) -> str:
    """`skopeo`, a command that asks one registry, and the options that it needs there."""
    login = _login(route)
    plain = " --tls-verify=false" if route.plain_http else ""
    trust = f"SSL_CERT_FILE={shlex.quote(route.ca_file)} " if route.ca_file and not route.plain_http else ""
    return f"{trust}skopeo {command}{plain}{f' --creds {login}' if login else ''}"


def _login(route: Route) -> str:
    """What stands in the variables that the spec names, for a shell to fill in; other sources are the tools' own."""
    kind, _, name = route.credentials.partition(":")
    return f'"${name}_USERNAME:${name}_PASSWORD"' if kind == "env" else ""


def openssl(route: Route) -> str:
    """`openssl s_client`, with the options that take it along the route."""
    proxy = f" -proxy {connected_endpoint(route)}" if route.forward_url else ""
    return f"openssl s_client{proxy}" + (f" -CAfile {shlex.quote(route.ca_file)}" if route.ca_file else "")


def _credentials_remedy(route: Route) -> str:
    kind, _, name = route.credentials.partition(":")
    if kind == "env":
        return f"set {name}_USERNAME and {name}_PASSWORD, or {name}_TOKEN, to what `docker login HOST` accepts"
    if kind == "block":
        return f"renew the Prefect Secret '{name}' with what `docker login HOST` accepts"
    if kind == "anonymous":
        return "give the spec's registry `credentials: docker` and run `docker login HOST`"
    return REMEDIES[ErrorCode.UNAUTHORIZED]


def _endpoint(code: ErrorCode, route: Route) -> Endpoint:
    """Whom the code speaks of: the registry, or what is connected to."""
    of_connection = (
        ErrorCode.DNS,
        ErrorCode.UNREACHABLE,
        ErrorCode.CONNECT_REFUSED,
        ErrorCode.CONNECT_TIMEOUT,
        ErrorCode.PROXY,
    )
    return connected_endpoint(route) if code in of_connection else registry_endpoint(route)
