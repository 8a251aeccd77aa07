"""containerd's image store: what identifies an image there, and that only what runs brought goes."""

import pytest

from pullbench.daemon.image_store import (
    ContainerdStore,
    GraphDriverStore,
    PullTarget,
    data_directory,
    image_store,
    limits_downloads,
)
from pullbench.errors import ErrorCode, RegistryError
from pullbench.model.facts import PlatformImage
from pullbench.model.manifest import OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST, Descriptor, Manifest
from tests.daemon.containerd_daemon import INFO, ContainerdDaemon

INDEX, OTHER_INDEX = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"
APP = "r.example.com/app"
TAG, BY_INDEX = f"{APP}:1", f"{APP}@{INDEX}"
LEFTOVERS = ["import pullbench.leftovers=1", "prune pullbench.leftovers=1"]


def image(letter: str, *layers: str) -> PlatformImage:
    def blob(media_type: str, name: str) -> Descriptor:
        return Descriptor(media_type=media_type, digest=f"sha256:{name * 64}", size_bytes=7)

    return PlatformImage(
        digest=f"sha256:{letter * 64}",
        manifest=Manifest(
            media_type=OCI_MANIFEST,
            config=blob(OCI_CONFIG, letter),
            layers=tuple(blob(OCI_LAYER_GZIP, layer) for layer in layers),
        ),
    )


AMD, ARM, OTHER = image("a", "3"), image("b", "4"), image("c", "4", "5")


@pytest.fixture
def daemon() -> ContainerdDaemon:
    made = ContainerdDaemon()
    made.offers(INDEX, amd64=AMD, arm64=ARM)
    return made


def store_of(daemon: ContainerdDaemon) -> ContainerdStore:
    found = image_store(daemon)
    assert isinstance(found, ContainerdStore)
    return found


def target(store: ContainerdStore, brought: frozenset[str] = frozenset(), platform: str = "linux/arm64") -> PullTarget:
    expected = ARM if platform == "linux/arm64" else AMD
    name = store.name_for(APP, INDEX, expected, brought)
    return PullTarget(name=name, digest=INDEX, platform=platform, expected=expected)


def test_the_store_is_known_by_its_driver() -> None:
    daemon = ContainerdDaemon()
    assert (store_of(daemon).label, store_of(daemon).identity) == ("containerd (overlayfs)", "FAKE:ID/containerd")
    other = GraphDriverStore(daemon, {"Driver": "overlay2"})
    assert (other.label, other.identity) == ("overlay2", "FAKE:ID")


def test_what_is_there_is_told_by_platform(daemon: ContainerdDaemon) -> None:
    daemon.hold(TAG, INDEX, AMD.digest)
    store = store_of(daemon)
    assert store.image_ids() == {AMD.digest}
    assert not store.holds(target(store))
    assert store.holds(target(store, platform="linux/amd64"))


@pytest.mark.parametrize(
    ("api", "ids"),
    [((1, 44), {INDEX}), ((1, 47), {INDEX}), ((1, 48), {AMD.digest, INDEX}), ((1, 50), {AMD.digest})],
)
def test_an_index_is_in_the_way_as_a_whole_where_one_platform_cannot_be_removed(
    daemon: ContainerdDaemon, api: tuple[int, int], ids: set[str]
) -> None:
    daemon.api = api
    daemon.hold(TAG, INDEX, AMD.digest)
    assert store_of(daemon).image_ids() == ids


def test_a_platform_beside_a_users_is_pulled_by_its_own_digest(daemon: ContainerdDaemon) -> None:
    assert target(store_of(daemon)).name == BY_INDEX
    daemon.hold(TAG, INDEX, AMD.digest)
    found = target(store_of(daemon))
    assert found.name == f"{APP}@{ARM.digest}"
    assert store_of(daemon).would_bring([found]) == [found.name, ARM.digest]


