"""`docker-daemon`: the Docker daemon answers and its settings allow fast pulls from the spec's registries."""

import contextlib
import ipaddress
import itertools
import json
import shlex
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pullbench.daemon.image_store import limits_downloads, uses_containerd
from pullbench.daemon.local import DEFAULT_DOWNLOADS, Settings, layer_concurrency, read_settings
from pullbench.errors import ErrorCode, PullbenchError, RegistryError
from pullbench.model.addresses import DOCKER_HUB_HOSTS
from pullbench.model.finding import Finding, Status
from pullbench.model.manifest import Descriptor
from pullbench.model.route import Route
from pullbench.preflight.check import (
    Check,
    FindingKind,
    Local,
    ObservedFault,
    Room,
    engine_of,
    every_docker,
    failed,
    passed,
    warned,
    without_docker,
)
from pullbench.preflight.context import CheckContext
from pullbench.preflight.handshake import distrust
from pullbench.registry.auth import redact_url

ID = "docker-daemon"
NOT_VERIFIED = "docker-daemon-not-verified"
OWN_PROXY = "docker-daemon-own-proxy"
OWN_MIRROR = "docker-daemon-own-mirror"
FEW_DOWNLOADS = "docker-daemon-few-downloads"
SLOW_DRIVER = "docker-daemon-slow-driver"
ADVISED_DOWNLOADS = 10
DEFAULT_SHUTDOWN_S = 15
_SLOW_DRIVERS = {
    "vfs": "it copies every layer whole",
    "devicemapper": "it is slow, and newer Docker versions do not have it",
    "aufs": "newer Docker versions do not have it",
    "overlay": "it runs out of inodes, and newer Docker versions do not have it",
    "native": "it copies every layer whole",
}
EXPECTED = f"the daemon answers, downloads all layers of an image or {ADVISED_DOWNLOADS} concurrently, and pulls through no other mirror or proxy than the spec"
CERTIFICATES = Path("/etc/docker/certs.d")


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonRegistry:
    """A registry of the spec, and the daemon's settings for it."""

    host: str
    plain_http: bool = False
    insecure: bool = False
    """The daemon accepts any certificate, or plain HTTP."""
    loopback: bool = False
    """Docker always treats loopback addresses as insecure and never uses a proxy for them."""
    ca_file: str | None = None
    """The spec's `ca_file`."""
    distrust: ObservedFault | None = None
    """Why the daemon, which does not know `ca_file`, rejects the certificate; None if it accepts it or this is unknown."""
    by_proxy: str | None = None
    """The daemon's own proxy for this registry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonState:
    """The output of `docker info`, and the daemon's own settings if they can be read."""

    host: str
    fault: ObservedFault | None = None
    version: str = ""
    driver: str = ""
    log_driver: str = ""
    mirrors: tuple[str, ...] = ()
    registries: tuple[DaemonRegistry, ...] = ()
    settings: Settings | None = None
    containerd: bool = False
    """Whether it uses containerd's image store."""
    limits_downloads: bool = True
    """Whether max-concurrent-downloads has an effect."""
    layers: int | None = None
    """The layers that the spec's pulls may download concurrently; None if no image's layers are known."""
    pulls: int = 1
    """The concurrent pulls that share them."""


def probe(context: CheckContext, target: Local) -> DaemonState:
    daemon = context.daemon(engine_of(context, target).host)
    try:
        info = daemon.info()
    except RegistryError as error:
        return DaemonState(host=daemon.host, fault=ObservedFault.of(error))
    config = info.get("RegistryConfig") or {}
    here = daemon.host.startswith("unix://")
    routes = {route.host: route for route in context.routes if route.forward_url is None}
    return DaemonState(
        host=daemon.host,
        version=str(info.get("ServerVersion") or ""),
        driver=str(info.get("Driver") or ""),
        log_driver=str(info.get("LoggingDriver") or ""),
        mirrors=tuple(redact_url(str(url)) for url in config.get("Mirrors") or []),
        registries=tuple(_registry(route, config, info, here=here) for route in routes.values()),
        settings=read_settings(daemon.host),
        containerd=uses_containerd(info),
        limits_downloads=limits_downloads(info),
        layers=_layers_at_once(context),
        pulls=max(context.spec.matrix.concurrency),
    )


