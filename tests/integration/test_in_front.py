"""nginx, HAProxy, Varnish, squid and Apache in front of a real registry, each with a few lines: what preflight and a run say."""

import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import httpx
import pandas as pd
import pytest

from benchmarks.debian_images import small_image
from pullbench.app import api
from pullbench.cli.clean import clean
from pullbench.errors import ErrorCode
from pullbench.model.finding import Status
from pullbench.model.manifest import ACCEPT, OCI_INDEX
from pullbench.model.platform import Platform
from pullbench.registry.referrers import fallback_tag
from tests.integration.boxes import APACHE, HAPROXY, NGINX, NGINX_CACHES, SQUID, VARNISH, Software, box_before
from tests.integration.conftest import PushImage, need
from tests.integration.judged_run import failures, one, pulled, spec_at, spec_by
from tests.integration.ports import free_port
from tests.integration.real_registry import RealRegistry

pytestmark = [pytest.mark.integration, pytest.mark.real]

AMD64 = Platform.parse("linux/amd64")
CACHES = {
    "nginx": (NGINX, NGINX_CACHES),
    "varnish": (
        VARNISH,
        'sub vcl_deliver { if (obj.hits > 0) { set resp.http.X-Cache = "HIT"; } else { set resp.http.X-Cache = "MISS"; } }',
    ),
    "squid": (SQUID, ""),
    "apache": (APACHE, "CacheEnable disk /\nCacheHeader on"),
}
NGINX_PASSES_ON = "location / { proxy_pass http://{upstream}; }"
PASSES_ON = "backend registry\n server one {upstream}"


@pytest.fixture(autouse=True)
def no_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "no-docker-config"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def image(plain_registry: RealRegistry, push_image: PushImage, fresh: Callable[[], str]) -> str:
    """An image of the test's own."""
    repository = fresh()
    push_image(plain_registry, repository, "1.0", small_image(AMD64, fresh(), fresh()))
    return f"{repository}:1.0"


@pytest.mark.parametrize("name", CACHES)
def test_a_cache_is_cold_and_warm_as_its_headers_say(
    name: str, plain_registry: RealRegistry, image: str, tmp_path: Path
) -> None:
    need("skopeo")
    cold = {"push": f"pullbench/{name}"}
    with box_before(plain_registry.url, *CACHES[name]) as url:
        spec = spec_by(url, plain_registry.url, image, ["wire", "skopeo"], states=["cold", "warm"], cold=cold)
        findings = api.preflight(spec)
        assert failures(findings) == []
        assert one(findings, "proxy").status is Status.PASS and "was a hit" in one(findings, "proxy").observed
        trials = pulled(spec, tmp_path).table("trials")
    assert set(trials["proxy_cache"]) == {"cold", "warm"} and len(trials) == 4
    for engine, state, found in trials[["engine", "proxy_cache", "proxy_cache_found"]].itertuples(index=False):
        # nginx sends no Age, so a look after a cold trial cannot tell it: then nothing is claimed.
        unseen = (name, engine, state) == ("nginx", "skopeo", "cold")
        assert pd.isna(found) if unseen else found == state
    proofs = trials.dropna(subset="proxy_cache_proof")
    assert dict(zip(proofs["engine"], proofs["proxy_cache_proof"], strict=True)) == {
        "wire": "headers",
        "skopeo": "probe",
    }


@pytest.mark.parametrize(
    ("software", "lines"),
    [
        (HAPROXY, PASSES_ON),
        (HAPROXY, f"{PASSES_ON}\n option http-server-close\n timeout http-keep-alive 1"),  # a FIN behind each answer
        (NGINX, "keepalive_requests 2; " + NGINX_PASSES_ON),
        (APACHE, "MaxKeepAliveRequests 3"),
    ],
    ids=["haproxy", "haproxy-closes", "nginx-closes", "apache-closes"],
)
def test_a_box_that_passes_all_on_costs_no_finding(
    software: Software, lines: str, plain_registry: RealRegistry, image: str, tmp_path: Path
) -> None:
    need("skopeo")
    with box_before(plain_registry.url, software, lines) as url:
        spec = spec_at(url, image, ["wire", "skopeo"])
        findings = api.preflight(spec)
        assert failures(findings) == []
        assert one(findings, "latency").status is Status.PASS
        assert len(pulled(spec, tmp_path).pulls) == 2


def test_a_repeated_digest_and_a_plain_word_are_no_finding(
    plain_registry: RealRegistry, image: str, tmp_path: Path
) -> None:
    lines = """location / { proxy_pass http://{upstream};
        add_header Docker-Content-Digest $upstream_http_docker_content_digest; }
        location = /v2/ { return 200 OK; }"""
    with box_before(plain_registry.url, NGINX, lines) as url:
        spec = spec_at(url, image, ["wire", "skopeo"])
        assert failures(api.preflight(spec)) == []
        pulled(spec, tmp_path)


