"""storage-quota: what it says of what a product tells, and which products are asked."""

from collections.abc import Callable
from typing import Any

import pytest

from pullbench.errors import RegistryError
from pullbench.model.facts import Facts, ImageFacts, PlatformImage
from pullbench.model.finding import Finding, Status, worst
from pullbench.model.manifest import Manifest, parse_manifest
from pullbench.model.route import Route
from pullbench.preflight.check import Target
from pullbench.preflight.checks import storage_quota
from pullbench.preflight.checks.storage_quota import StorageReport, fills_bytes, judge
from pullbench.preflight.context import CheckContext
from pullbench.registry.keychain import Keychain
from pullbench.registry.products.storage import Ailment, Space, Storage
from tests.preflight.contexts import spec_of
from tests.registry.fake_registry import config_blob, digest_of, manifest_of
from tests.registry.products import harbor_answers as h
from tests.registry.products import nexus_answers as n
from tests.registry.products.server import OAUTH, PASSWORD, Answer, ProductServer

TARGET = Target(route=Route(registry="eu", url="https://harbor.example.com"))
GB = 10**9


def space(used: float, free: float | None, **more: Any) -> Space:
    room = None if free is None else round(free * GB)
    return Space(name="the volume", used_bytes=round(used * GB), free_bytes=room, remedy="grow it", **more)


def judged(*spaces: Space, is_cache: bool = False, fills: float | None = None, **more: Any) -> list[Finding]:
    storage = Storage(product="Harbor", version="v2.16.0", spaces=spaces, **more)
    bytes_ = None if fills is None else round(fills * GB)
    return judge(StorageReport(product="harbor", storage=storage, is_cache=is_cache, fills_bytes=bytes_), TARGET)


@pytest.mark.parametrize(
    ("used", "free", "hosted", "cache"),
    [
        (10, None, Status.PASS, Status.PASS),
        (80, 20, Status.PASS, Status.PASS),
        (81, 19, Status.WARN, Status.WARN),
        (95, 5, Status.WARN, Status.WARN),
        (96, 4, Status.WARN, Status.FAIL),
        (100, 0, Status.FAIL, Status.FAIL),
    ],
)
def test_the_fuller_it_is_the_worse_and_a_cache_fails_before_a_hosted_registry(
    used: float, free: float | None, hosted: Status, cache: Status
) -> None:
    for is_cache, status in ((False, hosted), (True, cache)):
        (finding,) = judged(space(used, free), is_cache=is_cache)
        assert finding.status is status
        assert finding.observed.startswith(f"Harbor v2.16.0: the volume: {used:.0f}")
        assert finding.remedy == ("" if status is Status.PASS else "grow it")


def test_a_cache_that_cannot_hold_the_runs_images_fails_and_a_hosted_registry_does_not_care() -> None:
    (finding,) = judged(space(10, 90), is_cache=True, fills=91)
    assert finding.status is Status.FAIL
    assert "91.0 GB" in finding.observed
    assert judged(space(10, 90), is_cache=True, fills=90)[0].status is Status.PASS
    assert judged(space(10, 90), fills=91)[0].status is Status.PASS
    assert judged(space(10, 90), is_cache=True, fills=None)[0].status is Status.PASS


def test_a_part_that_is_not_well_fails_whatever_room_there_is() -> None:
    ailment = Ailment(name="component registry", text="refused", remedy="see its log")
    findings = judged(space(10, 90), ailments=(ailment,))
    assert [finding.status for finding in findings] == [Status.FAIL]
    assert all(part in findings[0].observed for part in ("Harbor v2.16.0", ailment.name, ailment.text))
    assert judged(ailments=(ailment,))[0].status is Status.FAIL


def test_read_only_mode_and_a_soft_quota_warn() -> None:
    (finding,) = judged(space(10, 90), read_only=True, read_only_remedy="end it")
    assert (finding.status, finding.remedy) == (Status.WARN, "end it")
    (finding,) = judged(space(10, 90, over_quota="over by 2 GB"))
    assert (finding.status, "over by 2 GB" in finding.observed) == (Status.WARN, True)


