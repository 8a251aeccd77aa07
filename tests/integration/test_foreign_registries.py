"""Registries that nobody here wrote, from PyPI: zuul-registry, and drayage as a pull-through cache before docker-registry.

`make test-registries` installs them into an environment of their own. Elsewhere these tests are skipped.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.debian_images import small_image
from pullbench.app import api
from pullbench.model.finding import Finding, Status
from pullbench.model.platform import Platform
from tests.integration.boxes import NGINX, Place, Software, box_before
from tests.integration.conftest import PushImage
from tests.integration.real_registry import RealRegistry

pytestmark = [pytest.mark.integration, pytest.mark.real]

USER, PASSWORD = "ann", "s3cret-of-zuul"
PROGRAMS = "PULLBENCH_REGISTRIES"
"""The directory of the programs."""


def program(name: str) -> str:
    path = Path(os.environ.get(PROGRAMS, "")) / name
    if PROGRAMS not in os.environ:
        pytest.skip(f"{PROGRAMS} is not set: `make test-registries` sets it")
    assert path.exists(), path
    return str(path)


def _zuul(place: Place, lines: str) -> str:
    (place.folder / "store").mkdir(exist_ok=True)
    return f"""registry:
  address: 127.0.0.1
  port: {place.port}
  public-url: http://127.0.0.1:{place.port}
  secret: of-the-tests
  storage: {{driver: filesystem, root: {place.folder}/store}}
  users:
    - {{name: {USER}, pass: {PASSWORD}, access: write}}
{lines}
"""


def _drayage(place: Place, lines: str) -> str:
    (place.folder / "cache").mkdir(exist_ok=True)
    return f"""listen = "127.0.0.1:{place.port}"
cache_dir = "{place.folder}/cache"
negative_ttl_seconds = 0
[upstreams.docker_io]
registry = "http://{place.upstream}"
{lines}
"""


ZUUL = Software(
    program="zuul-registry",
    frame=_zuul,
    command=lambda place: ["-c", str(place.folder / "conf"), "serve"],
    find=program,
)
DRAYAGE = Software(
    program="drayage", frame=_drayage, command=lambda place: ["serve", "-c", str(place.folder / "conf")], find=program
)


def pullbench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pullbench", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(autouse=True)
def no_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "no-docker-config"))
    monkeypatch.setenv("ZUUL_USERNAME", USER)
    monkeypatch.setenv("ZUUL_PASSWORD", PASSWORD)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def zuul() -> Iterator[str]:
    """The URL of a zuul-registry with one pushed image, which anybody may pull and a user may push."""
    with box_before("http://nobody:1", ZUUL, "") as url:
        options = (
            "--credentials env:ZUUL --repository team/app --preset zb --count 2 --size 20MB --platform linux/amd64"
        )
        pushed = pullbench("images", "push", url, *options.split())
        assert pushed.returncode == 0, pushed.stderr
        yield url


def spec_at(url: str, image: str, engines: list[str], *, credentials: str = "anonymous", **more: Any) -> dict[str, Any]:
    matrix = {"engines": engines, "platforms": ["linux/amd64"], **more.pop("matrix", {})}
    return {
        "name": "foreign",
        "registries": [{"name": "up", "url": url, "credentials": credentials}],
        "images": [image],
        "matrix": matrix,
        "repetitions": 1,
        "warmup": 0,
        **more,
    }


def found_by(spec: dict[str, Any]) -> dict[tuple[str, str], Finding]:
    """The findings by check and target; of this machine's own none."""
    rooms = ["network", "access", "content", "route"]
    return {(each.check, each.target): each for each in api.preflight(spec, only=rooms)}


def statuses(findings: dict[tuple[str, str], Finding], *statuses: Status) -> set[tuple[str, str]]:
    return {key for key, finding in findings.items() if finding.status in statuses}


def pulled(spec: dict[str, Any], folder: Path) -> api.Run:
    run = api.run(spec, results=folder / "results", skip_preflight=True)
    assert run.status == "complete"
    return run


IMAGE = "team/app/zb-2-1mb:seed-1"