def test_a_proxy_that_compresses_unasked_is_told_of_and_harms_no_pull(
    plain_registry: RealRegistry, image: str, tmp_path: Path
) -> None:
    lines = """SetOutputFilter DEFLATE
RequestHeader set Accept-Encoding gzip "expr=-z %{HTTP:Accept-Encoding}\""""
    with box_before(plain_registry.url, APACHE, lines) as url:
        spec = spec_at(url, image, ["wire"])
        findings = api.preflight(spec)
        assert failures(findings) == []
        found = [each for each in findings if each.check == "range"]
        assert any("Content-Encoding: gzip" in each.observed for each in found), found
        pulled(spec, tmp_path)


def test_a_mirror_that_needs_a_namespace(plain_registry: RealRegistry, image: str, tmp_path: Path) -> None:
    named = plain_registry.host.replace(":", "%3A")
    lines = f"""location = /v2/ {{ return 200; }}
        location / {{ if ($arg_ns != "{named}") {{ return 404; }} proxy_pass http://{{upstream}}; }}"""
    with box_before(plain_registry.url, NGINX, lines) as url:
        without = spec_by(url, plain_registry.url, image, ["wire"], states=["any"])
        (found,) = failures([one(api.preflight(without), "proxy")])
        assert f"`namespace: {plain_registry.host}`" in (found.remedy or "")
        given = spec_by(
            url, plain_registry.url, image, ["wire", *containerd()], states=["any"], namespace=plain_registry.host
        )
        assert failures(api.preflight(given)) == []
        run = pulled(given, tmp_path)
    assert set(run.pulls["engine"]) == {"wire", *containerd()}


@pytest.mark.parametrize(("status", "is_excluded"), [(403, True), (405, False)])
def test_a_head_that_is_refused_excludes_an_engine_that_needs_it(
    status: int, is_excluded: bool, plain_registry: RealRegistry, image: str, tmp_path: Path
) -> None:
    if not containerd():
        pytest.skip("containerd needs root")
    lines = f"location / {{ if ($request_method = HEAD) {{ return {status}; }} proxy_pass http://{{upstream}}; }}"
    with box_before(plain_registry.url, NGINX, lines) as url:
        spec = spec_at(url, image, ["wire", "containerd"])
        planned = api.plan(spec)
        assert {each.cell.engine for each in planned.planned_out} == ({"containerd"} if is_excluded else set())
        found = one(api.preflight(spec), "image")
        assert found.status is (Status.WARN if is_excluded else Status.PASS)
        assert set(pulled(spec, tmp_path).pulls["engine"]) == {cell.engine for cell in planned.cells}


def test_what_refers_to_an_image_is_listed_by_the_tag_and_a_box_that_refuses_the_question_is_told(
    plain_registry: RealRegistry, image: str
) -> None:
    """docker-registry 2.8 has no referrers API, so the list is under the fall-back tag."""
    found = one(api.preflight(spec_at(plain_registry.url, image, ["wire"]), only=["referrers"]), "referrers")
    assert (found.status, "nothing refers to it" in found.observed) == (Status.PASS, True), found
    repository = image.partition(":")[0]
    with httpx.Client(base_url=f"{plain_registry.url}/v2/{repository}/manifests/", trust_env=False) as http:
        described = http.head("1.0", headers={"Accept": ACCEPT}).headers
        digest = described["Docker-Content-Digest"]
        entry = {"mediaType": described["Content-Type"], "digest": digest, "size": int(described["Content-Length"])}
        listed = {
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "manifests": [entry | {"artifactType": "application/x-sbom"}],
        }
        pushed = http.put(fallback_tag(digest), json=listed, headers={"Content-Type": OCI_INDEX})
        assert pushed.status_code == 201, pushed.text
    found = one(api.preflight(spec_at(plain_registry.url, image, ["wire"]), only=["referrers"]), "referrers")
    assert (found.status, "1 × application/x-sbom" in found.observed) == (Status.PASS, True), found
    lines = """location ~ /referrers/ { return 403; }
        location / { proxy_pass http://{upstream}; }"""
    with box_before(plain_registry.url, NGINX, lines) as url:
        found = one(api.preflight(spec_at(url, image, ["wire"]), only=["referrers"]), "referrers")
    assert (found.status, found.code) == (Status.WARN, ErrorCode.FORBIDDEN), found