def test_each_trouble_is_a_finding_of_its_own() -> None:
    found = judged(space(96, 4), space(100, 0), read_only=True, read_only_remedy="end it")
    assert [finding.status for finding in found] == [Status.WARN, Status.WARN, Status.FAIL]
    assert worst(found) is Status.FAIL


def test_what_is_hidden_stands_beside_what_is_known_and_alone_it_is_a_skip() -> None:
    hidden = ("the volumes (403; it takes an administrator)",)
    (finding,) = judged(space(10, 90), hidden=hidden)
    assert finding.status is Status.PASS
    assert "90.0 GB free" in finding.observed and finding.observed.endswith(hidden[0])
    (finding,) = judged(hidden=hidden)
    assert finding.status is Status.SKIP
    assert (finding.status, "unknown: the volumes" in finding.observed) == (Status.SKIP, True)


@pytest.mark.parametrize(
    ("product", "text"), [("distribution", "not supported by pullbench"), ("none", "set `product: harbor`")]
)
def test_a_registry_without_such_an_api_is_skipped_with_the_reason(product: Any, text: str) -> None:
    (finding,) = judge(StorageReport(product=product), TARGET)
    assert (finding.status, text in finding.observed) == (Status.SKIP, True)


def test_an_api_that_is_elsewhere_is_skipped_with_the_key_that_names_it() -> None:
    (finding,) = judge(StorageReport(product="nexus", silent="GET http://r:8082/service/rest/v1/status: 404"), TARGET)
    assert finding.status is Status.SKIP
    assert "set `product_url`" in finding.observed


def test_a_layer_that_images_share_fills_a_cache_once() -> None:
    content = manifest_of(config_blob())
    manifest = parse_manifest(content)
    assert isinstance(manifest, Manifest)
    route = Route(registry="eu", url="https://r.example.com")
    found = {
        ("eu", name): ImageFacts(
            registry="eu",
            image=name,
            platforms={"linux/amd64": PlatformImage(digest=digest_of(content), manifest=manifest)},
        )
        for name in ("a:1", "b:1")
    }
    facts = Facts(host_platform="linux/amd64", images=found)
    once = sum(blob.size_bytes for blob in manifest.blobs)
    assert fills_bytes(facts, route, ["a:1", "b:1"], ("linux/amd64",)) == once
    assert fills_bytes(facts, route, ["a:1", "c:1"], ("linux/amd64",)) is None


def of_server(
    answer: Answer, server: str = "nginx", user: str = "admin", **entry: Any
) -> tuple[list[Finding], ProductServer]:
    """The findings of the one storage of a spec whose registry this is."""
    with ProductServer(answer, server=server) as served:
        elsewhere = entry.pop("product_url", None)
        registry = {"name": "eu", "url": served.url, "credentials": "env:CI", **entry}
        if elsewhere is not None:
            registry["product_url"] = elsewhere
        spec = spec_of(registries=[registry], images=["library/app:1.0"])
        environ = {"CI_USERNAME": user, "CI_PASSWORD": PASSWORD}
        facts = Facts(host_platform="linux/amd64", offline=True)
        with CheckContext(spec, facts, Keychain(environ=environ)) as context:
            (target,) = storage_quota.every_storage(context)
            return judge(storage_quota.probe(context, target), target), served


def test_harbor_is_found_out_and_asked_for_the_projects_of_the_spec() -> None:
    (finding,), served = of_server(h.harbor())
    assert finding.status is Status.PASS
    for part in ("Harbor v2.16.0", "500 GB used (25%), 1.50 TB", "'library': 12.0 GB used (24%), 38.0 GB"):
        assert part in finding.observed
    assert "/api/v2.0/projects/library/summary" in served.paths
    assert PASSWORD not in repr(finding)


def test_nexus_is_found_out_and_a_named_product_is_not_asked_who_it_is() -> None:
    (finding,), _ = of_server(n.nexus(), n.SERVER)
    for part in ("Nexus 3.76.1-01", "'default': 100 GB used (25%), 300 GB"):
        assert part in finding.observed
    _, served = of_server(n.nexus(), "nginx", product="nexus")
    assert "/v2/" not in served.paths


def test_a_product_of_none_is_asked_nothing() -> None:
    (finding,), served = of_server(h.harbor(), product="none")
    assert (finding.status, served.paths) == (Status.SKIP, [])