def test_a_platform_beside_one_that_runs_brought_keeps_the_name(daemon: ContainerdDaemon) -> None:
    daemon.hold(BY_INDEX, INDEX, AMD.digest)
    found = target(store_of(daemon), frozenset({BY_INDEX, AMD.digest}))
    assert found.name == BY_INDEX
    assert store_of(daemon).would_bring([found]) == [ARM.digest]


@pytest.mark.parametrize(
    ("api", "told"),
    [
        ((1, 44), [BY_INDEX, INDEX]),
        ((1, 48), [BY_INDEX, ARM.digest, INDEX]),
        ((1, 51), [BY_INDEX, ARM.digest]),
    ],
)
def test_what_a_run_brings_is_what_it_may_remove(
    daemon: ContainerdDaemon, api: tuple[int, int], told: list[str]
) -> None:
    daemon.api = api
    store = store_of(daemon)
    assert store.would_bring([target(store)]) == told
    daemon.hold(BY_INDEX, INDEX, ARM.digest)
    cleaned = store.remove_brought([name for name in told if "@" not in name], [BY_INDEX])
    assert (len(cleaned.removed), cleaned.kept, daemon.names, daemon.content) == (1, {}, {}, set())


def test_a_cold_trial_removes_by_name_and_then_drops_leftovers(daemon: ContainerdDaemon) -> None:
    daemon.hold(BY_INDEX, INDEX, ARM.digest)
    store, brought = store_of(daemon), frozenset({BY_INDEX, ARM.digest})
    store.make_cold([target(store, brought)], brought, any_image=False)
    assert daemon.done == [f"remove {BY_INDEX}", *LEFTOVERS]


def test_leftovers_are_dropped_before_a_cold_trial_of_an_image_that_is_not_there(daemon: ContainerdDaemon) -> None:
    store = store_of(daemon)
    store.make_cold([target(store)], frozenset(), any_image=False)
    assert daemon.done == LEFTOVERS


def test_our_platform_goes_from_a_users_index_and_the_users_stays(daemon: ContainerdDaemon) -> None:
    daemon.hold(TAG, INDEX, AMD.digest)
    store = store_of(daemon)
    ours = target(store)
    brought = frozenset(store.would_bring([ours]))
    daemon.hold(ours.name, ARM.digest, ARM.digest)
    store.make_cold([ours], brought, any_image=False)
    assert daemon.names == {TAG: INDEX}
    assert daemon.content == {AMD.digest}


def test_a_users_platform_under_our_own_name_stays(daemon: ContainerdDaemon) -> None:
    daemon.hold(BY_INDEX, INDEX, AMD.digest, ARM.digest)
    cleaned = store_of(daemon).remove_brought([ARM.digest], [BY_INDEX])
    assert cleaned.removed == (ARM.digest,)
    assert (daemon.names, daemon.content) == ({BY_INDEX: INDEX}, {AMD.digest})


def test_an_image_that_a_user_tagged_since_keeps_name_and_content(daemon: ContainerdDaemon) -> None:
    daemon.hold(BY_INDEX, INDEX, ARM.digest)
    daemon.hold(TAG, INDEX)
    cleaned = store_of(daemon).remove_brought([ARM.digest], [BY_INDEX])
    assert TAG in cleaned.kept[ARM.digest]
    assert (set(daemon.names), daemon.content, cleaned.removed) == ({BY_INDEX, TAG}, {ARM.digest}, ())


@pytest.mark.parametrize("api", [(1, 48), (1, 49)])
def test_a_daemon_that_cannot_remove_one_platform_keeps_it_and_says_why(
    daemon: ContainerdDaemon, api: tuple[int, int]
) -> None:
    daemon.api = api
    daemon.hold(TAG, INDEX, AMD.digest, ARM.digest)
    daemon.hold(f"{APP}@{ARM.digest}", ARM.digest)
    cleaned = store_of(daemon).remove_brought([ARM.digest], [f"{APP}@{ARM.digest}"])
    assert "28.2" in cleaned.kept[ARM.digest]
    assert (set(daemon.names), daemon.content) == ({TAG}, {AMD.digest, ARM.digest})


