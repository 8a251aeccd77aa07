"""The checks of content and route, each failing for real: docker-registries, and nginx before them."""

import hashlib
import json
import shutil
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from pullbench.app.preflight import check
from pullbench.model.finding import Finding, Status
from pullbench.model.manifest import OCI_CONFIG, OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST
from tests.integration.conftest import StartRegistry, need
from tests.integration.real_nginx import nginx_before
from tests.integration.real_registry import RealRegistry
from tests.integration.shell import Shell

pytestmark = [pytest.mark.integration, pytest.mark.real]

OLD, NEW = "2026-01-01T10:00:00Z", "2026-11-01T10:00:00.5Z"


def described(content: bytes, media_type: str, **more: Any) -> dict[str, Any]:
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    return {"mediaType": media_type, "digest": digest, "size": len(content), **more}


def upload(client: httpx.Client, repository: str, content: bytes) -> None:
    digest = described(content, "")["digest"]
    begun = client.post(f"/v2/{repository}/blobs/uploads/")
    begun.raise_for_status()
    location = httpx.URL(begun.headers["location"])
    client.put(location.copy_merge_params({"digest": digest}), content=content).raise_for_status()


def put(client: httpx.Client, repository: str, tag: str, document: dict[str, Any]) -> bytes:
    content = json.dumps(document).encode()
    path = f"/v2/{repository}/manifests/{tag}"
    client.put(path, content=content, headers={"Content-Type": document["mediaType"]}).raise_for_status()
    return content


def push_tiny(registry: RealRegistry, name: str, *, created: str = NEW, platforms: tuple[str, ...] = ("amd64",)) -> str:
    """An image of one small layer a platform; an index where there are more of them. Gives the tag's digest."""
    repository, _, tag = name.partition(":")
    manifests = []
    with registry.client() as client:
        for architecture in platforms:
            layer = f"{repository} {architecture}".encode() * 10
            config = json.dumps({"os": "linux", "architecture": architecture, "created": created}).encode()
            for blob in (config, layer):
                upload(client, repository, blob)
            document = {
                "schemaVersion": 2,
                "mediaType": OCI_MANIFEST,
                "config": described(config, OCI_CONFIG),
                "layers": [described(layer, OCI_LAYER_GZIP)],
            }
            content = put(client, repository, f"{tag}-{architecture}" if len(platforms) > 1 else tag, document)
            platform = {"os": "linux", "architecture": architecture}
            manifests.append(described(content, OCI_MANIFEST, platform=platform))
        if len(platforms) == 1:
            return str(manifests[0]["digest"])
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}
        return str(described(put(client, repository, tag, index), OCI_INDEX)["digest"])


def pull_whole(mirror: RealRegistry, name: str) -> None:
    """Every blob of an image, until the mirror has each: it stores them after it has answered."""
    repository, _, tag = name.partition(":")
    with mirror.client() as client:
        answer = client.get(f"/v2/{repository}/manifests/{tag}", headers={"Accept": OCI_MANIFEST})
        document = answer.raise_for_status().json()
        for blob in (document["config"], *document["layers"]):
            client.get(f"/v2/{repository}/blobs/{blob['digest']}").raise_for_status()
            algorithm, _, digest = blob["digest"].partition(":")
            link = f"data/docker/registry/v2/repositories/{repository}/_layers/{algorithm}/{digest}/link"
            until = time.monotonic() + 60
            while not (mirror.folder / link).exists():
                assert time.monotonic() < until, f"{link} was never written"
                time.sleep(0.05)


def write_spec(folder: Path, registries: dict[str, str], images: list[str], **changes: Any) -> Path:
    document = {
        "name": "content",
        "registries": [{"name": name, "url": url, "credentials": "anonymous"} for name, url in registries.items()],
        "images": images,
        "matrix": {"platforms": ["linux/amd64"], **changes.pop("matrix", {})},
        **changes,
    }
    path = folder / "spec.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def found_of(spec: Path, *only: str) -> list[Finding]:
    return check(spec, only=only, environ={}).findings


def cache_of(url: str) -> list[dict[str, str]]:
    return [{"name": "cache", "kind": "mirror", "upstream": "eu", "url": url, "credentials": "anonymous"}]


