"""The plan is pure: the same spec and facts give the same trials, and every cell is measured or planned out."""

import itertools
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pullbench.errors import UsageError
from pullbench.model.capability import CAPABILITIES
from pullbench.model.facts import EngineFacts, Facts, HeadAnswer, ImageFacts, Listing, PlatformImage
from pullbench.model.manifest import OCI_INDEX, Descriptor, Manifest
from pullbench.model.plan import (
    FACTORS,
    Plan,
    expected_image,
    group_reasons,
    manifest_requests,
    plan,
    routes,
    unknown_image,
)
from pullbench.model.platform import Platform
from pullbench.model.spec import Spec, read_spec

MIRROR = {"name": "cache", "kind": "mirror", "url": "https://m.example.com", "upstream": "eu", "prefix": "/hub/"}
HEADERS = {**MIRROR, "name": "dragonfly", "headers": {"X-Dragonfly-Registry": "https://eu.example.com"}}
SPEGEL = {**MIRROR, "name": "spegel", "namespace": "eu.example.com"}
FORWARD = {"name": "squid", "kind": "forward", "url": "http://squid:3128"}


def spec(**changes: Any) -> Spec:
    names = ("eu", "us")
    return read_spec(
        {
            "name": "a",
            "registries": [
                {"name": name, "url": f"https://{name}.example.com", "region": f"{name}-1"} for name in names
            ],
            "images": ["app:1", "app:2"],
            **changes,
        }
    )


def image(registry: str, name: str, *platforms: str, is_index: bool = True) -> ImageFacts:
    def found(size: int) -> PlatformImage:
        config = Descriptor(media_type="", digest=f"sha256:{size:064x}", size_bytes=size)
        layer = Descriptor(media_type="", digest=f"sha256:{size + 1:064x}", size_bytes=1000)
        return PlatformImage(
            digest=f"sha256:{0:064x}", manifest=Manifest(media_type="", config=config, layers=(layer,))
        )

    number = int(name.rpartition(":")[2])
    return ImageFacts(
        registry=registry, image=name, is_index=is_index, platforms={text: found(10 * number) for text in platforms}
    )


def facts(*engines: EngineFacts, images: tuple[ImageFacts, ...] = (), offline: bool = False) -> Facts:
    default = tuple(image(r, i, "linux/amd64") for r, i in itertools.product(("eu", "us"), ("app:1", "app:2")))
    return Facts(
        host_platform="linux/amd64",
        engines={engine.name: engine for engine in engines},
        images={(entry.registry, entry.image): entry for entry in images or default},
        offline=offline,
    )


def reasons(made: Plan) -> list[str]:
    return [entry.reason for entry in made.planned_out]


MATRICES = st.fixed_dictionaries(
    {
        "engines": st.lists(st.sampled_from(sorted(CAPABILITIES)), min_size=1, unique=True),
        "registries": st.lists(st.sampled_from(["eu", "us"]), min_size=1, unique=True),
        "proxies": st.lists(st.sampled_from(["direct", "cache", "squid"]), min_size=1, unique=True),
        "concurrency": st.lists(st.integers(1, 5), min_size=1, max_size=3, unique=True),
        "cache": st.lists(st.sampled_from(["cold", "warm"]), min_size=1, unique=True),
        "auth": st.lists(st.sampled_from(["persisted", "per-pull"]), min_size=1, unique=True),
    }
)


@given(MATRICES, st.integers(0, 2**63 - 1), st.integers(0, 2), st.integers(1, 4))
def test_every_combination_is_run_in_every_block_or_planned_out_with_its_reason(
    matrix: dict[str, Any], seed: int, warmup: int, repetitions: int
) -> None:
    asked = spec(matrix=matrix, proxies=[MIRROR, FORWARD], seed=seed, warmup=warmup, repetitions=repetitions)
    factors = ("engines", "registries", "proxies", "concurrency", "cache", "auth")
    combinations = set(itertools.product(*(matrix[factor] for factor in factors)))
    try:
        made = plan(asked, facts())
    except UsageError as error:
        assert str(error).startswith("matrix: no configuration ")
        return
    assert made == plan(asked, facts())
    cells = [*made.cells, *(entry.cell for entry in made.planned_out)]
    placed = [(c.engine, c.registry, c.proxy, c.concurrency, c.cache, c.auth) for c in cells]
    assert set(placed) == combinations
    assert len(placed) == len(combinations)
    assert all(reasons(made))
    assert [trial.number for trial in made.trials] == list(range(len(made.trials)))
    by_block: dict[int, list[Any]] = {}
    for trial in made.trials:
        by_block.setdefault(trial.block, []).append(trial.cell)
        assert trial.warmup == (trial.block < warmup)
    assert list(by_block) == list(range(warmup + repetitions))
    assert all(Counter(block) == Counter(made.cells) for block in by_block.values())