def test_the_api_may_be_at_another_port_of_the_same_host() -> None:
    def docker_alone(path: str, _: str | None) -> Any:
        return (401, {}, n.CHALLENGE) if path == "/v2/" else (404, b"")

    with ProductServer(n.nexus(), server=n.SERVER) as rest:
        (finding,), _ = of_server(docker_alone, n.SERVER, product_url=rest.url)
        assert finding.status is Status.PASS
        assert rest.seen[0][1] == "admin"
    (finding,), _ = of_server(docker_alone, n.SERVER)
    assert finding.status is Status.SKIP


def test_credentials_of_one_host_are_not_sent_to_an_api_at_another() -> None:
    with ProductServer(n.nexus(), server=n.SERVER) as rest:
        (finding,), _ = of_server(n.nexus(), n.SERVER, product_url=rest.url.replace("127.0.0.1", "localhost"))
        assert {user for _, user in rest.seen} == {None}
    assert finding.status is Status.SKIP
    assert "nx-blobstores-read" in finding.observed


def test_a_product_that_fails_could_not_be_asked() -> None:
    with pytest.raises(RegistryError, match="500"):
        of_server(lambda path, _: (500, {}) if "systeminfo" in path else h.harbor()(path, None))


def test_one_storage_is_asked_once_however_many_proxies_lead_there() -> None:
    spec = spec_of(
        proxies=[
            {"name": "squid", "kind": "forward", "url": "http://127.0.0.1:3128"},
            {"name": "cache", "kind": "mirror", "upstream": "eu", "url": "https://harbor.example.com", "prefix": "hub"},
        ],
        matrix={"proxies": ["squid", "direct", "cache"], "platforms": ["linux/amd64"]},
    )
    with CheckContext(spec, Facts(host_platform="linux/amd64", offline=True), Keychain(environ={})) as context:
        assert [target.name for target in storage_quota.every_storage(context)] == ["eu", "eu via cache"]


def test_credentials_that_cannot_be_read_are_told_by_their_own_check_alone() -> None:
    assert {"api", "credentials"} <= storage_quota.CHECK.needs


def _pulp(storage: Any, **more: Any) -> Callable[[str, str | None], Any]:
    """Pulp's answers, as pulpcore 3 gives them."""
    status = {"versions": [{"component": "core", "version": "3.85.1"}], "storage": storage, **more}

    def answer(path: str, _: str | None) -> Any:
        if path == "/v2/":
            return 200, {}, {"Docker-Distribution-API-Version": "registry/2.0"}
        return (200, status) if path == "/pulp/api/v3/status/" else (404, b"")

    return answer


@pytest.mark.parametrize(
    ("used", "free", "status"),
    [(10, 90, Status.PASS), (85, 15, Status.WARN), (100, 0, Status.FAIL)],
)
def test_the_disk_of_pulp_is_read_from_its_status(used: int, free: int, status: Status) -> None:
    (finding,), _ = of_server(_pulp({"total": 100, "used": used, "free": free}), "nginx")
    assert finding.status is status
    assert "Pulp 3.85.1" in finding.observed


def test_pulp_on_an_object_store_reports_no_disk() -> None:
    (finding,), _ = of_server(_pulp(None), "nginx")
    assert finding.status is Status.SKIP
    assert "Pulp 3.85.1" in finding.observed


def test_pulp_without_its_database_is_not_healthy() -> None:
    (finding,), _ = of_server(_pulp(None, database_connection={"connected": False}), "nginx")
    assert finding.status is Status.FAIL


@pytest.mark.parametrize("answer", [(404, b""), (200, b"<html>"), (200, []), (200, {"versions": 3})])
def test_a_registry_that_is_no_known_product_is_not_supported(answer: Any) -> None:
    def other(path: str, _: str | None) -> Any:
        if path == "/v2/":
            return 200, {}, {"Docker-Distribution-API-Version": "registry/2.0"}
        return answer if path == "/pulp/api/v3/status/" else (404, b"")

    (finding,), _ = of_server(other, "nginx")
    assert finding.status is Status.SKIP
    assert "not supported by pullbench" in finding.observed


