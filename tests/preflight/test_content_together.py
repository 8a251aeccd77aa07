"""The checks of content and route over one context: what they ask for is bounded, and asked once."""

from collections import Counter
from typing import Any

import httpx

from pullbench.model.finding import Status
from pullbench.preflight.check import Check
from pullbench.preflight.checks import catalog, image, layer_reuse, platform, proxy, rate_limit, tag_consistency
from pullbench.preflight.checks import range as byte_range
from pullbench.preflight.runner import run_checks
from tests.preflight.content import Image, context_of, holding, index_over, spec_over
from tests.registry.fake_registry import FakeRegistry

IMAGES = [f"app-{number}:1.0" for number in range(10)]
ALL: list[Check[Any, Any]] = [
    image.CHECK,
    platform.CHECK,
    tag_consistency.CHECK,
    catalog.CHECK,
    byte_range.CHECK,
    rate_limit.CHECK,
    layer_reuse.CHECK,
    proxy.CHECK,
]


def filled() -> FakeRegistry:
    registry = holding()
    for number, name in enumerate(IMAGES):
        repository = name.partition(":")[0]
        built = Image(layers=(b"base", b"%d" % number))
        registry.put_manifest(repository, "1.0", index_over(built))
        registry.put_manifest(repository, "amd64", built.manifest)
        for blob in (built.config, *built.layers):
            registry.put_blob(repository, blob)
    return registry


def test_three_registries_of_ten_images_are_asked_for_each_manifest_once() -> None:
    registries = {name: filled() for name in ("eu", "us", "ap")}
    with context_of(registries, spec_over(*registries, images=IMAGES)) as context:
        found = run_checks(ALL, context)

    assert not [each for each in found if each.status in (Status.FAIL, Status.ERROR)]
    for registry in registries.values():
        manifests = Counter(line for line in registry.asked if "/manifests/" in line)
        assert set(manifests.values()) == {1}
        assert len(manifests) == 4 * len(IMAGES)  # HEAD of the tag and its digest, GET of the index and of the platform


def test_a_config_that_one_registry_gave_is_not_asked_of_the_next() -> None:
    registries = {name: filled() for name in ("eu", "us")}
    with context_of(registries, spec_over(*registries, images=IMAGES)) as context:
        for route in context.routes:
            for name in IMAGES:
                found = context.platform_image(route, name, "linux/amd64")
                assert found is not None
                context.config(route, name, found.manifest.config)

    asked = [sum("/blobs/" in line for line in registry.asked) for registry in registries.values()]
    assert asked == [1, 0]  # the images have one config between them


def test_a_catalog_whose_link_leads_to_another_host_is_read_on_at_home() -> None:
    registry, other = filled(), filled()
    spec = spec_over("eu", images=IMAGES[:1])
    registries = {"eu": registry, "other": other}
    told = '<https://other.example/v2/_catalog?n=100&last=a>; rel="next"'
    registry.documents["_catalog"] = b'{"repositories": ["app-0"]}'
    serve = registry.serve

    def handle(request: httpx.Request) -> httpx.Response:
        answer = serve(request)
        if "_catalog" in request.url.path and "last" not in request.url.params:
            answer.headers["Link"] = told
        return answer

    registry.handler = handle
    with context_of(registries, spec) as context:
        run_checks(ALL, context)
    assert not other.requests
    assert "GET https://eu.example/v2/_catalog?n=100&last=a" in registry.asked
