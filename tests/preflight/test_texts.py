"""The texts of the checks, on one golden page: a person reads it as a whole, and no other test holds the wording."""

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pullbench.daemon.local import Settings
from pullbench.errors import ErrorCode
from pullbench.model.finding import Finding, Status
from pullbench.model.reference import Reference
from pullbench.model.route import Route
from pullbench.preflight.check import Local, ObservedFault, Target
from pullbench.preflight.checks import (
    CHECKS,
    api,
    auth,
    catalog,
    clock,
    credentials,
    dns,
    docker_daemon,
    dockerfile,
    http2,
    image,
    latency,
    layer_reuse,
    local_cache,
    local_disk,
    platform,
    proxy,
    rate_limit,
    referrers,
    resolver,
    storage_quota,
    tag_consistency,
    tcp,
    tls,
)
from pullbench.preflight.checks import range as byte_range
from pullbench.preflight.handshake import Certificate, Handshake
from pullbench.preflight.resolv_conf import ResolvConf
from pullbench.registry.client import Ping
from pullbench.registry.docker_config import Origin
from pullbench.registry.products.storage import Ailment, Space, Storage
from pullbench.registry.referrers import Referrers

GB = 10**9
NOW = datetime(2026, 11, 23, 16, 15, tzinfo=UTC)
ROUTE = Route(registry="eu", url="https://registry.example.com", credentials="docker", ca_file="/etc/our-ca.pem")
MIRROR = Route(registry="eu", proxy="cache", url="https://cache.example.com", prefix="hub")
EU, VIA_CACHE = Target(route=ROUTE), Target(route=MIRROR)
IMAGE = Target(route=ROUTE, image="team/app:1.0")
AMD64 = Target(route=ROUTE, image="team/app:1.0", platform="linux/amd64")
DOCKER, HERE = Local(name="engine docker"), Local(name="this machine")
OLD, NEW = "sha256:" + "1" * 64, "sha256:" + "2" * 64
JANUARY, NOVEMBER = datetime(2026, 1, 1, 10, tzinfo=UTC), datetime(2026, 11, 1, 10, tzinfo=UTC)


def fault(code: ErrorCode, text: str, **more: Any) -> ObservedFault:
    return ObservedFault(code=code, text=text, **more)


REFUSED = fault(ErrorCode.UNAUTHORIZED, "GET https://registry.example.com/v2/: 401 UNAUTHORIZED")
DOWN = fault(
    ErrorCode.CONNECT_REFUSED,
    "GET https://auth.example.com/token: Connection refused",
    parameters={"answered_by": "token_service", "answered_at": "auth.example.com"},
)
GONE = fault(ErrorCode.CONNECT_REFUSED, "connect to registry.example.com:443: connection refused")
MISSING = fault(ErrorCode.NOT_FOUND, "HEAD https://registry.example.com/v2/team/app/manifests/1.0: 404")
BUSY = fault(ErrorCode.SERVER_ERROR, "HEAD https://cache.example.com/v2/hub/team/app/manifests/1.0: 503")


def certificate(days: int, **more: Any) -> Certificate:
    known = {"names": ("registry.example.com",), "subject": "registry.example.com", "issuer": "Our CA"} | more
    return Certificate(starts_at=NOW - timedelta(days=90), ends_at=NOW + timedelta(days=days), **known)


def shaken(*chain: Certificate, path: bool = True, **more: Any) -> tls.DatedHandshake:
    verified = chain if path else ()
    made = Handshake(protocol="TLSv1.3", alpn="h2", chain=chain, path=verified, **more)
    return tls.DatedHandshake(checked_at=NOW, handshake=made)


def of_network() -> list[Finding]:
    endpoint = tcp.connected_endpoint(ROUTE)
    taken = tcp.ConnectionAttempt(address=replace(endpoint, host="192.0.2.1"), connect_s=0.0123)
    silent = tcp.ConnectionAttempt(
        address=replace(endpoint, host="192.0.2.9"),
        connect_s=5.0,
        fault=fault(ErrorCode.CONNECT_TIMEOUT, "connect to 192.0.2.9:443: timed out"),
    )
    untrusted = fault(ErrorCode.TLS_UNTRUSTED, "TLS to registry.example.com:443: certificate verify failed")
    found = dns.Resolution(host="registry.example.com", addresses=("192.0.2.1", "2001:db8::1"), lookup_s=0.0123)
    ping = Ping(url="https://registry.example.com/v2/", status=200, api_version="registry/2.0")
    slow = latency.ApiLatencies(answered_s=(0.05,) * 190 + (2.5,) * 10, target_s=2.0)
    return [
        *dns.judge(found, EU),
        *dns.judge(replace(found, lookup_s=2.5), EU),
        *dns.judge(replace(found, fault=fault(ErrorCode.DNS, "resolve registry.example.com: no such name")), EU),
        *tcp.judge((taken,), EU),
        *tcp.judge((taken, silent), EU),
        *tcp.judge((silent,), EU),
        *tls.judge(shaken(certificate(90)), EU),
        *tls.judge(shaken(certificate(12)), EU),
        *tls.judge(shaken(certificate(90), path=False, fault=untrusted), EU),
        *api.judge(api.ApiAnswer(ping=ping, total_s=0.012), EU),
        *api.judge(api.ApiAnswer(ping=replace(ping, content_type="text/html", body=b"<html>")), EU),
        *latency.judge(replace(slow, answered_s=(0.05,) * 200), EU),
        *latency.judge(slow, EU),
        *http2.judge(http2.AlpnNegotiation(protocol="h2"), EU),
        *http2.judge(http2.AlpnNegotiation(protocol="http/1.1", wanted_by=("wire-2",)), EU),
    ]