def test_a_platform_that_shares_layers_with_another_image_stays(daemon: ContainerdDaemon) -> None:
    daemon.offers(OTHER_INDEX, amd64=OTHER)
    daemon.hold(TAG, INDEX, AMD.digest, ARM.digest)
    daemon.hold("other:1", OTHER_INDEX, OTHER.digest)
    cleaned = store_of(daemon).remove_brought([ARM.digest], [])
    assert "other:1" in cleaned.kept[ARM.digest]
    assert daemon.content == {AMD.digest, ARM.digest, OTHER.digest}


@pytest.mark.parametrize(
    ("used", "stays"),
    [
        ({"ImageID": INDEX, "ImageManifestDescriptor": {"digest": ARM.digest}}, True),
        ({"ImageID": INDEX, "ImageManifestDescriptor": {"digest": AMD.digest}}, False),
        ({"ImageID": INDEX}, True),
        ({"ImageID": OTHER_INDEX}, False),
    ],
)
def test_a_platform_that_a_container_uses_stays(daemon: ContainerdDaemon, used: dict[str, object], stays: bool) -> None:
    daemon.hold(TAG, INDEX, AMD.digest, ARM.digest)
    daemon.used = [used]
    cleaned = store_of(daemon).remove_brought([ARM.digest], [])
    assert (ARM.digest in daemon.content, ARM.digest in cleaned.kept) == (stays, stays)


def test_an_image_that_a_container_uses_keeps_all_its_names(daemon: ContainerdDaemon) -> None:
    daemon.hold(BY_INDEX, INDEX, ARM.digest)
    daemon.used = [{"ImageID": INDEX}]
    cleaned = store_of(daemon).remove_brought([ARM.digest], [BY_INDEX])
    assert ("container" in cleaned.kept[ARM.digest], set(daemon.names)) == (True, {BY_INDEX})


def test_cache_reset_remove_takes_the_platform_under_test_from_anybody(daemon: ContainerdDaemon) -> None:
    daemon.hold(TAG, INDEX, AMD.digest, ARM.digest)
    store = store_of(daemon)
    store.make_cold([target(store)], frozenset(), any_image=True)
    assert (daemon.names, daemon.content) == ({TAG: INDEX}, {AMD.digest})
    store.make_cold([target(store, platform="linux/amd64")], frozenset(), any_image=True)
    assert (daemon.names, daemon.content) == ({}, set())


@pytest.mark.parametrize(
    ("held", "platform", "code"),
    [
        ((ARM.digest,), "linux/arm64", None),
        ((AMD.digest, ARM.digest), "linux/arm64", None),
        ((AMD.digest,), "linux/arm64", ErrorCode.DIGEST_MISMATCH),
        ((), "linux/arm64", ErrorCode.ENGINE_UNAVAILABLE),
    ],
)
def test_a_pulled_image_is_checked_by_its_manifest(
    daemon: ContainerdDaemon, held: tuple[str, ...], platform: str, code: ErrorCode | None
) -> None:
    daemon.hold(BY_INDEX, INDEX, *held)
    store = store_of(daemon)
    wrong = store.mismatch(target(store, frozenset({BY_INDEX, *held}), platform))
    assert (None if wrong is None else wrong[0]) is code


@pytest.mark.parametrize("api", [(1, 47), (1, 51)])
def test_a_single_manifest_for_another_platform_is_caught(api: tuple[int, int]) -> None:
    daemon = ContainerdDaemon(api)
    daemon.offers(OTHER_INDEX, amd64=AMD)
    name = f"{APP}@{AMD.digest}"
    daemon.hold(name, AMD.digest, AMD.digest)
    wrong = store_of(daemon).mismatch(PullTarget(name=name, digest=AMD.digest, platform="linux/arm64", expected=AMD))
    assert wrong is not None and wrong[0] is ErrorCode.PLATFORM_MISSING