def test_the_command_names_the_missing_tag_the_missing_platform_and_the_stale_registry(
    plain_registry: RealRegistry, docker_registry: StartRegistry, tmp_path: Path, fresh: Any
) -> None:
    other, word = docker_registry(), fresh()
    fine, stale, single = f"{word}/fine:1.0", f"{word}/stale:1.0", f"{word}/single:1.0"
    for registry in (plain_registry, other):
        push_tiny(registry, fine, platforms=("amd64", "arm64"))
        push_tiny(registry, single)
    digests = [push_tiny(plain_registry, stale), push_tiny(other, stale, created=OLD)]
    images = [fine, stale, single, f"{word}/fine:1.O"]
    spec = write_spec(
        tmp_path,
        {"eu": plain_registry.url, "us": other.url},
        images,
        matrix={"platforms": ["linux/amd64", "linux/arm64"]},
    )

    shell = Shell(tmp_path, {"DOCKER_CONFIG": str(tmp_path / "no-docker-config")})
    chosen = [part for name in ("image", "platform", "tag-consistency", "layer-reuse") for part in ("--only", name)]
    done = shell.run("preflight", str(spec), "--json", *chosen)

    assert done.code == 1, done.err
    found = {(entry["check"], entry["target"]): entry for entry in done.document["findings"]}
    assert found["image", f"eu {fine}"]["status"] == "pass"
    lost = found["image", f"eu {word}/fine:1.O"]
    assert (lost["status"], "existing tags: 1.0" in lost["observed"]) == ("fail", True)
    lacking = found["platform", f"us {single} linux/arm64"]
    assert lacking["code"] == "platform_missing"
    assert lacking["observed"].endswith("it has linux/amd64")
    assert found["platform", f"us {fine} linux/arm64"]["status"] == "pass"
    told = found["tag-consistency", stale]
    assert told["status"] == "fail"
    assert told["observed"].startswith("[digest_mismatch] us ")
    for digest, created in zip(digests, ("2026-11-01 10:00:00Z", "2026-01-01 10:00:00Z"), strict=True):
        assert f"{digest} created {created}" in told["observed"]
    assert f"docker://{plain_registry.host}/{stale} docker://{other.host}/{stale}" in told["remedy"]
    assert found["tag-consistency", fine]["status"] == "pass"
    assert found["layer-reuse", "eu"]["status"] == "pass"


def test_an_image_of_which_the_registry_has_lost_a_layer_fails(docker_registry: StartRegistry, tmp_path: Path) -> None:
    registry = docker_registry()
    push_tiny(registry, "whole:1.0")
    push_tiny(registry, "lost:1.0")
    layer = hashlib.sha256(b"lost amd64" * 10).hexdigest()
    (registry.folder / f"data/docker/registry/v2/blobs/sha256/{layer[:2]}/{layer}/data").unlink()
    found = found_of(write_spec(tmp_path, {"eu": registry.url}, ["whole:1.0", "lost:1.0"]), "image", "platform")
    assert [(each.check, each.target.partition(" ")[2], each.status.value) for each in found] == [
        ("image", "whole:1.0", "pass"),
        ("platform", "whole:1.0 linux/amd64", "pass"),
        ("image", "lost:1.0", "pass"),
        ("platform", "lost:1.0 linux/amd64", "fail"),
    ]
    assert f"sha256:{layer}" in found[-1].observed


def test_a_pull_through_whose_upstream_is_down_serves_what_it_has_and_says_what_it_lacks(
    docker_registry: StartRegistry, tmp_path: Path
) -> None:
    upstream = docker_registry()
    for name in ("kept:1.0", "seen:1.0", "never:1.0"):
        push_tiny(upstream, name)
    mirror = docker_registry(changes={"proxy": {"remoteurl": upstream.url}})

    def of_mirror(*images: str) -> Finding:
        spec = write_spec(
            tmp_path, {"eu": upstream.url}, list(images), proxies=cache_of(mirror.url), matrix={"proxies": ["cache"]}
        )
        (found,) = found_of(spec, "proxy")
        return found

    up = of_mirror("kept:1.0", "seen:1.0")
    assert (up.status, "2 with the upstream's" in up.observed) == (Status.PASS, True), up.observed
    pull_whole(mirror, "kept:1.0")

    upstream.stop()

    down = of_mirror("kept:1.0")
    assert down.status is Status.WARN, down.observed
    assert "([server_error]" in down.observed
    assert "all 2 blobs" in down.observed
    half = of_mirror("kept:1.0", "seen:1.0")  # looking at it had the mirror fetch its manifest, and no layer
    assert half.status is Status.FAIL, half.observed
    assert half.code == "server_error"
    assert "seen:1.0 lacks sha256:" in half.observed
    lost = of_mirror("kept:1.0", "never:1.0")
    assert lost.status is Status.FAIL
    assert lost.code == "not_found"
    assert "1 of 2 images" in lost.observed

    mirror.stop()

    broken = of_mirror("kept:1.0")
    assert broken.code == "connect_refused"


