"""Manifests and indexes are read as the OCI and Docker formats have them, and nothing else is."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pullbench.model.manifest import (
    ACCEPT,
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
    Descriptor,
    Index,
    Manifest,
    ManifestError,
    SchemaOneError,
    parse_manifest,
)
from pullbench.model.platform import Platform


def digest(number: int) -> str:
    return f"sha256:{number:064x}"


def descriptor(number: int, size: object = 10, **more: Any) -> dict[str, Any]:
    return {"mediaType": OCI_LAYER_GZIP, "digest": digest(number), "size": size, **more}


def manifest(*layers: dict[str, Any], **more: Any) -> dict[str, Any]:
    config = {**descriptor(0, 5), "mediaType": OCI_CONFIG}
    return {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": list(layers), **more}


def index(*platforms: str, **more: Any) -> dict[str, Any]:
    entries = []
    for number, text in enumerate(platforms):
        named = Platform.parse(text)
        place = {"os": named.os, "architecture": named.architecture}
        entries.append(descriptor(number, platform=place | ({"variant": named.variant} if named.variant else {})))
    return {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries, **more}


def parsed(document: object, content_type: str = "") -> Manifest | Index:
    return parse_manifest(json.dumps(document).encode(), content_type)


def as_manifest(document: object) -> Manifest:
    found = parsed(document)
    assert isinstance(found, Manifest)
    return found


def as_index(document: object) -> Index:
    found = parsed(document)
    assert isinstance(found, Index)
    return found


@pytest.mark.parametrize("media_type", [OCI_MANIFEST, DOCKER_MANIFEST])
def test_a_manifest_has_its_config_and_its_layers_base_first(media_type: str) -> None:
    found = as_manifest(manifest(descriptor(2, 30), descriptor(1, 20), mediaType=media_type))
    assert found.media_type == media_type
    assert found.config == Descriptor(media_type=OCI_CONFIG, digest=digest(0), size_bytes=5)
    assert [(layer.digest, layer.size_bytes) for layer in found.layers] == [(digest(2), 30), (digest(1), 20)]
    assert found.size_bytes == 55


def test_a_layer_that_stands_twice_is_fetched_and_counted_once() -> None:
    found = as_manifest(manifest(descriptor(1, 20), descriptor(2, 7), descriptor(1, 20)))
    assert len(found.layers) == 3
    assert [blob.digest for blob in found.blobs] == [digest(0), digest(1), digest(2)]
    assert found.size_bytes == 32


@pytest.mark.parametrize("media_type", [OCI_INDEX, DOCKER_LIST])
def test_an_index_has_its_platforms(media_type: str) -> None:
    found = as_index(index("linux/amd64", "linux/arm/v7", mediaType=media_type))
    assert [str(platform) for platform in found.platforms] == ["linux/amd64", "linux/arm/v7"]


def chosen(found: Index, platform: str) -> str | None:
    entry = found.select(Platform.parse(platform))
    return None if entry is None else entry.digest


def chosen_by_containers(found: Index, platform: str) -> str | None:
    entry = found.containers_select(Platform.parse(platform))
    return None if entry is None else entry.digest


def test_an_attestation_serves_no_platform_and_is_not_shown() -> None:
    found = as_index(index("unknown/unknown", "linux/amd64"))
    assert chosen(found, "linux/amd64") == chosen_by_containers(found, "linux/amd64") == digest(1)
    assert chosen(found, "linux/s390x") is None
    assert [str(each) for each in found.platforms] == ["linux/amd64"]


def test_the_first_entry_without_a_platform_serves_where_no_other_does() -> None:
    document = index("linux/arm64", "linux/amd64")
    document["manifests"] = [descriptor(8), *document["manifests"], descriptor(9)]
    for found in (as_index(document), as_index({**document, "mediaType": DOCKER_LIST})):
        assert chosen(found, "linux/amd64") == chosen_by_containers(found, "linux/amd64") == digest(1)
        assert chosen(found, "linux/s390x") == digest(8)
    assert chosen_by_containers(as_index(document), "linux/s390x") == digest(8)
    assert chosen_by_containers(as_index({**document, "mediaType": DOCKER_LIST}), "linux/s390x") is None


@pytest.mark.parametrize(
    ("wanted", "offered", "best"),
    [
        ("linux/amd64", ["linux/amd64/v3", "linux/amd64"], 1),
        ("linux/amd64", ["linux/amd64/v3", "linux/amd64/v1"], 1),
        ("linux/amd64/v3", ["linux/amd64", "linux/amd64/v2"], 1),
        ("linux/amd64", ["linux/386", "linux/amd64"], 1),
        ("linux/arm64", ["linux/arm/v7", "linux/arm64"], 1),
        ("linux/arm64", ["linux/arm/v6", "linux/arm/v7"], 1),
        ("linux/arm/v7", ["linux/arm/v5", "linux/arm/v6"], 1),
        ("linux/arm", ["linux/arm/v5", "linux/arm/v7"], 1),
        ("linux/arm/v6", ["linux/arm/v5", "linux/arm/v6"], 1),
        ("linux/arm64", ["linux/arm64/v8"], 0),
        ("linux/amd64", ["linux/amd64", "linux/amd64"], 0),
    ],
)
def test_the_very_platform_goes_before_one_that_also_serves(wanted: str, offered: list[str], best: int) -> None:
    assert chosen(as_index(index(*offered)), wanted) == digest(best)


@pytest.mark.parametrize(
    ("wanted", "offered"),
    [
        ("linux/amd64", ["linux/amd64/v2", "linux/amd64/v3"]),
        ("linux/amd64/v2", ["linux/amd64/v3"]),
        ("linux/arm/v6", ["linux/arm/v7", "linux/arm"]),
        ("linux/386", ["linux/amd64"]),
        ("linux/arm/v7", ["linux/arm64"]),
    ],
)
def test_a_higher_variant_serves_no_lower_one(wanted: str, offered: list[str]) -> None:
    assert chosen(as_index(index(*offered)), wanted) is None


@pytest.mark.parametrize(
    ("wanted", "offered", "best"),
    [
        ("linux/amd64", ["linux/amd64/v1"], None),
        ("linux/amd64", ["linux/x86_64"], None),
        ("linux/x86_64", ["linux/amd64"], 0),
        ("linux/amd64/v3", ["linux/amd64/v2", "linux/amd64"], 1),
        ("linux/arm", ["linux/arm/v6", "linux/arm/v7"], 1),
        ("linux/arm64", ["linux/arm64/v8"], 0),
        ("linux/arm64", ["linux/arm/v7"], None),
    ],
)
def test_podman_and_skopeo_choose_by_exact_names(wanted: str, offered: list[str], best: int | None) -> None:
    assert chosen_by_containers(as_index(index(*offered)), wanted) == (None if best is None else digest(best))


def test_an_artifact_is_told_from_an_image_by_its_config() -> None:
    chart = manifest(config={**descriptor(0, 5), "mediaType": "application/vnd.cncf.helm.config.v1+json"})
    thing = manifest(config={**descriptor(0, 2), "mediaType": "application/vnd.oci.empty.v1+json"})
    assert as_manifest(manifest()).artifact is None
    assert as_manifest(chart).artifact == "a Helm chart"
    assert "application/vnd.oci.empty.v1+json" in (as_manifest(thing).artifact or "")


def test_a_foreign_layer_keeps_its_other_places_without_queries() -> None:
    found = as_manifest(manifest(descriptor(1, urls=["https://cdn.example/layer?sig=secret"])))
    assert found.layers[0].urls == ("https://cdn.example/layer",)


@pytest.mark.parametrize("media_type", ["application/vnd.docker.distribution.manifest.v1+prettyjws", None])
def test_schema_1_is_told_from_what_is_no_manifest(media_type: str | None) -> None:
    document = {"schemaVersion": 1, "fsLayers": [], "mediaType": media_type}
    with pytest.raises(SchemaOneError):
        parsed({key: value for key, value in document.items() if value is not None})


def test_the_documents_own_type_goes_before_the_header() -> None:
    assert isinstance(parsed(index("linux/amd64"), OCI_MANIFEST), Index)
    untyped = {key: value for key, value in manifest().items() if key != "mediaType"}
    assert parsed(untyped, f"{DOCKER_MANIFEST}; charset=utf-8").media_type == DOCKER_MANIFEST
    assert parsed(untyped, "application/json").media_type == "application/json"
    assert parsed(untyped).media_type == OCI_MANIFEST
    untyped_index = {key: value for key, value in index("linux/amd64").items() if key != "mediaType"}
    assert parsed(untyped_index).media_type == OCI_INDEX


def test_an_index_that_also_has_a_config_is_what_its_type_says() -> None:
    both = {**index("linux/amd64"), **manifest(descriptor(1))}
    assert isinstance(parsed({**both, "mediaType": OCI_MANIFEST}), Manifest)
    assert isinstance(parsed({**both, "mediaType": OCI_INDEX}), Index)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>Sign in</html>",
        b"\xff\xfe",
        b"[" * 100_000,
        b"[]",
        b"null",
        b"{}",
        b'{"schemaVersion": 1, "fsLayers": []}',
        b'{"errors": [{"code": "DENIED"}]}',
        *(
            json.dumps(document).encode()
            for document in (
                manifest(mediaType=5),
                manifest(mediaType={"a": 1}),
                manifest(config=None),
                manifest(layers={"a": 1}),
                manifest(layers="abc"),
                manifest(layers=None),
                manifest(descriptor(1, "10")),
                manifest(descriptor(1, 1.5)),
                manifest(descriptor(1, True)),
                manifest(descriptor(1, -1)),
                manifest(descriptor(1, 2**63)),
                manifest({**descriptor(1), "digest": "sha256:short"}),
                manifest({**descriptor(1), "digest": digest(1).upper()}),
                manifest({**descriptor(1), "digest": "../" + digest(1)}),
                manifest({**descriptor(1), "digest": 5}),
                {**index(), "manifests": [1]},
                {**index(), "manifests": None},
            )
        ),
    ],
)
def test_what_is_no_manifest_is_refused(content: bytes) -> None:
    with pytest.raises(ManifestError):
        parse_manifest(content)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just(digest(1)),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["mediaType", "config", "layers", "manifests", "digest", "size", "platform", "os"]), inner
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_foreign_json_is_refused_and_never_breaks_the_reader(document: object) -> None:
    try:
        found = parsed(document)
    except ManifestError:
        return
    assert isinstance(found, Manifest | Index)


def test_every_known_type_is_asked_for_in_one_line() -> None:
    assert set(ACCEPT.split(", ")) == {OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST}


@pytest.mark.parametrize(
    "evil", ["sha256:../../../etc/passwd", "sha256:" + "/" * 64, "../x", f"{digest(1)}/..", digest(1).upper()]
)
@pytest.mark.promise("names", "A digest from a registry becomes no path")
def test_is_digest_lets_no_digest_of_a_manifest_be_a_path(evil: str) -> None:
    document = manifest({**descriptor(1), "digest": evil})
    with pytest.raises(ManifestError):
        parse_manifest(json.dumps(document).encode())