def test_another_prune_is_waited_for(daemon: ContainerdDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    naps: list[float] = []
    monkeypatch.setattr("time.sleep", naps.append)
    daemon.conflicts = 2
    store_of(daemon).drop_leftovers()
    assert (len(naps), daemon.done) == (2, LEFTOVERS)
    daemon.conflicts = 1000
    with pytest.raises(RegistryError):
        store_of(daemon).drop_leftovers()


def test_names_of_local_builds_have_a_remark_where_the_daemon_cannot_tell(daemon: ContainerdDaemon) -> None:
    daemon.hold(TAG, INDEX, AMD.digest)
    daemon.hold(BY_INDEX, INDEX)
    found = store_of(daemon).pulled_tags()
    assert (set(found), found[TAG] != "", found[BY_INDEX]) == ({TAG, BY_INDEX}, True, "")


@pytest.mark.parametrize(("identity", "found"), [({"Pull": [{"Repository": APP}]}, {TAG: ""}), ({"Build": [{}]}, {})])
def test_a_daemon_that_tells_origins_leaves_builds_out(
    daemon: ContainerdDaemon, monkeypatch: pytest.MonkeyPatch, identity: dict[str, object], found: dict[str, str]
) -> None:
    daemon.api = (1, 53)
    daemon.hold(TAG, INDEX, AMD.digest)
    monkeypatch.setattr(daemon, "inspect", lambda _, **__: {"Identity": identity})
    assert store_of(daemon).pulled_tags() == found


@pytest.mark.parametrize(
    ("version", "containerd", "limits"),
    [
        ("28.5.2+dfsg4", True, False),
        ("29.6.2", True, False),
        ("29.7.0", True, True),
        ("30.1.0", True, True),
        ("28.5.2", False, True),
        ("dev", True, True),
    ],
)
def test_the_download_limit_has_an_effect_by_store_and_version(version: str, containerd: bool, limits: bool) -> None:
    info = {**(INFO if containerd else {"Driver": "overlay2"}), "ServerVersion": version}
    assert limits_downloads(info) is limits


@pytest.mark.parametrize(
    ("address", "directory"),
    [
        ("/run/containerd/containerd.sock", "/var/lib/containerd"),
        ("/var/run/containerd/containerd.sock", "/var/lib/containerd"),
        ("/var/run/docker/containerd/containerd.sock", "/var/lib/docker/containerd/daemon"),
        ("/tmp/exec/containerd/containerd.sock", "/var/lib/docker/containerd/daemon"),
        ("", "/var/lib/containerd"),
    ],
)
def test_the_images_are_where_their_containerd_is(address: str, directory: str) -> None:
    assert data_directory({**INFO, "Containerd": {"Address": address}}) == directory
    assert data_directory({"Driver": "overlay2", "DockerRootDir": "/data"}) == "/data"


def test_attestations_count_for_their_image_where_the_daemon_lists_them(
    daemon: ContainerdDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    def attestation(of: str, *, available: bool = True) -> dict[str, object]:
        about: dict[str, object] = {"Kind": "attestation", "Available": available, "AttestationData": {"For": of}}
        return about | {"Size": {"Content": 120}, "Descriptor": {"size": 20}}

    listed = [attestation(ARM.digest), attestation(AMD.digest), attestation(ARM.digest, available=False)]
    store = store_of(daemon)
    ours = target(store)
    monkeypatch.setattr(daemon, "inspect", lambda _, **__: {"Manifests": listed})
    assert store.attestation_bytes(ours) == 100
    listed.clear()
    assert store.attestation_bytes(ours) is None
    daemon.api = (1, 47)
    assert store.attestation_bytes(ours) is None