def test_a_get_that_nginx_packs_stops_docker_where_head_is_refused(plain_registry: RealRegistry, image: str) -> None:
    lines = """gzip on; gzip_types *; gzip_min_length 1; gzip_proxied any;
        location / { if ($request_method = HEAD) { return 405; } proxy_pass http://{upstream}; }"""
    with box_before(plain_registry.url, NGINX, lines) as url:
        found = one(api.preflight(spec_at(url, image, ["wire"]), only=["image"]), "image")
        assert (found.status, "docker with overlay2" in found.observed) == (Status.WARN, True), found
        stopped = one(api.preflight(spec_at(url, image, ["docker"]), only=["image"]), "image")
        assert stopped.status is Status.FAIL, stopped


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("blobs", 403, ErrorCode.FORBIDDEN),
        ("blobs", 503, ErrorCode.SERVER_ERROR),
        ("manifests", 404, ErrorCode.NOT_FOUND),
    ],
)
def test_a_box_that_refuses_a_kind_of_path_is_named(
    path: str, status: int, code: ErrorCode, plain_registry: RealRegistry, image: str
) -> None:
    lines = f"location ~ /{path}/ {{ return {status}; }} {NGINX_PASSES_ON}"
    check = "platform" if path == "blobs" else "image"
    with box_before(plain_registry.url, NGINX, lines) as url:
        found = one(api.preflight(spec_at(url, image, ["wire"]), only=[check]), check)
    assert (found.code, found.parameters["answered_by"], "replicas" in found.observed) == (code, "in_front", False), (
        found
    )


def containerd() -> list[str]:
    """containerd names the registry by itself; it needs root."""
    return ["containerd"] if os.geteuid() == 0 and need("ctr") else []


def test_a_box_without_its_registry_is_an_outage_and_no_rate_limit(image: str) -> None:
    boxes = {
        "haproxy-without-server": (HAPROXY, "backend registry"),
        "haproxy": (HAPROXY, PASSES_ON),
        "nginx": (NGINX, NGINX_PASSES_ON),
        "nginx-in-maintenance": (NGINX, "location / { return 503; }"),
        "nginx-in-maintenance-for-an-hour": (NGINX, "add_header Retry-After 3600 always; location / { return 503; }"),
        "apache": (APACHE, ""),
        "varnish": (VARNISH, 'sub vcl_deliver { if (resp.status == 503) { set resp.http.Retry-After = "1"; } }'),
    }
    nobody = f"http://127.0.0.1:{free_port()}"
    with ExitStack() as stack:
        urls = {name: stack.enter_context(box_before(nobody, *box)) for name, box in boxes.items()}
        registries = [{"name": name, "url": url, "credentials": "anonymous"} for name, url in urls.items()]
        findings = api.preflight(spec_at("", image, ["wire"], registries=registries), only=["api"])
    found = {each.target: (each.status, each.code) for each in findings}
    assert found == dict.fromkeys(boxes, (Status.FAIL, ErrorCode.SERVER_ERROR))


@pytest.mark.parametrize("status", [503, 429])
def test_a_rate_limit_of_the_box_in_front_is_a_rate_limit(
    status: int, plain_registry: RealRegistry, image: str
) -> None:
    lines = f"limit_req zone=slow burst=20 nodelay; limit_req_status {status}; {NGINX_PASSES_ON}"
    with box_before(plain_registry.url, NGINX, lines) as url:
        findings = api.preflight(spec_at(url, image, ["wire"]), only=["latency"])
    found = one(findings, "latency")
    assert (found.status, found.code) == (Status.WARN, ErrorCode.RATE_LIMITED), found


@pytest.mark.parametrize("status", [503, 429])
def test_a_limit_that_five_images_meet_is_told_and_fails_no_check(
    status: int, plain_registry: RealRegistry, image: str, push_image: PushImage, fresh: Callable[[], str]
) -> None:
    images = [image]
    for _ in range(4):
        repository = fresh()
        push_image(plain_registry, repository, "1.0", small_image(AMD64, fresh(), fresh()))
        images.append(f"{repository}:1.0")
    lines = f"limit_req zone=slow burst=3 nodelay; limit_req_status {status}; {NGINX_PASSES_ON}"
    with box_before(plain_registry.url, NGINX, lines) as url:
        findings = api.preflight(spec_at(url, images, ["wire"]))
    limited = [each for each in findings if each.code is ErrorCode.RATE_LIMITED]
    assert failures(findings) == [] and limited, findings


def test_what_a_registry_does_not_delete_is_told_and_found_by_clean(
    plain_registry: RealRegistry, image: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = "location / { if ($request_method = DELETE) { return 404; } proxy_pass http://{upstream}; }"
    with (
        box_before(plain_registry.url, NGINX, lines) as keeps,
        box_before(plain_registry.url, *CACHES["nginx"]) as cache,
    ):
        spec = spec_by(cache, keeps, image, ["wire"], states=["cold"], cold={"push": "pullbench/kept"})
        pulled(spec, tmp_path)
        assert clean(results=str(tmp_path / "results"), host=None, apply=False) == 0
        said = capsys.readouterr().out
        assert f"left at {keeps}: 1 synthetic image in pullbench/kept" in said
        assert "still there" in said
