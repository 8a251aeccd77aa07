"""`docker-daemon`: the Docker daemon answers, and is set up to pull from these registries, and quickly."""

import contextlib
import ipaddress
import json
import shlex
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pullbench.daemon.local import Settings, read_settings
from pullbench.errors import ErrorCode, RegistryError
from pullbench.model.addresses import DOCKER_HUB_HOSTS
from pullbench.model.finding import Finding, Status
from pullbench.model.route import Route
from pullbench.preflight.check import (
    Check,
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
ADVISED_DOWNLOADS = 10
DEFAULT_DOWNLOADS = 3
DEFAULT_SHUTDOWN_S = 15
_SLOW_DRIVERS = {
    "vfs": "it copies every layer whole",
    "devicemapper": "it is slow, and gone from newer versions",
    "aufs": "it is gone from newer versions",
    "overlay": "it runs out of inodes, and is gone from newer versions",
}
EXPECTED = (
    f"it answers, may download {ADVISED_DOWNLOADS} layers at once, and goes to the spec's registries as the spec says"
)
CERTIFICATES = Path("/etc/docker/certs.d")


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonRegistry:
    """A registry that the daemon is to pull from, and what its settings make of it."""

    host: str
    plain_http: bool = False
    insecure: bool = False
    """The daemon takes any certificate, or none."""
    loopback: bool = False
    """Always insecure and never by a proxy; no setting changes that."""
    ca_file: str | None = None
    """The spec's."""
    distrust: ObservedFault | None = None
    """Why the daemon, which knows no `ca_file`, refuses the certificate; None where it does not, or it cannot be told."""
    by_proxy: str | None = None
    """The daemon's own proxy, through which it would go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonState:
    """What `docker info` shows, and what the daemon's own settings say where they can be read."""

    host: str
    fault: ObservedFault | None = None
    version: str = ""
    driver: str = ""
    log_driver: str = ""
    mirrors: tuple[str, ...] = ()
    registries: tuple[DaemonRegistry, ...] = ()
    settings: Settings | None = None


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
        registries=tuple(_asked(route, config, info, here=here) for route in routes.values()),
        settings=read_settings(daemon.host),
    )