def test_another_seed_gives_another_order_and_each_block_its_own() -> None:
    def order(seed: int) -> list[list[int]]:
        made = plan(spec(seed=seed, matrix={"concurrency": list(range(1, 9))}, warmup=0, repetitions=3), facts())
        found = [trial.cell.concurrency for trial in made.trials]
        return [found[start : start + 16] for start in range(0, len(found), 16)]

    assert order(1) == order(1)
    assert order(1) != order(2)
    assert order(1)[0] != order(1)[1]


def test_repetitions_added_to_a_spec_leave_the_earlier_blocks_as_they_were() -> None:
    short, long = (plan(spec(repetitions=count), facts()).trials for count in (2, 5))
    assert long[: len(short)] == short


def test_the_cells_carry_the_region_and_the_engines_kind() -> None:
    engines = [{"name": "serial", "kind": "wire"}]
    made = plan(spec(engines=engines, matrix={"engines": ["serial"], "registries": ["us"]}), facts())
    (cell,) = made.cells
    assert (cell.engine, cell.engine_kind, cell.region, cell.platform) == ("serial", "wire", "us-1", "linux/amd64")
    assert set(FACTORS) == set(cell.as_dict()) - {"engine_kind", "region"}
    assert str(cell) == "serial · us · without a proxy · linux/amd64 · concurrency 1 · cold client cache"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"engines": ["podman"], "proxies": ["dragonfly"]}, "podman cannot send"),
        ({"engines": ["docker"], "proxies": ["dragonfly"]}, "dockerd cannot send"),
        ({"engines": ["skopeo"], "proxies": ["spegel"]}, "skopeo cannot send the proxy's `namespace`"),
        ({"engines": ["podman"], "proxies": ["spegel"]}, "podman cannot send the proxy's `namespace`"),
        ({"cache": ["warm"]}, "wire keeps nothing"),
        ({"engines": ["docker"], "proxies": ["squid"]}, "dockerd reads its HTTP proxy"),
        ({"engines": ["docker"], "auth": ["per-pull"]}, "dockerd already requests"),
        ({"registries": ["us"], "proxies": ["cache"]}, "mirror of 'eu'"),
        ({"engines": ["docker"], "concurrency": [3]}, "2 images"),
    ],
)
def test_a_cell_that_cannot_be_is_planned_out_with_its_reason(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        plan(spec(matrix=changes, proxies=[MIRROR, HEADERS, SPEGEL, FORWARD]), facts())
    one_that_can = {"engines": [*changes.get("engines", ["wire"]), "fake"], "registries": ["eu", "us"]}
    made = plan(spec(matrix={**changes, **one_that_can}, proxies=[MIRROR, HEADERS, SPEGEL, FORWARD]), facts())
    assert {cell.engine for cell in made.cells} >= {"fake"}
    assert any(told in reason for reason in reasons(made))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "localhost", "[::1]"])
def test_a_client_that_passes_its_proxy_by_for_loopback_is_not_taken_to_use_it(host: str) -> None:
    registries = [{"name": "eu", "url": f"http://{host}:5000"}]
    matrix = {"engines": ["wire", "skopeo", "podman", "containerd"], "proxies": ["direct", "squid"]}
    made = plan(spec(registries=registries, proxies=[FORWARD], matrix=matrix), facts())
    assert {cell.engine for cell in made.cells if cell.proxy == "squid"} == {"wire"}
    assert len({cell.engine for cell in made.cells if cell.proxy == "direct"}) == 4
    assert all("localhost" in reason for reason in reasons(made))


def test_an_engine_that_is_not_there_is_planned_out() -> None:
    absent = EngineFacts(name="docker", kind="docker", unavailable="/run/docker.sock: no answer")
    made = plan(spec(matrix={"engines": ["wire", "docker"]}), facts(absent))
    assert {cell.engine for cell in made.cells} == {"wire"}
    assert set(reasons(made)) == {"engine 'docker': /run/docker.sock: no answer"}
    assert group_reasons(made.planned_out) == {"engine 'docker': /run/docker.sock: no answer": 2}


