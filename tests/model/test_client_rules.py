"""Who refuses which image, and why. tests/integration/test_odd_images.py holds the rules against real clients."""

from dataclasses import replace
from typing import Any

import pytest

from pullbench.model.client_rules import MAX_DOCKER_LAYERS, TODAY, Client, head_refusals, refusals
from pullbench.model.facts import EngineFacts, HeadAnswer, Listing, PlatformImage, ServedType
from pullbench.model.manifest import DOCKER_MANIFEST, OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST, Descriptor, Manifest
from pullbench.model.platform import Platform

DIGEST, OTHER = f"sha256:{1:064x}", f"sha256:{2:064x}"
OLD_DOCKER = Client(kind="docker", store="overlay2", version=(20, 10, 24))
OF_CONTAINERD = {"docker with containerd's store", "ctr"}
OF_CONTAINERS = {"podman", "skopeo"}


def image(*layers: Descriptor, listing: Listing | None = None) -> PlatformImage:
    config = Descriptor(media_type=OCI_CONFIG, digest=OTHER, size_bytes=2)
    manifest = Manifest(media_type=OCI_MANIFEST, config=config, layers=layers or (layer(),))
    return PlatformImage(digest=DIGEST, manifest=manifest, listing=listing)


def layer(size_bytes: int = 10, media_type: str = OCI_LAYER_GZIP) -> Descriptor:
    return Descriptor(media_type=media_type, digest=OTHER, size_bytes=size_bytes)


def listed(platform: str | None, *, depth: int = 1, containers_digest: str | None = DIGEST) -> PlatformImage:
    named = None if platform is None else Platform.parse(platform)
    return image(listing=Listing(platform=named, depth=depth, containers_digest=containers_digest))


def refusing(found: PlatformImage, platform: str = "linux/amd64", **more: Client) -> set[str]:
    clients = {**TODAY, **more, "wire": Client(kind="wire")}
    return {name for name, client in clients.items() if refusals(found, Platform.parse(platform), client)}


@pytest.mark.parametrize("found", [image(), listed("linux/amd64")])
def test_nobody_refuses_a_plain_image(found: PlatformImage) -> None:
    assert refusing(found, old=OLD_DOCKER) == set()


def test_docker_s_own_store_takes_125_layers() -> None:
    assert refusing(image(*[layer()] * MAX_DOCKER_LAYERS)) == set()
    assert refusing(image(*[layer()] * (MAX_DOCKER_LAYERS + 1)), old=OLD_DOCKER) == {"docker with overlay2", "old"}


def test_containerd_refuses_a_layer_of_no_bytes() -> None:
    assert refusing(image(layer(), layer(0)), old=OLD_DOCKER) == OF_CONTAINERD


def test_docker_before_23_unpacks_no_zstd() -> None:
    found = image(layer(media_type="application/vnd.oci.image.layer.v1.tar+zstd"))
    assert refusing(found, old=OLD_DOCKER, new=Client(kind="docker", store="overlay2", version=(23,))) == {"old"}


def test_podman_skopeo_and_an_old_docker_follow_no_index_in_an_index() -> None:
    assert refusing(listed("linux/amd64", depth=2), old=OLD_DOCKER) == {*OF_CONTAINERS, "old"}


def test_an_entry_without_a_platform_is_refused_by_an_old_docker_and_in_a_docker_list_by_podman() -> None:
    assert refusing(listed(None), old=OLD_DOCKER) == {"old"}
    assert refusing(listed(None, containers_digest=None), old=OLD_DOCKER) == {*OF_CONTAINERS, "old"}


@pytest.mark.parametrize(
    ("platform", "wanted", "also"),
    [
        ("linux/386", "linux/amd64", {"old"}),
        ("linux/amd64/v2", "linux/amd64/v3", {"old"}),
        ("linux/arm/v7", "linux/arm64", {"old"}),
        ("linux/arm/v6", "linux/arm/v7", set()),
    ],
)
def test_ctr_unpacks_only_the_exact_platform(platform: str, wanted: str, also: set[str]) -> None:
    assert refusing(listed(platform), wanted, old=OLD_DOCKER) == {"ctr", *also}


@pytest.mark.parametrize(("platform", "wanted"), [("linux/arm64/v8", "linux/arm64"), ("linux/arm", "linux/arm/v7")])
def test_another_name_of_the_same_platform_is_exact(platform: str, wanted: str) -> None:
    assert refusing(listed(platform), wanted, old=OLD_DOCKER) == set()