def _layers_at_once(context: CheckContext) -> int | None:
    """The layers of the spec's images, the longest first, as many images as are pulled concurrently."""
    counts = [len(layers) for image in context.spec.images if (layers := _layers_of(context, image)) is not None]
    return sum(sorted(counts, reverse=True)[: max(context.spec.matrix.concurrency)]) if counts else None


def _layers_of(context: CheckContext, image: str) -> tuple[Descriptor, ...] | None:
    """An image's layers on the first route that has it; None if none has."""
    for route, platform in itertools.product(context.routes, context.platforms):
        with contextlib.suppress(PullbenchError):
            offer = context.platform_image(route, image, platform)
            if offer is not None:
                return offer.manifest.layers
    return None


def _registry(route: Route, config: Mapping[str, Any], info: Mapping[str, Any], *, here: bool) -> DaemonRegistry:
    name = urlsplit(route.url).hostname or ""
    addresses = _addresses(name)
    index = (config.get("IndexConfigs") or {}).get(route.host) or {}
    ranges = [ipaddress.ip_network(text, strict=False) for text in config.get("InsecureRegistryCIDRs") or []]
    insecure = index.get("Secure") is False or any(at in among for at in addresses for among in ranges)
    has_to_trust = here and route.ca_file is not None and not route.plain_http and not insecure
    files = sorted((CERTIFICATES / route.host).glob("*.crt")) if has_to_trust else []
    return DaemonRegistry(
        host=route.host,
        plain_http=route.plain_http,
        insecure=insecure,
        loopback=any(at.is_loopback for at in addresses),
        ca_file=route.ca_file,
        distrust=distrust(route, files) if has_to_trust else None,
        by_proxy=_proxy_of(route, name, info),
    )


def _addresses(name: str) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """The addresses of a name or an address: dockerd also resolves names to compare them with its insecure ranges."""
    try:
        return [
            ipaddress.ip_address(str(found[4][0])) for found in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        ]
    except (OSError, ValueError):
        return []


def _proxy_of(route: Route, name: str, info: Mapping[str, Any]) -> str | None:
    proxy = str(info.get("HttpProxy" if route.plain_http else "HttpsProxy") or "")
    if not proxy or any(_excepts(entry.strip(), name) for entry in str(info.get("NoProxy") or "").split(",")):
        return None
    return redact_url(proxy)


