"""Registries and caches from PyPI, as they are: what is pushed, what preflight says, what a run measures, and what it leaves."""

import os
import re
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from benchmarks.debian_images import small_image
from pullbench.app import api
from pullbench.cli.clean import clean
from pullbench.errors import ErrorCode, classify
from pullbench.model.finding import Status
from pullbench.model.manifest import OCI_MANIFEST
from pullbench.model.platform import Platform
from tests.integration.boxes import NGINX, NGINX_CACHES, Running, box_before, running
from tests.integration.conftest import PushImage, StartRegistry, missing, need
from tests.integration.judged_run import by_status, failures, one, pulled, push_two, spec_at, spec_by
from tests.integration.real_products import Logged, access_log, drayage, zuul_registry
from tests.integration.real_registry import PASSWORD, REQUESTS_LOGGED, USERNAME, RealRegistry

pytestmark = [pytest.mark.integration, pytest.mark.real]

ACCEPT = {"Accept": OCI_MANIFEST}
AMD64 = Platform.parse("linux/amd64")
READER = "  - {name: reader, pass: read-password, access: read}"
"""With it, zuul-registry gives nothing to anonymous clients."""


@pytest.fixture(autouse=True)
def logins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "no-docker-config"))
    for prefix, password in (("GOOD", PASSWORD), ("BAD", "wrong-password")):
        monkeypatch.setenv(f"{prefix}_USERNAME", USERNAME)
        monkeypatch.setenv(f"{prefix}_PASSWORD", password)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module", params=["", READER], ids=["open", "closed"])
def zuul(request: pytest.FixtureRequest) -> Iterator[tuple[Running, str]]:
    """A zuul-registry, and the credentials to pull from it."""
    with running(zuul_registry(), request.param) as product:
        yield product, "env:GOOD" if request.param else "anonymous"


def blobs_sent(log: list[Logged], agent: str) -> list[Logged]:
    found = [each for each in log if each.method == "GET" and "/blobs/" in each.path and each.agent.startswith(agent)]
    assert {each.status for each in found} == {200}
    return found


def test_zuul_registry_takes_each_blob_once(zuul: tuple[Running, str], fresh: Callable[[], str]) -> None:
    product, _ = zuul
    repository, before = fresh(), len(access_log(product))
    first, second = (push_two(product.url, repository, "env:GOOD") for _ in range(2))
    assert (first["pushed"], first["blobs_mounted"], second["there"]) == (2, 0, 2)
    changes = [each for each in access_log(product)[before:] if each.method in ("POST", "PUT", "PATCH")]
    granted = [each for each in changes if each.status in (201, 202)]
    uploaded = [each for each in granted if each.method == "PUT" and "/blobs/uploads/" in each.path]
    assert len(uploaded) == first["blobs_sent"] and second["blobs_sent"] == 0


def test_every_finding_about_zuul_registry_is_true(zuul: tuple[Running, str], fresh: Callable[[], str]) -> None:
    need("skopeo")
    product, credentials = zuul
    images = [each["image"] for each in push_two(product.url, fresh(), "env:GOOD")["images"]]
    findings = api.preflight(spec_at(product.url, images, ["wire", "skopeo"], up={"credentials": credentials}))
    found = by_status(findings)
    assert (found.get("fail"), found.get("error"), found["warn"]) == (None, None, {"range"})
    assert {"api", "auth", "image", "platform", "rate-limit", "layer-reuse"} <= found["pass"]
    assert {one(findings, check).status for check in ("catalog", "storage-quota")} == {Status.SKIP}
    repository = images[0].partition(":")[0]
    with httpx.Client(base_url=product.url, auth=(USERNAME, PASSWORD), trust_env=False) as client:
        token = client.get("/auth/token", params={"scope": f"repository:{repository}:pull"}).json()["token"]
        catalog = client.get("/v2/_catalog", headers={"Authorization": f"Bearer {token}"}, auth=None)
    assert catalog.status_code == 404


def test_a_run_counts_the_bytes_that_zuul_registry_sent(
    zuul: tuple[Running, str], fresh: Callable[[], str], tmp_path: Path
) -> None:
    need("skopeo")
    product, credentials = zuul
    images = [each["image"] for each in push_two(product.url, fresh(), "env:GOOD")["images"]]
    before = len(access_log(product))
    run = pulled(spec_at(product.url, images, ["wire", "skopeo"], up={"credentials": credentials}), tmp_path)
    log = access_log(product)[before:]
    sent = sum(each.sent_bytes for each in blobs_sent(log, "skopeo/"))
    pulls = run.pulls.set_index("engine")
    assert sent == pulls.loc["skopeo", "bytes"].sum() > 1_000_000
    layers = run.table("transfers").query("kind == 'layer'")
    by_wire = Counter(dict(layers.groupby("digest")["bytes"].sum()))
    logged = Counter[str]()
    for each in blobs_sent(log, "pullbench/"):
        digest = each.path.rpartition("/")[2]
        logged[digest] += each.sent_bytes if digest in by_wire else 0
    assert +logged == by_wire