@pytest.mark.parametrize("credentials", ["anonymous", "env:ZUUL"])
def test_zuul_registry_is_pulled_from_with_and_without_a_login(zuul: str, credentials: str, tmp_path: Path) -> None:
    """Its challenges have `scope="read"`, its errors are pages, and it has no ranges and no catalog."""
    spec = spec_at(zuul, IMAGE, ["wire", "skopeo"], credentials=credentials)
    findings = found_by(spec)
    assert statuses(findings, Status.FAIL, Status.ERROR) == set()
    assert statuses(findings, Status.WARN) == {("range", "up")}
    assert findings["catalog", "up"].status is Status.SKIP
    assert "_catalog" in findings["catalog", "up"].observed or "token" in findings["catalog", "up"].observed
    assert "no referrers API" in findings["referrers", "up"].observed
    assert pulled(spec, tmp_path).pulls["ok"].all()


def test_a_wrong_password_at_zuul_registry_is_told_though_it_lets_anybody_pull(
    zuul: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZUUL_PASSWORD", "wrong")
    auth = found_by(spec_at(zuul, IMAGE, ["wire"], credentials="env:ZUUL"))["auth", "up"]
    assert (auth.status, "/v2/ itself is refused" in auth.observed) == (Status.PASS, True), auth
    pushed = pullbench(
        "images", "push", zuul, "--credentials", "env:ZUUL", "--preset", "zb", "--count", "2", "--size", "20MB"
    )
    assert pushed.returncode == 1 and "401" in pushed.stderr and "docker login" in pushed.stderr


def test_what_zuul_registry_does_not_delete_stays_recorded(zuul: str, tmp_path: Path) -> None:
    """It has no DELETE: what a cold trial pushed is told as left."""
    with box_before(zuul, NGINX, "location / { proxy_pass http://{upstream}; }") as cache:
        mirror = {"name": "cache", "kind": "mirror", "upstream": "up", "url": cache, "credentials": "anonymous"}
        cold = {**mirror, "cold": {"push": "team/cold", "credentials": "env:ZUUL"}}
        matrix = {"proxies": ["cache"], "proxy_cache": ["cold"]}
        spec = spec_at(zuul, IMAGE, ["wire"], proxies=[cold], matrix=matrix)
        run = pulled(spec, tmp_path)
        assert run.pulls["ok"].all()
    left = pullbench("clean", "--results", str(tmp_path / "results"))
    assert f"left at {zuul}" in left.stdout + left.stderr


@pytest.fixture
def image(plain_registry: RealRegistry, push_image: PushImage, fresh: Callable[[], str]) -> str:
    """An image of the test's own, below a namespace as drayage wants it."""
    repository = f"team/{fresh()}"
    push_image(plain_registry, repository, "1.0", small_image(Platform.parse("linux/amd64"), fresh(), fresh()))
    return f"{repository}:1.0"


def test_drayage_keeps_no_type_by_digest_and_preflight_names_the_clients_that_refuse_it(
    plain_registry: RealRegistry, image: str, tmp_path: Path
) -> None:
    """It serves OCI manifests by digest as Docker's, so skopeo pulls by tag and not by digest; wire pulls both."""
    with box_before(plain_registry.url, DRAYAGE, "") as cache:
        mirror = {"name": "cache", "kind": "mirror", "upstream": "up", "url": cache, "credentials": "anonymous"}
        proxies = [{**mirror, "prefix": "docker.io"}]
        matrix = {"proxies": ["direct", "cache"], "proxy_cache": ["any", "warm"]}
        spec = spec_at(plain_registry.url, image, ["wire", "skopeo"], proxies=proxies, matrix=matrix)
        findings = found_by(spec)
        platform = findings["platform", f"up via cache {image} linux/amd64"]
        assert (platform.status, "skopeo" in platform.observed) == (Status.WARN, True), platform
        assert statuses(findings, Status.FAIL, Status.ERROR) == set()
        assert statuses(findings, Status.WARN) == {("range", "up via cache"), (platform.check, platform.target)}
        assert findings["proxy", "up via cache"].status is Status.PASS
        run = pulled(spec, tmp_path)
    pulls = run.pulls
    of_wire = pulls[pulls["engine"] == "wire"]
    assert of_wire["ok"].all() and len(of_wire) == 3
    refused = pulls[(pulls["engine"] == "skopeo") & (pulls["proxy"] == "cache")]
    assert set(refused["error_code"]) == {"not_a_registry"}
    # It tells no hit: nothing is claimed of what the cache had.
    assert run.table("trials")["proxy_cache_found"].isna().all()
