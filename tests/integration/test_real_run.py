"""The main job on real parts: Debian images in a real docker-registry, pulled by a real dockerd and by wire."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from benchmarks.debian_images import BuiltIndex, DebianImages
from pullbench.daemon.docker import DockerDaemon
from pullbench.model.facts import Facts
from pullbench.store.dataset import ResultStore
from tests.integration.conftest import PushImage, StartRegistry
from tests.integration.real_registry import PASSWORD, USERNAME, RealRegistry
from tests.integration.shell import Done, PrefectServer, Shell, hiding_places, holding

pytestmark = [pytest.mark.integration, pytest.mark.real]

IMAGES = 4
CONCURRENCY = [1, 2, 4]
CELLS = 2 * len(CONCURRENCY)


@pytest.fixture(scope="module")
def debian_spec(
    plain_registry: RealRegistry,
    push_image: PushImage,
    debian_image: Callable[[str], BuiltIndex],
    docker_host: str,
) -> dict[str, Any]:
    names = [f"real/debian-{number}" for number in range(IMAGES)]
    for name in names:
        push_image(plain_registry, name, "bookworm", debian_image(f"run-{name}"))
    return {
        "name": "real",
        "registries": [{"name": "local", "url": plain_registry.url, "region": "here", "credentials": "anonymous"}],
        "engines": [{"name": "dockerd", "kind": "docker", "host": docker_host}],
        "images": [f"{name}:bookworm" for name in names],
        "matrix": {"engines": ["wire", "dockerd"], "platforms": ["linux/amd64"], "concurrency": CONCURRENCY},
        "repetitions": 1,
        "warmup": 0,
        "pulls_per_trial": IMAGES,
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the first test leaves for the others of this module."""
    return {"folder": tmp_path_factory.mktemp("real-run")}


def test_the_flow_pulls_debian_with_dockerd_and_wire_at_every_concurrency(
    shell: Shell, debian_spec: dict[str, Any], finished: dict[str, Any], docker_daemon: DockerDaemon
) -> None:
    folder: Path = finished["folder"]
    (folder / "spec.yaml").write_text(yaml.safe_dump(debian_spec))
    shell.folder = folder
    done = shell.run("run", "spec.yaml", "--json", timeout_s=600)
    finished["done"] = done
    assert done.code in (0, 1), done.err  # 1: an SLO may be missed on a busy machine
    document = done.document
    assert document["status"] == "complete"
    assert len(document["cells"]) == CELLS
    assert sum(cell["succeeded"] for cell in document["cells"]) == CELLS * IMAGES
    assert (folder / document["report"]).is_file()
    facts = Facts.from_json(ResultStore(str(folder / "results")).run(document["run_id"]).facts)
    brought = {image.platforms["linux/amd64"].manifest.config.digest for image in facts.images.values()}
    assert not brought & docker_daemon.image_ids(), "a finished run takes away what it brought"


def parquet(finished: dict[str, Any], table: str) -> str:
    done: Done = finished["done"]
    return f"'{finished['folder']}/results/{table}/{done.document['run_id']}/*.parquet'"


def test_every_pull_brought_the_bytes_and_layers_of_its_manifest(finished: dict[str, Any]) -> None:
    run_id = finished["done"].document["run_id"]
    facts = Facts.from_json(ResultStore(str(finished["folder"] / "results")).run(run_id).facts)
    expected = {image.image: image.platforms["linux/amd64"].manifest for image in facts.images.values()}
    rows = duckdb.sql(
        f"select image, engine_kind, ok, bytes, layers, layers_cached, download_s, extract_s from {parquet(finished, 'pulls')}"
    ).fetchall()
    assert len(rows) == CELLS * IMAGES
    for image, kind, ok, received, layers, cached, download_s, extract_s in rows:
        assert ok
        assert received == expected[image].size_bytes, (kind, image)
        assert layers == len(expected[image].layers) == 3
        assert download_s > 0
        if kind == "docker":
            assert cached == 0
            assert extract_s > 0
        else:
            assert cached is None
            assert extract_s is None


def test_the_serial_phases_of_a_wire_pull_never_exceed_its_duration(finished: dict[str, Any]) -> None:
    longer = duckdb.sql(
        f"""select * from {parquet(finished, "pulls")}
            where engine_kind = 'wire' and coalesce(auth_s, 0) + resolve_s + download_s > duration_s + 1e-6"""
    ).fetchall()
    assert longer == []
    phases = duckdb.sql(
        f"""select count(*), count(dns_s), count(connect_s), count(wait_s), count(transfer_s),
                   max(dns_s + connect_s + tls_s + wait_s + transfer_s - total_s)
            from {parquet(finished, "transfers")} where engine_kind = 'wire'"""
    ).fetchall()[0]
    assert phases[0] > 0
    assert set(phases[1:5]) == {phases[0]}, "every wire transfer has every phase"
    assert phases[5] < 1e-6