def of_access() -> list[Finding]:
    realm = "https://auth.example.com/token"
    allowed = auth.Right(repository="team/app", granted=("repository:team/app:pull",))
    denied = auth.Right(repository="team/app", granted=(), fault=fault(ErrorCode.FORBIDDEN, "403 DENIED"))
    known = auth.LoginAttempt(user="user 'ann'", asked=("bearer",), realm=realm, rights=(allowed,))
    file = "/home/ann/.docker/config.json"
    config = Origin(source="docker", config_path=file, config_exists=True)
    absent = Origin(source="env:CI")
    unset = fault(ErrorCode.UNAUTHORIZED, "credentials 'env:CI': CI_USERNAME is not set")
    return [
        *credentials.judge(credentials.CredentialLookup(origin=config, user="user 'ann'"), EU),
        *credentials.judge(credentials.CredentialLookup(origin=config), EU),
        *credentials.judge(credentials.CredentialLookup(origin=absent, fault=unset), EU),
        *auth.judge(known, EU),
        *auth.judge(auth.LoginAttempt(asked=("bearer",), fault=REFUSED), EU),
        *auth.judge(replace(known, fault=REFUSED, rights=()), EU),
        *auth.judge(replace(known, rights=(denied,)), EU),
        *auth.judge(replace(known, rights=(), fault=DOWN), EU),
        *auth.judge(replace(known, asked=(), realm="", rights=(replace(allowed, granted=None, scheme="basic"),)), EU),
        *auth.judge(replace(known, realm="https://tokens.elsewhere.net"), EU),
    ]


def of_content() -> list[Finding]:
    reference = Reference.parse("team/app:1.0")
    pages = catalog.CatalogListing(page_sizes=(100, 20), repositories=120, ended=True)
    part = byte_range.RangeAnswer(repository="team/app", digest=NEW, size_bytes=900, status=200, body=b"x" * 900)
    limited = rate_limit.Allowance(
        limit=rate_limit.RateLimit(limit=100, remaining=76, window_s=21600.0), cost=60, blocks=6, image="team/app:1.0"
    )
    base = layer_reuse.StoredLayer(digest=OLD, size_bytes=50 * 10**6, diff_id=OLD)
    other = layer_reuse.StoredLayer(digest=NEW, size_bytes=52 * 10**6, diff_id=OLD)
    images = tuple(
        layer_reuse.ImageLayers(image=name, platform="linux/amd64", layers=(layer,))
        for name, layer in (("team/app:1.0", base), ("team/web:1.0", other))
    )
    eu = tag_consistency.TagLocation(
        name="eu", kind="registry", reference="registry.example.com/team/app:1.0", digest=NEW, created=NOVEMBER
    )
    us = replace(eu, name="us", reference="us.example.com/team/app:1.0", digest=OLD, created=JANUARY)
    local = Local(name="team/app:1.0")
    signed = referrers.ReferrersLookup(
        image="team/app:1.0", digest=NEW, by_api=Referrers(artifact_types=("application/spdx+json",))
    )
    blocked = fault(ErrorCode.FORBIDDEN, f"GET https://registry.example.com/v2/team/app/referrers/{NEW}: 403")
    unlisted = replace(signed, by_api=None, fault=blocked, engines=("engine 'docker'",), stopped=("engine 'docker'",))
    return [
        *image.judge(image.ImageLookup(reference=reference, digest=NEW), IMAGE),
        *image.judge(image.ImageLookup(reference=reference, fault=MISSING, tags=("1.0.1", "0.9")), IMAGE),
        *platform.judge(platform.PlatformOffer(offered=("linux/arm64",)), AMD64),
        *tag_consistency.judge((eu, replace(us, digest=NEW)), local),
        *tag_consistency.judge((eu, us), local),
        *catalog.judge(pages, EU),
        *catalog.judge(replace(pages, unlisted=("team/app",)), EU),
        *byte_range.judge(part, EU),
        *byte_range.judge(replace(part, encoding="gzip"), EU)[1:],
        *rate_limit.judge(limited, EU),
        *rate_limit.judge(replace(limited, cost=72), EU),
        *rate_limit.judge(replace(limited, cost=200), EU),
        *layer_reuse.judge(images, EU),
        *referrers.judge(signed, EU),
        *referrers.judge(replace(signed, by_api=None), EU),
        *referrers.judge(replace(unlisted, stopped=()), EU),
        *referrers.judge(unlisted, EU),
    ]