def test_an_engine_whose_client_refuses_an_image_is_planned_out_there_alone() -> None:
    plain, nested = image("eu", "app:1", "linux/amd64"), image("eu", "app:2", "linux/amd64", "linux/arm64")
    found = nested.platforms["linux/amd64"]
    inside = replace(found, listing=Listing(platform=Platform.parse("linux/amd64"), depth=2))
    known = replace(nested, platforms={**nested.platforms, "linux/amd64": inside})
    both = facts(
        EngineFacts(name="podman", kind="podman"), EngineFacts(name="wire", kind="wire"), images=(plain, known)
    )
    made = plan(spec(matrix={"engines": ["podman", "wire"], "registries": ["eu"]}), both)
    assert [(entry.cell.engine, "app:2 for linux/amd64" in entry.reason) for entry in made.planned_out] == [
        ("podman", True)
    ]
    assert {cell.engine for cell in made.cells} == {"wire"}
    assert manifest_requests(made.trials[0], both) == 2 + 3  # one more for the index in the index


def planned_with_head(answer: HeadAnswer, *, proxies: list[str]) -> dict[tuple[str, str], str]:
    """The reasons of what is excluded, by engine and proxy, where HEAD of `app:1` is answered so."""
    heads = {"app:1": answer, "app:2": HeadAnswer(status=200, content_type=OCI_INDEX, size_bytes=9)}
    engines = (
        EngineFacts(name="wire", kind="wire"),
        EngineFacts(name="podman", kind="podman"),
        EngineFacts(name="containerd", kind="containerd"),
        EngineFacts(name="docker", kind="docker", image_store="overlay2"),
        EngineFacts(name="newer", kind="docker", image_store="containerd (overlayfs)"),
    )
    known = facts(*engines, images=tuple(replace(image("eu", name, "linux/amd64"), head=heads[name]) for name in heads))
    matrix = {"engines": [each.name for each in engines], "registries": ["eu"], "proxies": proxies}
    matrix["platforms"] = ["linux/amd64"]
    made = plan(spec(engines=[{"name": "newer", "kind": "docker"}], proxies=[MIRROR], matrix=matrix), known)
    return {(each.cell.engine, each.cell.proxy): each.reason for each in made.planned_out}


@pytest.mark.parametrize("status", [400, 401, 403, 404, 500])
def test_an_engine_that_needs_a_head_that_is_refused_is_planned_out(status: int) -> None:
    out = planned_with_head(HeadAnswer(status=status), proxies=["direct"])
    assert set(out) == {("containerd", "direct"), ("newer", "direct")}
    assert all("app:1" in reason and str(status) in reason for reason in out.values())


@pytest.mark.parametrize(
    "answer",
    [
        HeadAnswer(status=405),
        HeadAnswer(status=200, content_type=OCI_INDEX, size_bytes=9),
        HeadAnswer(status=200, content_type="", size_bytes=None),
    ],
)
def test_a_head_that_a_client_can_do_without_plans_nothing_out(answer: HeadAnswer) -> None:
    assert planned_with_head(answer, proxies=["direct"]) == {}


def test_a_head_of_another_type_plans_containerd_out() -> None:
    answer = HeadAnswer(status=200, content_type="application/octet-stream", size_bytes=9)
    assert set(planned_with_head(answer, proxies=["direct"])) == {("containerd", "direct"), ("newer", "direct")}


def test_the_registry_s_head_says_nothing_of_a_mirror_unless_the_mirror_gave_it() -> None:
    refused = HeadAnswer(status=403)
    assert ("containerd", "cache") not in planned_with_head(refused, proxies=["direct", "cache"])
    assert ("containerd", "cache") in planned_with_head(refused, proxies=["cache"])


@pytest.mark.parametrize("known_by", ["config", "manifest", "index"])
def test_an_image_that_was_there_before_cannot_be_pulled_cold(known_by: str) -> None:
    index = f"sha256:{99:064x}"
    known = replace(facts().images["eu", "app:1"], digest=index)
    found = known.platforms["linux/amd64"]
    digests = {"config": found.manifest.config.digest, "manifest": found.digest, "index": index}
    present = EngineFacts(name="docker", kind="docker", present=frozenset({digests[known_by]}))
    images = (known, *(each for each in facts().images.values() if (each.registry, each.image) != ("eu", "app:1")))
    matrix = {"engines": ["docker"], "registries": ["eu"], "cache": ["cold", "warm"]}
    made = plan(spec(matrix=matrix), facts(present, images=images))
    assert [cell.cache for cell in made.cells] == ["warm"]
    assert "app:1 was in" in reasons(made)[0]
    removable = plan(spec(matrix=matrix, cache_reset="remove"), facts(present, images=images))
    assert [cell.cache for cell in removable.cells] == ["cold", "warm"]