def test_a_caching_mirror_tells_its_hits_its_misses_and_its_drift(
    docker_registry: StartRegistry, tmp_path: Path
) -> None:
    upstream, program = docker_registry(), need("nginx")
    old = push_tiny(upstream, "app:1.0", created=OLD)
    keeping = (
        "proxy_cache blobs; proxy_cache_key $uri; proxy_cache_valid 200 10m; "
        "add_header X-Cache-Status $upstream_cache_status;"
    )
    with (
        nginx_before(upstream.url, tmp_path / "keeps", program, directives=keeping) as keeps,
        nginx_before(upstream.url, tmp_path / "forgets", program, directives=f"{keeping} proxy_no_cache 1;") as forgets,
    ):
        specs = []
        for number, url in enumerate((keeps, forgets)):
            folder = tmp_path / str(number)
            folder.mkdir()
            matrix = {"proxies": ["direct", "cache"]}
            specs.append(write_spec(folder, {"eu": upstream.url}, ["app:1.0"], proxies=cache_of(url), matrix=matrix))
        (hit,) = found_of(specs[0], "proxy")
        (miss,) = found_of(specs[1], "proxy")
        new = push_tiny(upstream, "app:1.0")
        (drift,) = found_of(specs[0], "proxy")
    assert (hit.status, "(x-cache-status: HIT)" in hit.observed) == (Status.PASS, True), hit.observed
    assert (miss.status, "x-cache-status: MISS" in miss.observed) == (Status.WARN, True), miss.observed
    assert drift.status is Status.WARN
    assert f"{old} of 2026-01-01 10:00:00Z" in drift.observed
    assert f"{new} of 2026-11-01 10:00:00Z upstream" in drift.observed


def test_a_catalog_of_250_repositories_is_read_on_three_pages_and_without_link_it_loses_some(
    docker_registry: StartRegistry, tmp_path: Path
) -> None:
    registry = docker_registry()
    push_tiny(registry, "app:1.0")
    repositories = registry.folder / "data/docker/registry/v2/repositories"
    for number in range(249):  # as 249 pushes leave it, in a tenth of the time
        shutil.copytree(repositories / "app", repositories / f"team/app-{number:03}")
    (whole,) = found_of(write_spec(tmp_path, {"eu": registry.url}, ["app:1.0"]), "catalog")
    assert (whole.status, whole.observed) == (Status.PASS, "250 repositories on 3 pages")

    with nginx_before(
        registry.url, tmp_path / "cuts", need("nginx"), directives="proxy_hide_header Link;"
    ) as without_link:
        (cut,) = found_of(write_spec(tmp_path, {"eu": without_link}, ["app:1.0"]), "catalog")
    assert cut.status is Status.WARN
    assert "100 repositories on 1 page and no Link, but `last=` finds more, such as team/app-099" in cut.observed


def test_a_hostile_catalog_ranges_that_are_ignored_and_a_rate_limit_that_is_near(
    plain_registry: RealRegistry, tmp_path: Path, fresh: Any
) -> None:
    name = f"{fresh()}/app:1.0"
    push_tiny(plain_registry, name)
    (direct,) = found_of(write_spec(tmp_path, {"eu": plain_registry.url}, [name]), "range")
    assert (direct.status, direct.observed[:16]) == (Status.PASS, "206, bytes 1-16/")
    limits = 'add_header RateLimit-Limit "100;w=21600" always; add_header RateLimit-Remaining "20;w=21600" always;'
    looping = (
        "location = /v2/_catalog { default_type application/json; "
        'add_header Link "</v2/_catalog?n=100>; rel=next"; return 200 \'{"repositories": ["a"]}\'; }'
    )
    with nginx_before(
        plain_registry.url,
        tmp_path / "hostile",
        need("nginx"),
        directives=f'{limits} proxy_set_header Range ""; max_ranges 0;',
        locations=looping,
    ) as url:
        spec = write_spec(tmp_path, {"eu": url}, [name], repetitions=5, warmup=1, pulls_per_trial=4)
        loop, part, limit = found_of(spec, "catalog", "range", "rate-limit")
    assert (loop.check, loop.status) == ("catalog", Status.WARN)
    assert loop.observed.startswith("[not_a_registry] ")
    assert "leads back" in loop.observed
    assert (part.status, part.observed[:8]) == (Status.WARN, "200 with")
    # 6 blocks of 4 pulls of an image without an index.
    assert limit.status is Status.FAIL
    assert "4 too few" in limit.observed and "24 manifest requests" in limit.observed
    assert "--set repetitions=3" in limit.remedy


def test_a_registry_that_has_had_enough_answers_429_and_says_how_long(
    plain_registry: RealRegistry, tmp_path: Path, fresh: Any
) -> None:
    name = f"{fresh()}/app:1.0"
    push_tiny(plain_registry, name)
    enough = "location ~ /manifests/ { add_header Retry-After 120 always; return 429; }"
    with nginx_before(plain_registry.url, tmp_path / "enough", need("nginx"), locations=enough) as url:
        (found,) = found_of(write_spec(tmp_path, {"eu": url}, [name]), "rate-limit")
    assert (found.status, found.observed[:14]) == (Status.FAIL, "[rate_limited]")
    assert found.remedy.startswith("wait 2 min")