def test_the_documents_numbers_are_those_of_a_query_over_the_parquet(finished: dict[str, Any]) -> None:
    document = finished["done"].document
    rows = duckdb.sql(
        f"""select engine, concurrency, count(*), count(*) filter (ok), quantile_cont(duration_s, 0.5) filter (ok)
            from {parquet(finished, "pulls")} where not warmup group by all"""
    ).fetchall()
    by_cell = {(row[0], row[1]): row[2:] for row in rows}
    for cell in document["cells"]:
        pulls, succeeded, median_s = by_cell[cell["engine"], cell["concurrency"]]
        assert (cell["pulls"], cell["succeeded"]) == (pulls, succeeded)
        assert cell["median_s"] == pytest.approx(median_s, rel=1e-12), "with one block the median is the block's"
        assert cell["median_low_s"] is None, "one block carries no interval"
        assert cell["p95_s"] is None, "so few pulls carry no p95"


def test_show_and_report_say_the_same_as_the_run(shell: Shell, finished: dict[str, Any]) -> None:
    shell.folder = finished["folder"]
    run = finished["done"].document
    shown = shell.run("show", run["run_id"], "--json").document
    assert shown["cells"] == run["cells"]
    assert shown["slo"] == run["slo"]
    page = (finished["folder"] / run["report"]).read_text()
    assert "<script" not in page
    assert len(page) < 3_000_000


READINESS: dict[str, tuple[str, str, str]] = {
    "registry down": ("tcp", "connect_refused", "nothing listens"),
    "wrong password": ("auth", "unauthorized", "docker login"),
    "missing tag": ("image", "not_found", ""),
    "missing platform": ("platform", "platform_missing", "linux/s390x"),
    "untrusted CA": ("tls", "tls_untrusted", "openssl s_client"),
}


@pytest.mark.parametrize("case", READINESS)
def test_a_registry_that_is_not_ready_fails_preflight_with_code_and_remedy_and_gets_no_load(
    case: str,
    shell: Shell,
    docker_registry: StartRegistry,
    push_image: PushImage,
    fresh: Callable[[], str],
) -> None:
    check, code, remedy = READINESS[case]
    registry = docker_registry(htpasswd=case == "wrong password", tls=case == "untrusted CA")
    push_image(registry, "app", "1.0", DebianImages.small(fresh()))
    if case == "registry down":
        registry.stop()
    spec = {
        "name": "ready",
        "registries": [
            {
                "name": "local",
                "url": registry.url,
                "credentials": "env:WRONG" if case == "wrong password" else "anonymous",
            }
        ],
        "images": ["app:9.9" if case == "missing tag" else "app:1.0"],
        "matrix": {"platforms": ["linux/s390x" if case == "missing platform" else "linux/amd64"]},
        "repetitions": 1,
    }
    (shell.folder / "spec.yaml").write_text(yaml.safe_dump(spec))
    environment = {"WRONG_USERNAME": "someone", "WRONG_PASSWORD": "planted-wrong-password"}
    done = shell.run("preflight", "spec.yaml", "--json", **environment)
    failed = [finding for finding in done.document["findings"] if finding["status"] == "fail"]
    assert done.code == 1, done.err
    assert [finding["check"] for finding in failed] == [check]
    assert f"[{code}]" in failed[0]["observed"]
    assert remedy in failed[0]["remedy"] + failed[0]["observed"] + failed[0]["expected"]
    assert "planted-wrong-password" not in done.out + done.err

    run = shell.run("run", "spec.yaml", "--json", "--no-report", **environment)
    assert run.code == 1, run.err
    assert run.document["status"] == "failed"
    assert run.document["cells"] == []
    assert not list((shell.folder / "results").glob("pulls/*/*.parquet")), "no load was sent"
    assert run.err.strip().splitlines()[-1].startswith("pullbench: preflight failed, ")


def test_no_secret_is_in_any_output(
    shell: Shell,
    docker_registry: StartRegistry,
    push_image: PushImage,
    fresh: Callable[[], str],
    docker_host: str,
    prefect_server: PrefectServer,
) -> None:
    registry = docker_registry(htpasswd=True)
    push_image(registry, "app", "1.0", DebianImages.small(fresh()))
    spec = {
        "name": "secret",
        "registries": [{"name": "local", "url": registry.url, "credentials": "env:REG"}],
        "engines": [{"name": "dockerd", "kind": "docker", "host": docker_host}],
        "images": ["app:1.0"],
        "matrix": {"engines": ["wire", "dockerd"], "platforms": ["linux/amd64"]},
        "repetitions": 1,
        "warmup": 0,
    }
    (shell.folder / "spec.yaml").write_text(yaml.safe_dump(spec))
    user, password = USERNAME, PASSWORD
    run = ("run", "spec.yaml", "--json", "--log-json", "log.json")
    done = shell.run(*run, REG_USERNAME=user, REG_PASSWORD=password, PREFECT_LOGGING_LEVEL="DEBUG")
    assert done.code in (0, 1), done.err
    assert sum(cell["succeeded"] for cell in done.document["cells"]) == 2
    (shell.folder / "spec.yaml").unlink()
    places = hiding_places([shell.folder, prefect_server.home], done)
    assert holding(password, places) == []
    assert holding(f"{user}:{password}", places) == []
    assert str(shell.folder / "log.json") in holding("dockerd", places), "the search finds what is there"


def test_a_stored_run_is_rendered_again(shell: Shell, finished: dict[str, Any]) -> None:
    shell.folder = finished["folder"]
    done = shell.run("report", finished["done"].document["run_id"], "--reports", "again")
    assert done.code == 0, done.err
    assert (shell.folder / done.out.strip()).is_file()
    assert json.loads(shell.run("runs", "--json").out)[0]["status"] == "complete"
