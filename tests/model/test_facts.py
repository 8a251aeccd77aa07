"""Facts are stored with a run and come back as they were, whatever a registry answered."""

import dataclasses
import json

from hypothesis import given
from hypothesis import strategies as st

from pullbench.errors import ErrorCode
from pullbench.model.facts import EngineFacts, Facts, HeadAnswer, ImageFacts, Listing, PlatformImage, ServedType
from pullbench.model.manifest import Descriptor, Manifest
from pullbench.model.platform import Platform

TEXT = st.text(max_size=12)
DIGESTS = st.integers(0, 2**256 - 1).map(lambda number: f"sha256:{number:064x}")
PLATFORMS = st.builds(Platform, os=TEXT, architecture=TEXT, variant=st.none() | TEXT)
DESCRIPTORS = st.builds(
    Descriptor,
    media_type=TEXT,
    digest=DIGESTS,
    size_bytes=st.integers(0, 2**63 - 1),
    platform=st.none() | PLATFORMS,
    urls=st.lists(TEXT, max_size=2).map(tuple),
)
MANIFESTS = st.builds(
    Manifest, media_type=TEXT, config=DESCRIPTORS, layers=st.lists(DESCRIPTORS, max_size=3).map(tuple)
)
LISTINGS = st.builds(
    Listing, platform=st.none() | PLATFORMS, depth=st.integers(1, 8), containers_digest=st.none() | DIGESTS
)
IMAGES = st.builds(
    ImageFacts,
    registry=TEXT,
    image=TEXT,
    digest=st.none() | DIGESTS,
    is_index=st.booleans(),
    platforms=st.dictionaries(
        TEXT,
        st.builds(
            PlatformImage,
            digest=DIGESTS,
            manifest=MANIFESTS,
            listing=st.none() | LISTINGS,
            served=st.lists(st.builds(ServedType, content_type=TEXT, media_type=TEXT), max_size=2).map(tuple),
        ),
        max_size=2,
    ),
    error_code=st.none() | st.sampled_from(ErrorCode),
    error=TEXT,
    head=st.none()
    | st.builds(
        HeadAnswer,
        status=st.integers(200, 599),
        content_type=TEXT,
        size_bytes=st.none() | st.integers(0, 2**40),
        has_digest=st.booleans(),
    ),
)
ENGINES = st.builds(
    EngineFacts,
    name=TEXT,
    kind=TEXT,
    version=st.none() | TEXT,
    unavailable=st.none() | TEXT,
    store_id=st.none() | TEXT,
    image_store=st.none() | TEXT,
    present=st.frozensets(DIGESTS, max_size=3),
    is_local=st.booleans(),
    max_concurrent_downloads=st.none() | st.integers(1, 100),
)
FACTS = st.builds(
    Facts,
    host_platform=TEXT,
    engines=st.lists(ENGINES, max_size=2).map(lambda found: {engine.name: engine for engine in found}),
    images=st.lists(IMAGES, max_size=2).map(lambda found: {(image.registry, image.image): image for image in found}),
)


@given(FACTS)
def test_facts_come_back_from_json_as_they_were(facts: Facts) -> None:
    assert Facts.from_json(facts.to_json()) == facts
    assert Facts.from_json(facts.to_json()).to_json() == facts.to_json()


def test_no_field_of_the_facts_escapes_the_property() -> None:
    made = {
        "EngineFacts": 9,
        "ImageFacts": 8,
        "HeadAnswer": 4,
        "PlatformImage": 4,
        "Listing": 3,
        "Descriptor": 5,
        "Manifest": 3,
    }
    for record in (EngineFacts, ImageFacts, HeadAnswer, PlatformImage, Listing, Descriptor, Manifest):
        assert len(dataclasses.fields(record)) == made[record.__name__], record


def test_an_image_is_found_by_registry_image_and_platform() -> None:
    config = Descriptor(media_type="", digest="sha256:" + "0" * 64, size_bytes=1)
    found = PlatformImage(
        digest="sha256:" + "1" * 64, manifest=Manifest(media_type="", config=config, layers=(config,))
    )
    image = ImageFacts(registry="eu", image="app:1", platforms={"linux/amd64": found})
    facts = Facts(host_platform="linux/amd64", images={("eu", "app:1"): image})
    assert facts.platform_image("eu", "app:1", "linux/amd64") == found
    assert facts.platform_image("eu", "app:1", "linux/arm64") is None
    assert facts.platform_image("us", "app:1", "linux/amd64") is None


def test_facts_that_an_older_version_stored_know_no_head() -> None:
    image = ImageFacts(registry="eu", image="app:1", head=HeadAnswer(status=403))
    document = json.loads(Facts(host_platform="linux/amd64", images={("eu", "app:1"): image}).to_json())
    del document["images"][0]["head"]
    assert Facts.from_json(json.dumps(document)).images["eu", "app:1"].head is None
