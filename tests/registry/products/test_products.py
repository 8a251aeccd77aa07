"""Harbor, Nexus and CNCF distribution, by servers that answer as their API descriptions say."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from pullbench.errors import ErrorCode, RegistryError
from pullbench.model.route import Route
from pullbench.registry.client import RegistryClient
from pullbench.registry.keychain import Keychain
from pullbench.registry.products import harbor, nexus
from pullbench.registry.products.api import ProductApi, objects, part, product_of, whole
from pullbench.registry.products.storage import Space, Storage
from tests.registry.products import harbor_answers as h
from tests.registry.products import nexus_answers as n
from tests.registry.products.server import PASSWORD, Answer, ProductServer


def keychain(user: str) -> Keychain:
    return Keychain(environ={"CI_USERNAME": user, "CI_PASSWORD": PASSWORD})


@contextmanager
def asking(
    answer: Answer, user: str | None = "admin", server: str = "nginx"
) -> Iterator[tuple[ProductApi, ProductServer]]:
    source = "anonymous" if user is None else "env:CI"
    with (
        ProductServer(answer, server=server) as served,
        ProductApi(Route(registry="eu", url=served.url, credentials=source), keychain(user or "")) as api,
    ):
        yield api, served


def of_harbor(answer: Answer, user: str | None = "admin") -> Storage:
    with asking(answer, user) as (api, _):
        return harbor.read_storage(api, ["library"])


def of_nexus(answer: Answer, user: str | None = "admin") -> Storage:
    with asking(answer, user, n.SERVER) as (api, _):
        return nexus.read_storage(api)


def test_an_administrator_of_harbor_sees_version_volume_and_quota() -> None:
    found = of_harbor(h.harbor())
    assert (found.name, found.read_only, found.hidden, found.ailments) == ("Harbor v2.16.0", False, (), ())
    assert [(space.used_bytes, space.free_bytes) for space in found.spaces] == [
        (500 * h.GB, 1500 * h.GB),
        (12 * h.GB, 38 * h.GB),
    ]
    assert "volume" in found.spaces[0].name and "'library'" in found.spaces[1].name
    assert [space.used_share for space in found.spaces] == [0.25, 0.24]


def test_a_robot_without_the_right_sees_its_quota_and_learns_which_right_the_volumes_take() -> None:
    found = of_harbor(h.harbor(), "robot$ci")
    (quota,) = found.spaces
    assert "'library'" in quota.name
    (hidden,) = found.hidden
    assert "(GET /api/v2.0/systeminfo/volumes: 403 for user 'robot$ci'" in hidden
    assert "`system-volumes`" in hidden


def test_nobody_sees_harbors_health_alone_and_learns_what_the_rest_takes() -> None:
    found = of_harbor(h.harbor(health=h.UNHEALTHY), None)
    assert (found.name, found.read_only, found.spaces) == ("Harbor", None, ())
    volumes, quota = (entry.partition(" (")[0] for entry in found.hidden)
    assert "volumes" in volumes and "'library'" in quota
    assert all("401 for nobody" in entry for entry in found.hidden)
    assert [(ailment.name, ailment.text) for ailment in found.ailments] == [
        ("component registry", "failed to check health: Get http://registry:5000: refused")
    ]


def test_a_volume_of_zero_bytes_is_not_known_rather_than_full() -> None:
    found = of_harbor(h.harbor(volumes=h.VOLUMES_OF_AN_OBJECT_STORE))
    (quota,) = found.spaces
    assert "'library'" in quota.name
    (hidden,) = found.hidden
    assert "0 of 0 bytes" in hidden


def test_a_quota_of_minus_one_has_no_limit() -> None:
    (_, quota) = of_harbor(h.harbor(summary=h.SUMMARY_WITHOUT_LIMIT)).spaces
    assert (quota.used_bytes, quota.free_bytes, quota.used_share) == (12 * h.GB, None, None)


def test_a_quota_that_the_summary_leaves_out_is_looked_for_in_the_list_by_the_projects_number() -> None:
    with asking(h.harbor(summary=h.SUMMARY_WITHOUT_QUOTA)) as (api, served):
        (_, quota) = harbor.read_storage(api, ["library"]).spaces
    assert (quota.used_bytes, quota.free_bytes) == (19 * h.GB, h.GB)
    assert "/api/v2.0/quotas?reference=project&reference_id=7" in served.paths
    assert of_harbor(h.harbor(summary=h.SUMMARY_WITHOUT_QUOTA), "ann").hidden[1].startswith("the quota ")


def test_a_project_is_named_as_one_for_a_number_may_be_a_name() -> None:
    with asking(h.harbor()) as (api, served):
        harbor.read_storage(api, ["library"])
    headers = dict(zip(served.paths, served.headers, strict=True))["/api/v2.0/projects/library/summary"]
    assert headers["X-Is-Resource-Name"] == "true"


def test_a_project_that_caches_another_registry_is_filled_by_pulls() -> None:
    assert of_harbor(h.harbor(summary=h.SUMMARY_OF_A_CACHE)).fills_by_pulls
    assert not of_harbor(h.harbor()).fills_by_pulls


def test_harbor_in_read_only_mode_says_so_with_the_command_that_ends_it() -> None:
    found = of_harbor(h.harbor(read_only=True))
    assert found.read_only is True
    assert "-X PUT" in found.read_only_remedy
    assert "/api/v2.0/configurations`" in found.read_only_remedy


def test_a_reader_of_nexus_sees_every_blob_store_and_its_version() -> None:
    found = of_nexus(n.nexus())
    assert (found.name, found.read_only, found.hidden) == ("Nexus 3.76.1-01", False, ())
    assert [(space.name, space.used_share) for space in found.spaces] == [("blob store 'default'", 0.25)]


@pytest.mark.parametrize("available", [n.LONG_MAX, 0])
def test_an_object_store_of_nexus_has_no_limit(available: int) -> None:
    (space,) = of_nexus(n.nexus(stores=[{**n.S3_STORE, "availableSpaceInBytes": available}])).spaces
    assert (space.used_bytes, space.free_bytes) == (100 * n.GB, None)


def test_a_full_blob_store_on_a_disk_is_full() -> None:
    (space,) = of_nexus(n.nexus(stores=[{**n.FILE_STORE, "availableSpaceInBytes": 0}])).spaces
    assert (space.free_bytes, space.used_share) == (0, 1.0)


def test_a_soft_quota_that_is_exceeded_is_told_in_nexus_words() -> None:
    (space,) = of_nexus(n.nexus(stores=[n.LIMITED_STORE], quota=n.VIOLATION)).spaces
    assert space.over_quota == n.VIOLATION["message"]
    (space,) = of_nexus(n.nexus(stores=[n.LIMITED_STORE])).spaces
    assert space.over_quota == ""


def test_only_the_stores_of_docker_repositories_count_where_the_settings_may_be_read() -> None:
    stores = [n.FILE_STORE, n.LIMITED_STORE]
    assert [space.name for space in of_nexus(n.nexus(stores=stores, settings=n.DOCKER_SETTINGS)).spaces] == [
        "blob store 'docker'"
    ]
    assert len(of_nexus(n.nexus(stores=stores)).spaces) == 2


def test_a_group_of_blob_stores_is_left_to_its_members() -> None:
    group = {**n.FILE_STORE, "name": "group", "type": "Group"}
    assert [space.name for space in of_nexus(n.nexus(stores=[group, n.FILE_STORE])).spaces] == ["blob store 'default'"]


def test_a_blob_store_that_is_unavailable_ails_and_is_not_taken_for_full() -> None:
    found = of_nexus(n.nexus(stores=[n.LOST_STORE]))
    assert (found.spaces, [ailment.name for ailment in found.ailments]) == ((), ["blob store 'lost'"])


def test_a_frozen_nexus_is_read_only_and_one_that_serves_no_reads_ails() -> None:
    assert of_nexus(n.nexus(writable=503)).read_only is True
    assert [ailment.text[:4] for ailment in of_nexus(n.nexus(status=503)).ailments] == ["503:"]


@pytest.mark.parametrize(("user", "status"), [(None, 401), ("ann", 403)])
def test_who_may_not_read_blob_stores_learns_the_privilege(user: str | None, status: int) -> None:
    found = of_nexus(n.nexus(), user)
    assert found.spaces == ()
    assert f": {status} for " in found.hidden[0]
    assert "nx-blobstores-read" in found.hidden[0]


def test_nexus_at_a_port_that_serves_docker_alone_is_told_from_one_that_is_down() -> None:
    with asking(lambda *_: (404, b"<html>"), server=n.SERVER) as (api, _), pytest.raises(RegistryError) as caught:
        nexus.read_storage(api)
    assert caught.value.code is ErrorCode.NOT_FOUND
    assert caught.value.detail.startswith("404: ")


def test_what_is_called_harbor_and_has_none_of_its_api_is_not_there_rather_than_hidden() -> None:
    with (
        asking(lambda *_: (404, b"404 page not found"), None, "nginx") as (api, _),
        pytest.raises(RegistryError) as caught,
    ):
        harbor.read_storage(api, ["library"])
    assert caught.value.code is ErrorCode.NOT_FOUND
    assert caught.value.detail.startswith("404: ")


V2 = {"Docker-Distribution-Api-Version": "registry/2.0"}


@pytest.mark.parametrize(
    ("answer", "server", "product"),
    [
        (h.harbor(), "nginx", "harbor"),
        (n.nexus(), n.SERVER, "nexus"),
        (lambda path, _: (200, {}, V2) if path == "/v2/" else (404, b"404 page not found"), "", "distribution"),
        (lambda path, _: (200, {}) if path == "/v2/" else None, "zot", "none"),
        (lambda path, _: (200, {}, V2) if path == "/v2/" else (200, b"<html>every page</html>"), "", "distribution"),
    ],
)
def test_a_product_is_found_out_by_what_only_it_says(answer: Answer, server: str, product: str) -> None:
    with asking(answer, None, server) as (api, served):
        route = Route(registry="eu", url=served.url)
        with RegistryClient(route, Keychain(environ={})) as client:
            assert product_of(api, client.ping(authenticate=False)) == product


def test_a_password_is_sent_unasked_and_never_follows_a_redirect_to_another_host() -> None:
    with ProductServer(lambda *_: (200, {"free": 1})) as other:

        def away(path: str, _: str | None) -> Any:
            return (302, b"", {"Location": f"{other.url}{path}"})

        with asking(away) as (api, served):
            assert api.read("/api/v2.0/systeminfo").document == {"free": 1}
        assert served.seen == [("/api/v2.0/systeminfo", "admin")]
        assert other.seen == [("/api/v2.0/systeminfo", None)]


def test_an_identity_token_is_not_sent_to_a_product() -> None:
    with ProductServer(lambda *_: (200, {})) as served:
        route = Route(registry="eu", url=served.url, credentials="env:CI")
        with ProductApi(route, Keychain(environ={"CI_TOKEN": "opaque"})) as api:
            api.read("/x")
        assert served.seen == [("/x", None)]


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        ((200, b"<html>"), ErrorCode.NOT_A_REGISTRY),
        ((200, b"[" * 5000), ErrorCode.NOT_A_REGISTRY),
        ((500, {"errors": []}), ErrorCode.SERVER_ERROR),
        ((429, {}), ErrorCode.RATE_LIMITED),
        ((200, b" " * (5 * 2**20)), ErrorCode.TOO_LARGE),
    ],
)
def test_what_is_no_answer_of_a_product_is_an_error_with_its_code(reply: Any, code: ErrorCode) -> None:
    with asking(lambda *_: reply) as (api, _), pytest.raises(RegistryError) as caught:
        api.read("/api/v2.0/health")
    assert caught.value.code is code
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize("junk", [None, [], "text", 7, {"storage": "x", "components": 3, "quota": []}, [[1], "x"]])
def test_answers_of_the_wrong_shape_are_passed_over(junk: Any) -> None:
    with asking(lambda *_: (200, junk)) as (api, _):
        assert harbor.read_storage(api, ["library"]).spaces == ()
        assert nexus.read_storage(api).spaces == ()


def test_parts_of_a_strangers_json_are_read_with_care() -> None:
    assert (part({"a": {"b": 1}}, "a", "b"), part({"a": 1}, "a", "b"), part(None, "a")) == (1, None, None)
    assert (whole(7), whole(True), whole("7"), whole(7.5)) == (7, None, None, None)
    assert (objects([{"a": 1}, 2]), objects({"a": 1})) == ([{"a": 1}], [])


def test_a_space_of_nothing_at_all_counts_as_full() -> None:
    assert Space(name="x", used_bytes=0, free_bytes=0).used_share == 1.0