def test_a_wrong_password_reaches_zuul_registry_once_unless_it_looks_at_none_for_pulls(
    zuul: tuple[Running, str], fresh: Callable[[], str]
) -> None:
    product, credentials = zuul
    images = [each["image"] for each in push_two(product.url, fresh(), "env:GOOD")["images"]]
    before = len(access_log(product))
    found = one(api.preflight(spec_at(product.url, images, ["wire"], up={"credentials": "env:BAD"})), "auth")
    tokens = [each for each in access_log(product)[before:] if each.path.startswith("/auth/token")]
    if credentials == "anonymous":  # so docker pulls there with any password, though `docker login` fails
        assert found.status is Status.PASS
        assert {each.status for each in tokens if ":pull" in each.path} == {200}
    else:
        assert (found.status, found.code) == (Status.FAIL, ErrorCode.UNAUTHORIZED)
        assert [each.status for each in tokens] == [401]


def test_a_cache_before_zuul_registry_is_cold_and_warm_and_what_is_not_deleted_is_told(
    zuul: tuple[Running, str], fresh: Callable[[], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    product, credentials = zuul
    image = push_two(product.url, fresh(), "env:GOOD")["images"][0]["image"]
    with box_before(product.url, NGINX, NGINX_CACHES) as url:
        entry = {"cold": {"push": f"pullbench/{fresh()}"}, "credentials": credentials}
        up = {"credentials": "env:GOOD"}
        spec = spec_by(url, product.url, image, ["wire"], states=["cold", "warm"], up=up, **entry)
        assert failures(api.preflight(spec)) == []
        trials = pulled(spec, tmp_path).table("trials")
        assert list(trials["proxy_cache_found"]) == list(trials["proxy_cache"])
        assert set(trials["proxy_cache_proof"]) == {"headers"}
        capsys.readouterr()
        assert clean(results=str(tmp_path / "results"), host=None, apply=False) == 0
    said = capsys.readouterr().out
    assert f"left at {product.url}: 1 synthetic image in {entry['cold']['push']}" in said


@pytest.fixture(scope="module")
def upstream(docker_registry: StartRegistry) -> RealRegistry:
    return docker_registry(changes=REQUESTS_LOGGED, counters=True)


@pytest.fixture
def mirror(upstream: RealRegistry) -> Iterator[Running]:
    """A drayage of the test's own."""
    with running(drayage(), upstream=upstream.url) as product:
        yield product


@pytest.fixture
def image(upstream: RealRegistry, push_image: PushImage, fresh: Callable[[], str]) -> str:
    """An image at the upstream; drayage puts `library/` before a name without a slash, as Docker Hub has it."""
    repository = f"team/{fresh()}"
    push_image(upstream, repository, "1.0", small_image(AMD64, fresh(), fresh()))
    return f"{repository}:1.0"


def counted(mirror: Running, name: str) -> int:
    text = httpx.get(f"{mirror.url}/metrics", trust_env=False).text
    found = re.search(rf"^drayage_{name} (\d+)$", text, re.MULTILINE)
    assert found is not None
    return int(found[1])


def test_drayage_serves_a_type_by_digest_that_docker_and_skopeo_refuse(
    mirror: Running, upstream: RealRegistry, image: str, tmp_path: Path
) -> None:
    spec = spec_by(mirror.url, upstream.url, image, ["wire"], states=["any"])
    findings = api.preflight(spec)
    found = by_status(findings)
    assert (found.get("fail"), found.get("error"), found["warn"]) == (None, None, {"range", "platform"})
    assert one(findings, "catalog").status is Status.SKIP
    assert "docker with overlay2" in one(findings, "platform").observed
    by_skopeo = api.preflight(spec_by(mirror.url, upstream.url, image, ["skopeo"], states=["any"]))
    assert one(by_skopeo, "platform").status is Status.FAIL

    with upstream.client() as client:
        digest = client.head(f"/v2/{image.replace(':', '/manifests/')}", headers=ACCEPT).headers[
            "Docker-Content-Digest"
        ]
    source = f"docker://{mirror.host}/{image.partition(':')[0]}@{digest}"
    command = [need("skopeo"), "copy", "--src-tls-verify=false", source, f"dir:{tmp_path}/copy"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode != 0
    assert classify(done.stderr) is ErrorCode.NOT_A_REGISTRY


def test_drayage_is_cold_and_warm_as_the_upstream_counts(
    mirror: Running, upstream: RealRegistry, image: str, fresh: Callable[[], str], tmp_path: Path
) -> None:
    need("ctr")
    if os.geteuid() != 0:
        missing("only root can run containerd for a benchmark")
    cold = {"push": f"pullbench/{fresh()}"}
    engines = ["wire", "containerd"]
    up = {"counters": upstream.counters}
    spec = spec_by(mirror.url, upstream.url, image, engines, states=["cold", "warm"], up=up, cold=cold)
    before = len(upstream.served())
    trials = pulled(spec, tmp_path).table("trials")
    assert len(trials) == 4
    assert list(trials["proxy_cache_found"]) == list(trials["proxy_cache"])
    assert set(trials["proxy_cache_proof"]) == {"upstream bytes"}
    fetched = [
        each
        for each in upstream.served()[before:]
        if (each.method, each.status) == ("GET", 200) and "/blobs/" in each.path and "pullbench" not in each.agent
    ]
    assert len(fetched) == counted(mirror, "blob_cache_misses_total") > 0
    assert sum(each.sent_bytes for each in fetched) == counted(mirror, "upstream_bytes_total")
    assert set(Counter((each.repository, each.name) for each in fetched).values()) == {1}