def test_an_engine_with_a_store_pulls_an_image_at_most_once_a_trial() -> None:
    made = plan(spec(matrix={"engines": ["wire", "docker"], "concurrency": [2]}, pulls_per_trial=5), facts())
    pulled = {trial.cell.engine: trial.images for trial in made.trials}
    assert pulled == {"wire": ("app:1", "app:2", "app:1", "app:2", "app:1"), "docker": ("app:1", "app:2")}


def test_every_cell_of_an_engine_pulls_the_same_whatever_its_concurrency() -> None:
    made = plan(spec(matrix={"concurrency": [1, 4]}), facts())
    assert {trial.images for trial in made.trials} == {("app:1", "app:2", "app:1", "app:2")}


def test_bytes_and_requests_are_summed_over_all_trials() -> None:
    made = plan(spec(matrix={"registries": ["eu"]}, warmup=1, repetitions=2), facts())
    assert made.bytes == 3 * ((10 + 1000) + (20 + 1000))
    assert made.manifest_requests == 3 * 2 * 2


def test_a_manifest_without_an_index_is_one_request() -> None:
    flat = tuple(image("eu", name, "linux/amd64", is_index=False) for name in ("app:1", "app:2"))
    known = facts(images=flat)
    made = plan(spec(matrix={"registries": ["eu"]}, warmup=0, repetitions=1), known)
    assert made.manifest_requests == 2
    assert manifest_requests(made.trials[0], facts(offline=True, images=(image("us", "app:1"),))) == 4


@pytest.mark.parametrize(("kind", "measured"), [("podman", 4), ("containerd", 0)])
def test_a_warm_pull_counts_no_manifest_if_the_store_has_it(kind: str, measured: int) -> None:
    matrix = {"registries": ["eu"], "engines": [kind], "cache": ["warm"]}
    made = plan(spec(matrix=matrix, warmup=0, repetitions=1), facts())
    assert made.manifest_requests == 4 + measured, "four fill the store"


STAGED = {"name": "staged", "kind": "wire", "strategy": "base-first", "base_images": ["base:7"]}


def test_base_images_are_counted_with_every_pull_that_begins_with_them_and_a_shared_layer_once() -> None:
    named = ("app:1", "app:2", "base:7")
    known = facts(images=tuple(image("eu", name, "linux/amd64") for name in named))
    matrix = {"registries": ["eu"], "engines": ["wire", "staged"]}
    asked = spec(matrix=matrix, engines=[STAGED], warmup=0, repetitions=1)
    assert asked.every_image == named
    made = plan(asked, known)
    requests = {trial.cell.engine: manifest_requests(trial, known) for trial in made.trials}
    assert requests == {"wire": 2 * 2, "staged": 2 * (2 + 2)}
    assert made.manifest_requests == 12
    own, base = (10 + 1000) + (20 + 1000), 70 + 1000
    assert made.bytes == own + (own + 2 * base)  # no layer of theirs is the base's
    same = facts(
        images=(*(image("eu", name, "linux/amd64") for name in named[:2]), image("eu", "base:1", "linux/amd64"))
    )
    shared = spec(matrix=matrix, engines=[{**STAGED, "base_images": ["base:1"]}], warmup=0, repetitions=1)
    assert plan(shared, same).bytes == own + (10 + 1000) + (20 + 1000 + 10 + 1000)


def test_a_base_image_that_the_facts_lack_is_named() -> None:
    asked = spec(matrix={"registries": ["eu"], "engines": ["staged"]}, engines=[STAGED])
    assert (unknown_image(plan(asked, facts()), facts()) or "").startswith("base:7 for linux/amd64 at eu")
    assert plan(asked, facts()).bytes is None


def test_what_is_warm_moves_no_bytes() -> None:
    made = plan(spec(matrix={"engines": ["docker"], "cache": ["warm"]}), facts())
    assert made.bytes == 0