def _asked(route: Route, config: Mapping[str, Any], info: Mapping[str, Any], *, here: bool) -> DaemonRegistry:
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
    """Of a name as of an address: dockerd, too, looks a name up to see whether it is in an insecure range."""
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
    """Whether an entry of NO_PROXY is about a host, as Go reads it: a name with all below it, an address, a range, `*`."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(name) in ipaddress.ip_network(entry, strict=False)
    domain = entry.partition(":")[0].removeprefix("*").removeprefix(".").lower()
    return entry == "*" or (bool(domain) and (name == domain or name.endswith(f".{domain}")))


def judge(evidence: DaemonState, target: Local) -> list[Finding]:
    if evidence.fault is not None:
        cure = (
            f"start it: `sudo systemctl start docker`, and see that `docker -H {evidence.host} info` answers; or take "
            "the engine out of the spec's `matrix.engines`"
        )
        if evidence.fault.code is not ErrorCode.ENGINE_UNAVAILABLE or "Permission denied" in evidence.fault.text:
            cure = f"see what `docker -H {evidence.host} info` says; `sudo usermod -aG docker $USER` gives the right to ask"
        return [failed(ID, target, replace(evidence.fault, parameters={"daemon": evidence.host}), EXPECTED, cure)]
    problems = [*_ways(evidence, target), *_speed(evidence, target)]
    return problems or [passed(ID, target, _told(evidence), EXPECTED)]


def _ways(evidence: DaemonState, target: Local) -> Iterator[Finding]:
    """What stands between the daemon and the registries of the spec."""
    for asked in evidence.registries:
        if asked.plain_http and not asked.insecure:
            text = f"http://{asked.host} is plain HTTP, and the daemon speaks only https to it"
            cure = _change(evidence, f'."insecure-registries" += ["{asked.host}"]')
            fault = ObservedFault(code=ErrorCode.PLAIN_HTTP, text=text, parameters={"host": asked.host})
            yield failed(ID, target, fault, EXPECTED, cure)
        if not asked.plain_http and asked.insecure and not asked.loopback:
            text = f"the daemon takes any certificate of {asked.host} (insecure-registries): TLS protects nothing"
            cure = _change(evidence, f'."insecure-registries" -= ["{asked.host}"]')
            yield warned(
                ID, target, text, EXPECTED, f"give it the CA in {CERTIFICATES / asked.host}/ca.crt, and {cure}"
            )
        elif asked.distrust is not None and not asked.insecure:
            text = f"the daemon does not trust {asked.host}, by this machine's roots and {CERTIFICATES / asked.host}"
            cure = (
                f"`sudo install -D -m 644 {shlex.quote(asked.ca_file or 'ca.pem')} {CERTIFICATES / asked.host}/ca.crt`"
            )
            fault = ObservedFault(
                code=asked.distrust.code, text=f"{text}: {asked.distrust.text}", parameters={"host": asked.host}
            )
            yield failed(ID, target, fault, EXPECTED, f"{cure} (no restart needed)")
        if asked.by_proxy is not None and not asked.loopback:
            text = f"the daemon goes to {asked.host} by the proxy {asked.by_proxy}, whatever the spec says"
            cure = f"add {asked.host} to NO_PROXY of dockerd: `sudo systemctl edit docker` (Environment=NO_PROXY=…), "
            yield warned(ID, target, text, EXPECTED, f"{cure}`sudo systemctl restart docker`")
        if evidence.mirrors and asked.host in DOCKER_HUB_HOSTS:
            text = f"the daemon asks its mirrors before Docker Hub: {', '.join(evidence.mirrors)}"
            cure = _change(evidence, 'del(."registry-mirrors")')
            yield warned(ID, target, text, EXPECTED, f"name the mirror as a proxy of the spec, or {cure}")


def _speed(evidence: DaemonState, target: Local) -> Iterator[Finding]:
    downloads = downloads_at_once(evidence.settings)
    if downloads is not None and downloads < ADVISED_DOWNLOADS:
        text = f"max-concurrent-downloads is {downloads}: an image of more layers waits"
        cure = _change(evidence, f'."max-concurrent-downloads" = {ADVISED_DOWNLOADS}')
        yield warned(ID, target, f"{_told(evidence)}; {text}", EXPECTED, cure)
    if evidence.driver in _SLOW_DRIVERS:
        text = f"the storage driver is {evidence.driver}: {_SLOW_DRIVERS[evidence.driver]}"
        cure = _change(evidence, '."storage-driver" = "overlay2"', verb="restart")
        yield warned(ID, target, text, EXPECTED, f"{cure}; images have to be pulled again")


def downloads_at_once(settings: Settings | None) -> int | None:
    """Layers that the daemon fetches at once for all pulls together; None where its settings cannot be read."""
    if settings is None or settings.unreadable:
        return None
    value = settings.value("max-concurrent-downloads", DEFAULT_DOWNLOADS)
    try:
        return int(value) or DEFAULT_DOWNLOADS
    except (TypeError, ValueError):
        return DEFAULT_DOWNLOADS


def _change(evidence: DaemonState, edit: str, *, verb: str = "reload") -> str:
    """The command that changes daemon.json and has dockerd read it: SIGHUP does for what `reload` is said of."""
    settings = evidence.settings or Settings()
    option = edit.split('"')[1]
    if option in settings.flags:
        flag = f"`--{option}={settings.flags[option]}`"
        return (
            f"change {flag} on dockerd's command line (`sudo systemctl edit docker`), `sudo systemctl restart docker`"
        )
    file = settings.file
    started = f"test -s {file} || echo {{}} > {file}"
    command = f"{started}; jq {json.dumps(edit)} {file} > {file}.new && mv {file}.new {file} && systemctl {verb} docker"
    return f"`sudo sh -c '{command}'`"


def _told(evidence: DaemonState) -> str:
    settings = evidence.settings
    downloads = downloads_at_once(settings)
    parts = [f"Docker {evidence.version}", evidence.driver, f"logs by {evidence.log_driver}"]
    if settings is None or downloads is None:
        why = f": {settings.unreadable}" if settings is not None else ""
        parts.append(f"its max-concurrent-downloads cannot be seen from here{why}")
    else:
        parts.append(f"max-concurrent-downloads {downloads}")
        parts.append(f"shutdown-timeout {settings.value('shutdown-timeout', DEFAULT_SHUTDOWN_S)} s")
    if evidence.mirrors:
        parts.append(f"mirrors of Docker Hub: {', '.join(evidence.mirrors)}")
    insecure = [asked.host for asked in evidence.registries if asked.insecure]
    if insecure:
        parts.append(f"insecure: {', '.join(insecure)}")
    return ", ".join(parts)


CHECK = Check(
    id=ID,
    room=Room.CLIENT,
    looks_at="The daemon of each docker engine: whether it answers, its version, storage and log driver, mirrors, "
    "insecure registries and proxies (`docker info`); max-concurrent-downloads and shutdown-timeout, which that hides, "
    "from dockerd's command line and daemon.json where they can be read; and, for a registry with a `ca_file`, whether the "
    "certificate is trusted by this machine's roots and what is in /etc/docker/certs.d.",
    statuses={
        Status.PASS: "it answers, and nothing below is the case",
        Status.WARN: f"max-concurrent-downloads is under {ADVISED_DOWNLOADS} (Docker's default is "
        f"{DEFAULT_DOWNLOADS}); the storage driver is vfs, aufs, overlay or devicemapper; a mirror or a proxy stands "
        "before a registry that the spec goes to directly; or TLS of a registry is not verified",
        Status.FAIL: "it does not answer; a registry of the spec is plain HTTP and not in insecure-registries; or its certificate "
        "is signed by the spec's `ca_file`, and the daemon knows no CA that it can be traced to",
        Status.SKIP: "the spec uses no engine of kind docker",
    },
    advice="Start it (`sudo systemctl start docker`), or make the change in daemon.json with the command that is given: "
    "`jq` edits the file, `systemctl reload docker` has it read.",
    targets=every_docker,
    probe=probe,
    judge=judge,
    skips=without_docker,
    timeout_s=30.0,
)