def _excepts(entry: str, name: str) -> bool:
    """Whether an entry of NO_PROXY matches a host, as in Go: a name and its subdomains, an address, a range, or `*`."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(name) in ipaddress.ip_network(entry, strict=False)
    domain = entry.partition(":")[0].removeprefix("*").removeprefix(".").lower()
    return entry == "*" or (bool(domain) and (name == domain or name.endswith(f".{domain}")))


def judge(evidence: DaemonState, target: Local) -> list[Finding]:
    if evidence.fault is not None:
        cure = (
            f"start it with `sudo systemctl start docker`; `docker -H {evidence.host} info` must answer; or remove "
            "the engine from `matrix.engines` in the spec"
        )
        if evidence.fault.code is not ErrorCode.ENGINE_UNAVAILABLE or "Permission denied" in evidence.fault.text:
            cure = f"run `docker -H {evidence.host} info`; if permission is denied: `sudo usermod -aG docker $USER`, then log in again"
        return [failed(ID, target, replace(evidence.fault, parameters={"daemon": evidence.host}), EXPECTED, cure)]
    problems = [*_routes(evidence, target), *_speed(evidence, target)]
    return problems or [passed(ID, target, _shown(evidence), EXPECTED)]


def _routes(evidence: DaemonState, target: Local) -> Iterator[Finding]:
    """Settings that block or change the daemon's route to a registry of the spec."""
    for registry in evidence.registries:
        if registry.plain_http and not registry.insecure:
            text = f"http://{registry.host} is plain HTTP, but the daemon uses only https for it"
            cure = _change(evidence, f'."insecure-registries" += ["{registry.host}"]')
            fault = ObservedFault(code=ErrorCode.PLAIN_HTTP, text=text, parameters={"host": registry.host})
            yield failed(ID, target, fault, EXPECTED, cure)
        if not registry.plain_http and registry.insecure and not registry.loopback:
            text = f"{registry.host} is in insecure-registries: the daemon accepts any certificate, so TLS protects nothing"
            cure = _change(evidence, f'."insecure-registries" -= ["{registry.host}"]')
            cure = f"install the CA as {CERTIFICATES / registry.host}/ca.crt, then {cure}"
            yield warned(ID, target, text, EXPECTED, cure, kind=NOT_VERIFIED)
        elif registry.distrust is not None and not registry.insecure:
            text = f"the daemon does not trust {registry.host}: its CA is not in this machine's roots or {CERTIFICATES / registry.host}"
            cure = f"run `sudo install -D -m 644 {shlex.quote(registry.ca_file or 'ca.pem')} {CERTIFICATES / registry.host}/ca.crt`"
            fault = ObservedFault(
                code=registry.distrust.code,
                text=f"{text}: {registry.distrust.text}",
                parameters={"host": registry.host},
            )
            yield failed(ID, target, fault, EXPECTED, f"{cure} (no restart needed)")
        if registry.by_proxy is not None and not registry.loopback:
            text = f"the daemon pulls from {registry.host} through its own proxy {registry.by_proxy}, not on the route of the spec"
            cure = f"add {registry.host} to dockerd's NO_PROXY: `sudo systemctl edit docker` (Environment=NO_PROXY=…), "
            yield warned(ID, target, text, EXPECTED, f"{cure}then `sudo systemctl restart docker`", kind=OWN_PROXY)
        if evidence.mirrors and registry.host in DOCKER_HUB_HOSTS:
            text = f"the daemon uses its mirrors before Docker Hub: {', '.join(evidence.mirrors)}"
            cure = _change(evidence, 'del(."registry-mirrors")')
            yield warned(
                ID,
                target,
                text,
                EXPECTED,
                f"add the mirror to `proxies` in the spec, or remove it: {cure}",
                kind=OWN_MIRROR,
            )


def _speed(evidence: DaemonState, target: Local) -> Iterator[Finding]:
    downloads = layer_concurrency(evidence.settings)
    wanted = evidence.layers
    if evidence.limits_downloads and downloads is not None and wanted is not None and wanted > downloads:
        whose = "an image has" if evidence.pulls == 1 else f"{evidence.pulls} concurrent pulls can have"
        text = f"max-concurrent-downloads is {downloads}; {whose} {wanted} layers, so {_waiting(wanted - downloads)}"
        if downloads < ADVISED_DOWNLOADS:
            cure = _change(evidence, f'."max-concurrent-downloads" = {ADVISED_DOWNLOADS}')
            yield warned(ID, target, text, str(ADVISED_DOWNLOADS), cure, kind=FEW_DOWNLOADS)
    if evidence.driver in _SLOW_DRIVERS:
        text = f"the storage driver is {evidence.driver}: {_SLOW_DRIVERS[evidence.driver]}"
        better = "overlayfs" if evidence.containerd else "overlay2"
        cure = _change(evidence, f'."storage-driver" = "{better}"', verb="restart")
        yield warned(ID, target, text, EXPECTED, f"{cure}; then pull the images again", kind=SLOW_DRIVER)


def _waiting(layers: int) -> str:
    return "1 waits" if layers == 1 else f"{layers} wait"


def _change(evidence: DaemonState, edit: str, *, verb: str = "reload") -> str:
    """The command that changes daemon.json and applies it; `reload` (SIGHUP) is enough for the options that support it."""
    settings = evidence.settings or Settings()
    option = edit.split('"')[1]
    if option in settings.flags:
        flag = f"`--{option}={settings.flags[option]}`"
        return f"change {flag} on dockerd's command line (`sudo systemctl edit docker`), then `sudo systemctl restart docker`"
    file = settings.file
    started = f"test -s {file} || echo {{}} > {file}"
    command = f"{started}; jq {json.dumps(edit)} {file} > {file}.new && mv {file}.new {file} && systemctl {verb} docker"
    return f"run `sudo sh -c '{command}'`"


