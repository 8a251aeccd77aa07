"""Forward proxies with a real squid: its log shows what went through it, and nothing of what is direct."""

from collections.abc import Callable

import pytest

from pullbench.errors import ErrorCode
from tests.integration.conftest import PushImage, StartRegistry
from tests.integration.real_registry import RealRegistry
from tests.integration.real_squid import Asked, RealSquid
from tests.integration.wire_trial import made_image, trial

pytestmark = [pytest.mark.integration, pytest.mark.real]


def route(squid: RealSquid) -> dict[str, str]:
    return {"proxy": "squid", "forward_url": squid.url}


@pytest.mark.parametrize("chunk_bytes", [None, "1MiB"])
def test_a_plain_registry_is_asked_through_squid_whose_log_has_every_blob(
    plain_registry: RealRegistry,
    push_image: PushImage,
    fresh: Callable[[], str],
    squid: RealSquid,
    chunk_bytes: str | None,
) -> None:
    repository, image = fresh(), made_image()
    push_image(plain_registry, repository, "1", image)
    with trial(plain_registry, repository, image, route=route(squid), chunk_bytes=chunk_bytes) as pull:
        outcome = pull()
    assert outcome.ok, outcome.error
    wanted = {
        f"{plain_registry.url}/v2/{repository}/{path}"
        for path in (f"manifests/{image.manifest.digest}", *(f"blobs/{blob.digest}" for blob in image.blobs))
    }
    asked = squid.asked_at_last(lambda all_so_far: wanted <= {one.url for one in all_so_far})
    assert {(one.method, one.url) for one in asked if repository in one.url} == {("GET", url) for url in wanted}
    assert {row.remote_ip for row in outcome.transfers} == {"127.0.0.1"}
    assert f"127.0.0.1:{squid.url.rpartition(':')[2]} via" in (outcome.served_by or "")
    assert "squid.test" in (outcome.served_by or "")


def test_what_squid_has_cached_says_so(
    plain_registry: RealRegistry, push_image: PushImage, fresh: Callable[[], str], squid: RealSquid
) -> None:
    repository, image = fresh(), made_image()
    push_image(plain_registry, repository, "1", image)
    with trial(plain_registry, repository, image, route=route(squid)) as pull:
        first, second = pull(), pull()
    assert first.ok and second.ok
    assert "MISS from squid.test" in (first.served_by or "")
    assert "HIT from squid.test" in (second.served_by or "")


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_a_tls_registry_is_tunnelled_by_connect_and_squid_sees_bytes_but_no_blob(
    docker_registry: StartRegistry, push_image: PushImage, fresh: Callable[[], str], squid: RealSquid, version: str
) -> None:
    registry, repository, image = docker_registry(tls=True), fresh(), made_image()
    push_image(registry, repository, "1", image)
    with trial(registry, repository, image, route=route(squid), http_version=version) as pull:
        outcome = pull()
    assert outcome.ok, outcome.error
    assert {row.http_version for row in outcome.transfers} == {version}
    size_bytes = sum(len(blob.content) for blob in image.blobs)

    def sent(so_far: list[Asked]) -> int:
        return sum(one.sent_bytes for one in so_far if one.url == registry.host)

    tunnels = [one for one in squid.asked_at_last(lambda so_far: sent(so_far) > size_bytes) if one.url == registry.host]
    assert {one.method for one in tunnels} == {"CONNECT"} and sent(tunnels) > size_bytes
    assert version == "1.1" or len(tunnels) == 1


def test_direct_is_direct_whatever_the_environment_says(
    plain_registry: RealRegistry,
    push_image: PushImage,
    fresh: Callable[[], str],
    squid: RealSquid,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    repository, image = fresh(), made_image()
    push_image(plain_registry, repository, "1", image)
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, squid.url)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for version in ("1.1", "2"):
        with trial(plain_registry, repository, image, http_version=version) as pull:
            outcome = pull()
        assert outcome.ok, outcome.error
        assert outcome.served_by == plain_registry.host
    marker = fresh()  # what is asked after them, and logged after them
    with trial(plain_registry, marker, image, route=route(squid)) as pull:
        assert pull().error_code is ErrorCode.NOT_FOUND
    asked = squid.asked_at_last(lambda so_far: any(marker in one.url for one in so_far))
    assert [one for one in asked if repository in one.url] == []


def test_a_registry_that_squid_cannot_reach_is_the_proxys_failure(
    plain_registry: RealRegistry, fresh: Callable[[], str], squid: RealSquid
) -> None:
    nowhere = {**route(squid), "url": "http://127.0.0.1:9"}
    with trial(plain_registry, fresh(), made_image(), route=nowhere) as pull:
        assert pull().error_code is ErrorCode.PROXY
