"""Pulp's container registry: what is pushed, what preflight says, and what runs measure, from it and through it. `make test-pulp`."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.debian_images import small_image
from pullbench.app import api
from pullbench.errors import ErrorCode
from pullbench.model.finding import Status
from pullbench.model.platform import Platform
from tests.integration import real_pulp
from tests.integration.conftest import PushImage, StartRegistry, need
from tests.integration.judged_run import by_status, one, pulled, push_two, spec_at, spec_by
from tests.integration.real_products import access_log
from tests.integration.real_pulp import Pulp, running_pulp
from tests.integration.real_registry import REQUESTS_LOGGED, RealRegistry

pytestmark = [pytest.mark.integration, pytest.mark.real, pytest.mark.pulp]

AMD64 = Platform.parse("linux/amd64")


@pytest.fixture(scope="module")
def pulp() -> Iterator[Pulp]:
    with running_pulp() as product:
        yield product


@pytest.fixture(scope="module")
def upstream(docker_registry: StartRegistry) -> RealRegistry:
    return docker_registry(changes=REQUESTS_LOGGED, counters=True)


@pytest.fixture(autouse=True)
def logins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "no-docker-config"))
    for prefix, password in (("GOOD", real_pulp.PASSWORD), ("BAD", "wrong-password")):
        monkeypatch.setenv(f"{prefix}_USERNAME", real_pulp.USERNAME)
        monkeypatch.setenv(f"{prefix}_PASSWORD", password)
    monkeypatch.chdir(tmp_path)


def push_images_to(pulp: Pulp, repository: str) -> list[str]:
    first, second = (push_two(pulp.url, repository, "env:GOOD") for _ in range(2))
    assert (first["pushed"], second["there"], second["blobs_sent"]) == (2, 2, 0)
    return [each["image"] for each in first["images"]]


@pytest.mark.parametrize(("credentials", "unchecked"), [("anonymous", {"catalog"}), ("env:GOOD", set())])
def test_pulp_passes_every_check(pulp: Pulp, fresh: Callable[[], str], credentials: str, unchecked: set[str]) -> None:
    need("skopeo")
    images = push_images_to(pulp, fresh())
    findings = api.preflight(spec_at(pulp.url, images, ["wire", "skopeo"], up={"credentials": credentials}))
    found = by_status(findings)
    assert set(found) == {"pass"}
    wanted = {"api", "auth", "catalog", "range", "image", "platform", "rate-limit", "storage-quota"}
    assert wanted - found["pass"] == unchecked
    with pulp.client() as client:  # which needs no login
        storage = client.get("/pulp/api/v3/status/").json()["storage"]
    assert storage["free"] > 0
    assert "Pulp" in one(findings, "storage-quota").observed


def test_a_wrong_password_reaches_pulp_once(pulp: Pulp, fresh: Callable[[], str]) -> None:
    images = push_images_to(pulp, fresh())
    before = len(access_log(pulp.front))
    found = one(api.preflight(spec_at(pulp.url, images, ["wire"], up={"credentials": "env:BAD"})), "auth")
    assert (found.status, found.code) == (Status.FAIL, ErrorCode.UNAUTHORIZED)
    tokens = [each.status for each in access_log(pulp.front)[before:] if each.path.startswith("/token/")]
    assert tokens == [401]


def test_a_run_counts_the_bytes_that_pulp_sent(pulp: Pulp, fresh: Callable[[], str], tmp_path: Path) -> None:
    need("skopeo")
    images = push_images_to(pulp, fresh())
    before = len(access_log(pulp.front))
    pulls = pulled(spec_at(pulp.url, images, ["wire", "skopeo"]), tmp_path).pulls.set_index("engine")
    sent = [
        each.sent_bytes
        for each in access_log(pulp.front)[before:]
        if each.path.startswith("/pulp/container/") and "/blobs/" in each.path and each.agent.startswith("skopeo/")
    ]
    assert sum(sent) == pulls.loc["skopeo", "bytes"].sum() == pulls.loc["wire", "bytes"].sum() > 1_000_000


def test_pulp_as_a_mirror_is_cold_and_warm_as_the_upstream_counts(
    pulp: Pulp, upstream: RealRegistry, push_image: PushImage, fresh: Callable[[], str], tmp_path: Path
) -> None:
    """Pulp may answer 404 to a cold pull: it adds each blob to the repository only while it serves the manifest."""
    need("skopeo")
    name, repository = fresh(), f"team/{fresh()}"
    push_image(upstream, repository, "1.0", small_image(AMD64, fresh(), fresh()))
    pulp.pull_through(name, upstream.url)
    spec = spec_by(
        pulp.url,
        upstream.url,
        f"{repository}:1.0",
        ["wire", "skopeo"],
        states=["cold", "warm"],
        up={"counters": upstream.counters},
        prefix=name,
        cold={"push": f"pullbench/{fresh()}"},
        credentials="env:GOOD",
    )
    assert set(by_status(api.preflight(spec))) == {"pass"}
    run = api.run(spec, results=tmp_path / "results", skip_preflight=True)
    failed = run.pulls[~run.pulls["ok"]]
    assert set(failed["proxy_cache"]) <= {"cold"} and set(failed["error_code"]) <= {ErrorCode.NOT_FOUND}
    trials = run.table("trials")
    whole = trials[~trials["trial"].isin(failed["trial"])]
    assert len(whole) >= 2
    assert list(whole["proxy_cache_found"]) == list(whole["proxy_cache"])
    assert set(whole["proxy_cache_proof"]) == {"upstream bytes"}