def test_what_fills_a_clients_store_in_set_up_is_told_and_counts_against_a_rate_limit() -> None:
    def made(kind: str, *states: str) -> Plan:
        matrix = {"engines": [kind], "registries": ["eu"], "cache": list(states)}
        return plan(spec(matrix=matrix, warmup=0, repetitions=3), facts())

    once = 1010 + 1020
    assert made("podman", "warm").stored_bytes == 3 * once, "a store of its own for every trial"
    assert made("docker", "warm").stored_bytes == once, "the daemon keeps what the first trial brought"
    assert made("docker", "cold", "warm").stored_bytes in (0, once), "and what a cold one brought"
    assert made("podman", "cold").stored_bytes == 0
    assert [manifest_requests(trial, facts()) for trial in made("docker", "warm").trials] == [2 * 2 * 2] * 3
    found = made("podman", "warm")
    assert (found.bytes, found.setup_bytes) == (0, 3 * once)
    assert found.as_dict()["stored_bytes"] == 3 * once
    offline = plan(spec(matrix={"engines": ["podman"], "cache": ["warm"]}), facts(offline=True, images=()))
    assert (offline.stored_bytes, offline.setup_bytes) == (None, None)


def test_offline_facts_know_no_bytes_and_refuse_nothing() -> None:
    made = plan(spec(matrix={"engines": ["docker"]}), Facts(host_platform="linux/arm64", offline=True))
    assert made.bytes is None
    assert made.planned_out == ()
    assert {cell.platform for cell in made.cells} == {"linux/arm64"}


def test_a_mirror_leads_to_its_upstream_alone_and_a_forward_proxy_to_all() -> None:
    matrix = {"proxies": ["direct", "cache", "squid"]}
    found = routes(spec(matrix=matrix, proxies=[MIRROR, FORWARD]))
    assert set(found) == {("eu", "direct"), ("us", "direct"), ("eu", "cache"), ("eu", "squid"), ("us", "squid")}
    mirror, forward = found["eu", "cache"], found["us", "squid"]
    assert (mirror.url, mirror.prefix, mirror.forward_url, mirror.region) == (
        "https://m.example.com",
        "hub",
        None,
        "eu-1",
    )
    assert (forward.url, forward.prefix, forward.forward_url) == ("https://us.example.com", "", "http://squid:3128")
    assert found["eu", "direct"].forward_url is None


@pytest.mark.parametrize(("named", "kept"), [({}, "anonymous"), ({"credentials": "env:SQUID"}, "env:SQUID")])
def test_a_forward_proxys_login_is_named_and_dockers_config_file_is_not_asked_for_it(
    named: dict[str, str], kept: str
) -> None:
    found = routes(spec(matrix={"proxies": ["squid"]}, proxies=[FORWARD | named]))
    assert found["eu", "squid"].forward_credentials == kept
    assert found["eu", "squid"].credentials == "docker"


def test_registries_outside_the_matrix_have_no_route() -> None:
    assert set(routes(spec(matrix={"registries": ["us"]}))) == {("us", "direct")}


def test_the_document_of_a_plan_has_what_scripts_rely_on() -> None:
    made = plan(spec(matrix={"engines": ["wire", "docker"], "auth": ["per-pull"]}), facts())
    document = made.as_dict()
    assert {"cells", "trials", "planned_out", "bytes", "manifest_requests"} <= set(document)
    assert document["planned_out"][0]["cell"]["engine"] == "docker"
    assert {"trial", "block", "warmup", "pulls", *FACTORS} <= set(document["trials"][0])


def test_what_a_pull_should_give_is_what_its_manifest_promised() -> None:
    made = plan(spec(), facts())
    cell = made.cells[0]
    assert expected_image(facts(), cell, "app:2").manifest.size_bytes == 1020
    with pytest.raises(KeyError, match="app:9 for linux/amd64 at eu"):
        expected_image(facts(), cell, "app:9")


@pytest.mark.parametrize(
    ("resolve", "direct_alone"),
    [
        ({"r.eu.example": "10.0.0.7"}, True),
        ({"SQUID": "10.0.0.7"}, False),
        ({"squid:3128": "10.0.0.7"}, False),
        ({}, False),
    ],
)
def test_names_pinned_here_are_planned_out_behind_a_proxy_that_looks_them_up_itself(
    resolve: dict[str, str], direct_alone: bool
) -> None:
    engines = [{"name": "pinned", "kind": "wire", "resolve": resolve}]
    matrix = {"engines": ["pinned"], "registries": ["eu"], "proxies": ["direct", "squid"]}
    made = plan(spec(engines=engines, matrix=matrix, proxies=[FORWARD]), facts())
    assert {cell.proxy for cell in made.cells} == ({"direct"} if direct_alone else {"direct", "squid"})
    assert [reason for reason in reasons(made) if "pin them" in reason] or not direct_alone