def of_routes() -> list[Finding]:
    served = proxy.ServedImage(image="team/app:1.0", digest=NEW, upstream_digest=NEW)
    seen = proxy.ProxyObservation(images=(served,), headers={"x-cache": "HIT"}, same_bytes=True, upstream_answers=True)
    stale = replace(served, digest=OLD, created=JANUARY, upstream_created=NOVEMBER)
    unserved = replace(served, digest=None, fault=BUSY)
    denied = fault(
        ErrorCode.FORBIDDEN, "POST https://registry.example.com/v2/pullbench/cold/blobs/uploads/: 403 DENIED"
    )
    grant = "this user may not push there: grant the push permission, or use another repository"
    refused = proxy.PushAttempt(route=ROUTE, repository="pullbench/cold", fault=denied, cure=grant)
    return [
        *proxy.judge(seen, VIA_CACHE),
        *proxy.judge(replace(seen, headers={"x-cache": "MISS"}), VIA_CACHE),
        *proxy.judge(replace(seen, images=(stale,)), VIA_CACHE),
        *proxy.judge(replace(seen, images=(unserved,)), VIA_CACHE),
        *proxy.judge(replace(seen, images=(unserved,), namespace="registry.example.com"), VIA_CACHE),
        *proxy.judge(replace(seen, push=refused), VIA_CACHE)[1:],
        *proxy.judge(replace(seen, kept=proxy.CachedBlobs(fault=BUSY, there=3)), VIA_CACHE),
    ]


def of_machines() -> list[Finding]:
    space = Space(name="the volume", used_bytes=900 * GB, free_bytes=100 * GB, remedy="grow it")
    harbor = Storage(product="Harbor", version="v2.16.0", spaces=(space,))
    broken = replace(harbor, ailments=(Ailment(name="component registry", text="refused", remedy="see its log"),))
    report = storage_quota.StorageReport(product="harbor", storage=harbor)
    state = docker_daemon.DaemonState(
        host="unix:///var/run/docker.sock",
        version="28.2.2",
        driver="overlay2",
        log_driver="json-file",
        settings=Settings(),
        registries=(docker_daemon.DaemonRegistry(host="registry.example.com", ca_file="/etc/our-ca.pem"),),
    )
    untrusted = replace(state.registries[0], distrust=fault(ErrorCode.TLS_UNTRUSTED, "certificate verify failed"))
    stopped = fault(ErrorCode.ENGINE_UNAVAILABLE, "No such file or directory")
    disk = local_disk.Disk(
        path="/var/lib/docker", what="the daemon's images", need_bytes=2 * GB, total_bytes=100 * GB, free_bytes=50 * GB
    )
    usage = local_cache.ImageStoreUsage(
        host=None, images=5, dangling=1, unused=3, bytes=40 * GB, reclaimable_bytes=20 * GB
    )
    names = ResolvConf(name_servers=("192.0.2.53",), search=("corp.example",), ndots=5, options=("ndots:5",))
    replies = (resolver.NameServerReply(server="192.0.2.53", problem="no answer within 2 s"),)
    asked = resolver.ResolverState(settings=names, hosts=("registry.example.com",), asked=replies)
    date = clock.AnswerDate(asked_at=NOW, answered_at=NOW, date="Mon, 23 Nov 2026 16:00:00 GMT")
    problem = {"level": "error", "line": 4, "code": "DL4000", "message": "MAINTAINER is deprecated"}
    lint = dockerfile.LintResult(threshold="error", version="2.12.0", problems=(problem,))
    return [
        *storage_quota.judge(report, EU),
        *storage_quota.judge(replace(report, storage=broken), EU),
        *docker_daemon.judge(state, DOCKER),
        *docker_daemon.judge(replace(state, registries=(untrusted,)), DOCKER),
        *docker_daemon.judge(replace(state, fault=stopped), DOCKER),
        *local_disk.judge(disk, DOCKER),
        *local_disk.judge(replace(disk, free_bytes=GB), DOCKER),
        *local_cache.judge(usage, DOCKER),
        *resolver.judge(asked, HERE),
        *clock.judge(date, EU),
        *dockerfile.judge(lint, Local(name="Dockerfile")),
        *dockerfile.judge(replace(lint, version=None), Local(name="Dockerfile")),
    ]


def page(findings: Sequence[Finding]) -> str:
    lines = []
    for finding in findings:
        lines.append(f"{finding.check} · {finding.target} · {finding.status}")
        for title, text in (("observed", finding.observed), ("expected", finding.expected), ("remedy", finding.remedy)):
            if text and not (title == "expected" and finding.status is Status.PASS):
                lines += _wrapped(f"{title}: {text}")
        lines.append("")
    return "\n".join(lines)


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(
        text, 80, initial_indent="  ", subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
    )


FINDINGS = [*of_network(), *of_access(), *of_content(), *of_routes(), *of_machines()]


def test_the_golden_page_of_the_findings(golden: Callable[[str, str], None]) -> None:
    golden("checks.txt", page(FINDINGS))


def test_the_page_has_a_finding_of_every_check() -> None:
    assert {finding.check for finding in FINDINGS} == {check.id for check in CHECKS}