def test_podman_and_skopeo_are_refused_where_they_would_pull_another_entry() -> None:
    assert refusing(listed("linux/amd64/v2", containers_digest=OTHER), "linux/amd64/v2") == OF_CONTAINERS


@pytest.mark.parametrize(
    ("engine", "client"),
    [
        (EngineFacts(name="d", kind="docker", version="20.10.24+dfsg1"), OLD_DOCKER),
        (
            EngineFacts(name="d", kind="docker", version="29.7.2", image_store="containerd (overlayfs)"),
            Client(kind="docker", store="containerd", version=(29, 7, 2)),
        ),
        (EngineFacts(name="p", kind="podman", version="4.3.1 (overlay)"), Client(kind="podman", version=(4, 3, 1))),
        (EngineFacts(name="s", kind="skopeo"), Client(kind="skopeo")),
    ],
)
def test_an_engine_is_the_client_of_its_version_and_store(engine: EngineFacts, client: Client) -> None:
    assert Client.of_engine(engine) == client


EVERYONE = {*TODAY, "old"}


def served(content_type: str, media_type: str = OCI_MANIFEST) -> PlatformImage:
    return replace(image(), served=(ServedType(content_type=content_type, media_type=media_type),))


@pytest.mark.parametrize(
    ("content_type", "media_type", "who"),
    [
        (OCI_MANIFEST, OCI_MANIFEST, set()),
        (OCI_MANIFEST, "", set()),
        ("", OCI_MANIFEST, EVERYONE),
        ("text/plain", OCI_MANIFEST, EVERYONE),
        ("application/json", OCI_MANIFEST, EVERYONE),
        ("application/octet-stream", "", EVERYONE),
        (OCI_MANIFEST.upper(), OCI_MANIFEST, OF_CONTAINERD),
        (OCI_MANIFEST, DOCKER_MANIFEST, {"docker with overlay2", "old"}),
        (DOCKER_MANIFEST, OCI_MANIFEST, {"docker with overlay2", "old", *OF_CONTAINERS}),
    ],
)
def test_clients_go_by_the_content_type_of_a_manifest(content_type: str, media_type: str, who: set[str]) -> None:
    assert refusing(served(content_type, media_type), old=OLD_DOCKER) == who


def refusing_head(*, by_digest: bool = False, **answer: Any) -> set[str]:
    given = HeadAnswer(**{"status": 200, "content_type": OCI_MANIFEST, "size_bytes": 9, **answer})
    clients = {**TODAY, "wire": Client(kind="wire")}
    return {name for name, client in clients.items() if head_refusals(given, client, by_digest=by_digest)}


@pytest.mark.parametrize(
    ("answer", "who"),
    [
        ({}, set()),
        ({"size_bytes": None}, {"docker with overlay2"}),
        ({"size_bytes": None, "has_digest": False}, set()),
        ({"size_bytes": 0}, OF_CONTAINERD),
        ({"content_type": ""}, {"docker with overlay2", *OF_CONTAINERD}),
        ({"content_type": "text/plain"}, OF_CONTAINERD),
        ({"status": 404}, OF_CONTAINERD),
        ({"status": 401}, OF_CONTAINERD),
        ({"status": 500}, OF_CONTAINERD),
        ({"status": 405}, set()),
        ({"content_type": "", "has_digest": False}, set()),
        ({"content_type": "text/plain", "size_bytes": None}, {"docker with overlay2"}),
    ],
)
def test_docker_and_containerd_look_at_a_tag_by_head(answer: dict[str, Any], who: set[str]) -> None:
    assert refusing_head(**answer) == who


@pytest.mark.parametrize(
    ("answer", "who"),
    [
        ({}, set()),
        ({"size_bytes": None}, set()),
        ({"size_bytes": None, "content_type": ""}, set()),
        ({"content_type": ""}, OF_CONTAINERD),
        ({"content_type": "", "has_digest": False}, OF_CONTAINERD),
        ({"size_bytes": 0}, OF_CONTAINERD),
        ({"status": 403}, OF_CONTAINERD),
        ({"status": 405}, set()),
    ],
)
def test_containerd_looks_at_a_digest_by_head_too_and_docker_s_own_store_does_not(
    answer: dict[str, Any], who: set[str]
) -> None:
    assert refusing_head(by_digest=True, **answer) == who