def _shown(evidence: DaemonState) -> str:
    settings = evidence.settings
    downloads = layer_concurrency(settings)
    store = f"containerd's image store ({evidence.driver})" if evidence.containerd else evidence.driver
    parts = [f"Docker {evidence.version}", store, f"log driver {evidence.log_driver}"]
    if not evidence.limits_downloads:
        parts.append("max-concurrent-downloads has no effect (with containerd's image store from Docker 29.7 on)")
    elif settings is None or downloads is None:
        why = f": {settings.unreadable}" if settings is not None else ""
        parts.append(f"max-concurrent-downloads is unknown{why}")
    else:
        parts.append(f"max-concurrent-downloads {downloads}")
    if settings is not None and downloads is not None:
        parts.append(f"shutdown-timeout {settings.value('shutdown-timeout', DEFAULT_SHUTDOWN_S)} s")
    if evidence.mirrors:
        parts.append(f"mirrors of Docker Hub: {', '.join(evidence.mirrors)}")
    insecure = [registry.host for registry in evidence.registries if registry.insecure]
    if insecure:
        parts.append(f"insecure: {', '.join(insecure)}")
    return ", ".join(parts)


CHECK = Check(
    id=ID,
    room=Room.CLIENT,
    looks_at="Checks the daemon of each docker engine. `docker info` gives its version, image store, storage and log driver, mirrors, "
    "insecure registries and proxies. dockerd's command line and daemon.json give max-concurrent-downloads and "
    "shutdown-timeout, if they can be read. For a registry with a `ca_file`, it checks whether this machine's roots and "
    "/etc/docker/certs.d trust the certificate.",
    statuses={
        Status.PASS: "the daemon answers, and none of the problems below exists",
        Status.WARN: f"max-concurrent-downloads is under {ADVISED_DOWNLOADS} (Docker's default is "
        f"{DEFAULT_DOWNLOADS}), has an effect, and the concurrent pulls have more layers than that; the storage driver is vfs, native, aufs, overlay or devicemapper; the daemon uses a mirror or a proxy "
        "for a registry that the spec measures without one; or the daemon does not verify a registry's TLS certificate",
        Status.FAIL: "the daemon does not answer; a registry of the spec is plain HTTP and not in insecure-registries; or the "
        "spec's `ca_file` signs its certificate, and the daemon does not know this CA",
        Status.SKIP: "the spec uses no docker engine",
    },
    advice="Start it (`sudo systemctl start docker`), or change daemon.json with the given command: "
    "`jq` edits the file, `systemctl reload docker` applies it.",
    kinds={
        NOT_VERIFIED: FindingKind(
            cause="The registry is in `insecure-registries`, so the daemon accepts any certificate for it.",
            remedy="Install the registry's CA as `/etc/docker/certs.d/HOST/ca.crt`, and remove the host from `insecure-registries`.",
        ),
        OWN_PROXY: FindingKind(
            cause="dockerd has HTTP_PROXY or HTTPS_PROXY in its environment, and the host is not in its NO_PROXY. The spec measures this registry without a proxy.",
            remedy="Add the host to dockerd's NO_PROXY (`sudo systemctl edit docker`), and restart it.",
        ),
        OWN_MIRROR: FindingKind(
            cause="daemon.json has `registry-mirrors`, which the daemon uses before Docker Hub. The spec does not name them.",
            remedy="Add the mirror to `proxies` in the spec, or remove it from daemon.json.",
        ),
        FEW_DOWNLOADS: FindingKind(
            cause="`max-concurrent-downloads` is lower than the number of layers of the concurrent pulls. Docker's default is 3.",
            remedy="Raise it in daemon.json, and reload the daemon: `sudo systemctl reload docker`.",
        ),
        SLOW_DRIVER: FindingKind(
            cause="The daemon was set up on an old kernel or file system, or copied its configuration from one.",
            remedy="Use overlay2, or overlayfs with containerd's image store; then pull the images again.",
        ),
    },
    targets=every_docker,
    probe=probe,
    judge=judge,
    skips=without_docker,
    timeout_s=30.0,
)
