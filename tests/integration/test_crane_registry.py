"""`crane registry serve`, which Debian sid has: what is pushed, what preflight says, what a run asks for, and what it leaves."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from pullbench.app import api
from pullbench.cli.clean import clean
from pullbench.model.finding import Status
from tests.integration.boxes import NGINX, NGINX_CACHES, Running, box_before, running
from tests.integration.conftest import need
from tests.integration.judged_run import by_status, failures, one, pulled, push_two, spec_at, spec_by
from tests.integration.real_products import crane_registry

pytestmark = [pytest.mark.integration, pytest.mark.real, pytest.mark.modern]


@pytest.fixture(autouse=True)
def no_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "no-docker-config"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def crane() -> Iterator[Running]:
    with running(crane_registry()) as product:
        yield product


def requests(crane: Running) -> list[str]:
    """METHOD and path of every request so far: it logs no more of them, but the errors."""
    return re.findall(r"^\S+ \S+ ([A-Z]+ /\S*)", crane.said(), re.MULTILINE)


def test_crane_takes_each_blob_once(crane: Running, fresh: Callable[[], str]) -> None:
    repository, before = fresh(), len(requests(crane))
    first, second = (push_two(crane.url, repository) for _ in range(2))
    assert (first["pushed"], second["there"], second["blobs_sent"]) == (2, 2, 0)
    uploads = [line for line in requests(crane)[before:] if line.startswith("PUT ") and "/blobs/uploads/" in line]
    assert len(uploads) == first["blobs_sent"] > 0


def test_crane_passes_every_check(crane: Running, fresh: Callable[[], str]) -> None:
    need("skopeo")
    images = [each["image"] for each in push_two(crane.url, fresh())["images"]]
    findings = api.preflight(spec_at(crane.url, images, ["wire", "skopeo", "podman"]))
    found = by_status(findings)
    assert set(found) == {"pass"}
    assert {"api", "auth", "catalog", "range", "image", "platform"} <= found["pass"]
    assert one(findings, "storage-quota").status is Status.SKIP
    with httpx.Client(base_url=crane.url, trust_env=False) as client:  # as preflight said
        assert len(client.get("/v2/_catalog").json()["repositories"]) >= len(images)


def test_a_run_asks_crane_for_each_layer_as_often_as_it_says(
    crane: Running, fresh: Callable[[], str], tmp_path: Path
) -> None:
    need("skopeo")
    images = [each["image"] for each in push_two(crane.url, fresh())["images"]]
    run = pulled(spec_at(crane.url, images, ["wire"]), tmp_path / "wire")
    transfers = run.table("transfers").query("kind == 'layer'")
    said = [line for line in requests(crane) if line.startswith("GET ") and "/blobs/" in line]
    logged = Counter(line.rpartition("/")[2] for line in said if line.split("/")[2] == images[0].partition("/")[0])
    asked = Counter(transfers["digest"])
    assert {digest: logged[digest] for digest in asked} == dict(asked) and len(asked) > 4
    layers = set(transfers["digest"])
    before = len(requests(crane))
    run = pulled(spec_at(crane.url, images, ["skopeo", "podman"]), tmp_path / "clients")
    assert len(run.pulls) == 4
    later = [line.rpartition("/")[2] for line in requests(crane)[before:] if line.startswith("GET ")]
    assert {digest: later.count(digest) for digest in layers} == {digest: 2 * asked[digest] for digest in layers}


def test_a_cache_before_crane_is_cold_and_warm_and_no_tag_of_a_cold_trial_stays(
    crane: Running, fresh: Callable[[], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, pushed = push_two(crane.url, fresh())["images"][0]["image"], f"pullbench/{fresh()}"
    with box_before(crane.url, NGINX, NGINX_CACHES) as url:
        spec = spec_by(url, crane.url, image, ["wire"], states=["cold", "warm"], cold={"push": pushed})
        assert failures(api.preflight(spec)) == []
        trials = pulled(spec, tmp_path).table("trials")
        assert list(trials["proxy_cache_found"]) == list(trials["proxy_cache"])
        assert set(trials["proxy_cache_proof"]) == {"headers"}
    deleted = [line for line in requests(crane) if line.startswith(f"DELETE /v2/{pushed}/manifests/")]
    assert {"sha256:" in line for line in deleted} == {True, False}  # the digest, and then the tag that outlived it
    with httpx.Client(base_url=crane.url, trust_env=False) as client:
        assert client.get(f"/v2/{pushed}/tags/list").json().get("tags") in (None, [])
    assert clean(results=str(tmp_path / "results"), host=None, apply=False) == 0
    assert "left at" not in capsys.readouterr().out