def _quay(quotas: Any, report: Any = None, *, realm: str = "") -> Callable[[str, str | None], Any]:
    """Quay's answers; the quota of an organization is shown to an OAuth token alone."""

    def answer(path: str, user: str | None) -> Any:
        if path == "/v2/":
            challenge = f'Bearer realm="{realm or "http://127.0.0.1/v2/auth"}",service="quay.example.com"'
            return 401, {}, {"WWW-Authenticate": challenge}
        if not path.startswith("/api/v1/organization/library"):
            return 404, {"error_type": "not_found"}
        if user != OAUTH:
            return 401, {"error_type": "invalid_token"}
        return quotas if path.endswith("/quota") else (200, {"name": "library", "quota_report": report})

    return answer


def quota(limit: int, *limits: tuple[str, int]) -> tuple[int, Any]:
    named = [{"id": 1, "type": kind, "limit_percent": percent} for kind, percent in limits]
    return 200, [{"id": 1, "limit_bytes": limit, "limits": named}]


def used(size: int, configured: int | None = None, status: str = "complete") -> dict[str, Any]:
    return {"quota_bytes": size, "configured_quota": configured, "backfill_status": status}


@pytest.mark.parametrize(
    ("quotas", "report", "status"),
    [
        (quota(1000, ("Reject", 100)), used(500, 1000), Status.PASS),
        (quota(1000, ("Reject", 100)), used(900, 1000), Status.WARN),
        (quota(1000, ("Reject", 100)), used(1000, 1000), Status.FAIL),
        (quota(1000, ("Warning", 50), ("Reject", 80)), used(800, 1000), Status.FAIL),
        (quota(1000, ("Warning", 80)), used(999, 1000), Status.PASS),
        (quota(1000, ("Warning", 80)), used(1001, 1000), Status.WARN),
        ((200, []), used(500, None), Status.PASS),
        ((200, []), used(1000, 1000), Status.FAIL),
    ],
)
def test_the_quota_of_an_organization_of_quay_is_read_with_an_oauth_token(
    quotas: Any, report: Any, status: Status
) -> None:
    (finding,), served = of_server(_quay(quotas, report), "nginx", "$oauthtoken")
    assert finding.status is status
    assert "organization 'library'" in finding.observed and PASSWORD not in repr(finding)
    assert "/api/v1/organization/library/quota" in served.paths


@pytest.mark.parametrize("user", ["admin", "team+robot"])
def test_quay_without_an_oauth_token_is_not_supported_and_is_told_what_to_set(user: str) -> None:
    (finding,), served = of_server(_quay(quota(1000), used(1)), "nginx", user)
    assert finding.status is Status.SKIP
    assert "not supported by pullbench" in finding.observed and "$oauthtoken" in finding.observed
    assert not any(path.startswith("/api/v1/") for path in served.paths)


@pytest.mark.parametrize("status", ["waiting", "running"])
def test_bytes_that_quay_has_not_counted_yet_are_not_known(status: str) -> None:
    (finding,), _ = of_server(_quay(quota(10), used(9999, 10, status)), "nginx", "$oauthtoken")
    assert (finding.status, "still counts" in finding.observed) == (Status.SKIP, True)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_quota_that_quay_does_not_show_is_named_with_what_it_needs(status: int) -> None:
    (finding,), _ = of_server(_quay((status, {}), used(1)), "nginx", "$oauthtoken")
    assert (finding.status, "FEATURE_QUOTA_MANAGEMENT" in finding.observed) == (Status.SKIP, True)


def test_a_page_in_place_of_quays_quotas_is_no_api_of_quay() -> None:
    (finding,), _ = of_server(_quay((200, b"<html>"), used(1)), "nginx", "$oauthtoken")
    assert (finding.status, "does not answer" in finding.observed) == (Status.SKIP, True)
    (finding,), _ = of_server(_quay((200, {"limits": 3}), used(1)), "nginx", "$oauthtoken")
    assert (finding.status, "does not answer" in finding.observed) == (Status.SKIP, True)


def test_a_token_service_elsewhere_makes_no_quay() -> None:
    (finding,), _ = of_server(_quay(quota(1), used(1), realm="http://auth.example.com/v2/auth"), "nginx", "$oauthtoken")
    assert (finding.status, "organization" in finding.observed) == (Status.SKIP, False)
