"""A Docker daemon over its socket: answers, errors, and pulls that are stopped."""

import base64
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs

import pytest
import requests

from pullbench.daemon.docker import DockerDaemon, names_of, one_line
from pullbench.daemon.image_store import GraphDriverStore, image_store
from pullbench.daemon.pull_stream import PullStream
from pullbench.errors import ErrorCode, RegistryError
from tests.daemon.daemon_world import VERSION, DaemonSocket, Handler, Pull

IMAGE_ID = f"sha256:{'1' * 64}"
NAME = f"127.0.0.1:5000/app@sha256:{'2' * 64}"


def events(handler: Handler) -> None:
    handler.begin()
    handler.say({"status": "Pulling from app"})
    handler.say({"status": "Status: done"})
    handler.end()


def pulled(folder: Path, pull: Pull, *, stop_at: threading.Event | None = None, patience_s: float = 20.0) -> PullStream:
    """A pull read to its end, stopped by another thread where `stop_at` is given."""
    with DaemonSocket(folder, pull) as socket:
        daemon = DockerDaemon(socket.host)
        stream = daemon.pull(NAME, platform="linux/amd64", auth_config={})
        stream.patience_s = patience_s

        def stop() -> None:
            if stop_at is not None and stop_at.wait(10):
                stream.stop()

        stopper = threading.Thread(target=stop)
        stopper.start()
        try:
            with stream:
                list(stream)
        finally:
            stopper.join()
            daemon.close()
    return stream


@pytest.fixture
def socket(tmp_path: Path) -> Iterator[DaemonSocket]:
    with DaemonSocket(tmp_path, events) as made:
        yield made


@pytest.fixture
def daemon(socket: DaemonSocket) -> Iterator[DockerDaemon]:
    made = DockerDaemon(socket.host)
    yield made
    made.close()


def test_a_pull_gives_its_events_and_asks_for_name_platform_and_nobody(
    daemon: DockerDaemon, socket: DaemonSocket
) -> None:
    with daemon.pull(NAME, platform="linux/arm64", auth_config={}) as stream:
        assert [event["status"] for event in stream] == ["Pulling from app", "Status: done"]
    ((query, headers),) = socket.asked
    name, _, digest = NAME.partition("@")
    assert query == {"fromImage": name, "tag": digest, "platform": "linux/arm64"}
    assert base64.urlsafe_b64decode(headers["X-Registry-Auth"]) == b"{}"


def test_credentials_go_in_the_header_of_their_pull(daemon: DockerDaemon, socket: DaemonSocket) -> None:
    with daemon.pull(NAME, platform="linux/amd64", auth_config={"username": "me", "password": "secret"}) as stream:
        list(stream)
    ((query, headers),) = socket.asked
    sent = json.loads(base64.urlsafe_b64decode(headers["X-Registry-Auth"]))
    assert sent == {"username": "me", "password": "secret"}
    assert "secret" not in str(query)


def test_an_error_before_the_stream_has_its_code_and_status(tmp_path: Path) -> None:
    message = "manifest for x not found: manifest unknown"
    with pytest.raises(RegistryError) as raised:
        pulled(tmp_path, lambda handler: handler.answer(404, {"message": message}))
    assert (raised.value.code, raised.value.status) == (ErrorCode.NOT_FOUND, 404)
    assert raised.value.detail == message


@pytest.mark.parametrize(("status", "code"), [(500, ErrorCode.UNKNOWN), (403, ErrorCode.FORBIDDEN)])
def test_a_text_that_is_not_known_keeps_its_words(tmp_path: Path, status: int, code: ErrorCode) -> None:
    with pytest.raises(RegistryError) as raised:
        pulled(tmp_path, lambda handler: handler.answer(status, {"message": "something new"}))
    assert (raised.value.code, raised.value.detail) == (code, "something new")


def test_a_daemon_that_dies_in_mid_pull_is_unavailable(tmp_path: Path) -> None:
    def die(handler: Handler) -> None:
        handler.begin()
        handler.wfile.write(b"40\r\n{")
        handler.close_connection = True

    with pytest.raises(RegistryError) as raised:
        pulled(tmp_path, die)
    assert raised.value.code is ErrorCode.ENGINE_UNAVAILABLE


def test_a_stopped_pull_ends_when_the_daemon_gives_it_up(tmp_path: Path) -> None:
    silent = threading.Event()

    def stall(handler: Handler) -> None:
        handler.begin()
        handler.say({"status": "Downloading"})
        silent.set()
        handler.wait_for_the_client_to_go()
        handler.say({"errorDetail": {"message": "context canceled"}})
        handler.end()

    assert not pulled(tmp_path, stall, stop_at=silent).abandoned


def test_a_pull_without_any_answer_can_be_stopped(tmp_path: Path) -> None:
    silent = threading.Event()

    def say_nothing(handler: Handler) -> None:
        silent.set()
        handler.wait_for_the_client_to_go()

    assert not pulled(tmp_path, say_nothing, stop_at=silent).abandoned


def test_a_daemon_that_does_not_give_up_is_left(tmp_path: Path) -> None:
    silent, left = threading.Event(), threading.Event()

    def go_on(handler: Handler) -> None:
        handler.begin()
        silent.set()
        left.wait(20)

    try:
        assert pulled(tmp_path, go_on, stop_at=silent, patience_s=0.05).abandoned
    finally:
        left.set()


def test_a_pull_that_is_stopped_before_it_begins_asks_nothing(daemon: DockerDaemon, socket: DaemonSocket) -> None:
    with daemon.pull(NAME, platform="linux/amd64", auth_config={}) as stream:
        stream.stop()
        assert list(stream) == []
    assert socket.asked == []


def test_stopping_what_has_ended_does_nothing(daemon: DockerDaemon) -> None:
    with daemon.pull(NAME, platform="linux/amd64", auth_config={}) as stream:
        list(stream)
        stream.stop()
    stream.stop()
    assert not stream.abandoned


def test_the_daemon_says_what_it_is(daemon: DockerDaemon, socket: DaemonSocket) -> None:
    socket.answers.update({"/info": {"ID": "THE:ID"}, "/images/json": [{"Id": IMAGE_ID}]})
    assert (daemon.version(), daemon.identity, daemon.image_ids()) == ("20.10.24", "THE:ID", frozenset({IMAGE_ID}))


def test_an_image_that_is_not_there_is_not_found(daemon: DockerDaemon) -> None:
    assert daemon.find("app:1.0") is None
    with pytest.raises(RegistryError) as raised:
        daemon.inspect("app:1.0")
    assert raised.value.code is ErrorCode.NOT_FOUND


@pytest.mark.parametrize("host", ["unix:///no/such/docker.sock", "tcp://127.0.0.1:1"])
def test_no_daemon_is_one_line_with_the_reason(host: str) -> None:
    with pytest.raises(RegistryError) as raised:
        DockerDaemon(host).version()
    assert raised.value.code is ErrorCode.ENGINE_UNAVAILABLE
    assert str(raised.value).startswith(f"docker {host}: ")
    assert raised.value.detail.endswith(("No such file or directory", "Connection refused"))
    assert "\n" not in str(raised.value)


def test_a_socket_that_the_user_may_not_open_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: object, environment: object = None, version: object = None) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(DockerDaemon, "_new_client", refuse)
    with pytest.raises(RegistryError, match=r"Permission denied .add this user to the group `docker`"):
        DockerDaemon("unix:///var/run/docker.sock").version()


def test_the_environment_names_the_daemon_where_the_spec_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///of/the/environment.sock")
    assert DockerDaemon().host == "unix:///of/the/environment.sock"
    assert DockerDaemon("unix:///mine.sock").host == "unix:///mine.sock"


def test_a_daemon_far_away_is_asked_directly_whatever_proxy_the_environment_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    used: list[object] = []

    def send(_adapter: object, _request: object, **options: object) -> None:
        used.append(options["proxies"])
        raise requests.exceptions.ConnectionError("nobody there")

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", send)
    daemon = DockerDaemon("tcp://192.0.2.1:2375")
    with pytest.raises(RegistryError):
        daemon.version()
    client = daemon._new_client(version="1.41")
    with pytest.raises(requests.exceptions.ConnectionError):
        client.info()
    client.close()
    assert used == [{}, {}]


def test_removal_spares_parents_and_what_is_in_use(daemon: DockerDaemon, socket: DaemonSocket) -> None:
    daemon.remove(IMAGE_ID)
    assert "force=False" in socket.deleted[0] and "noprune=True" in socket.deleted[0]


def test_a_removal_by_platform_names_it_and_is_forced(daemon: DockerDaemon, socket: DaemonSocket) -> None:
    daemon.remove_platform(IMAGE_ID, '{"os": "linux"}')
    path, _, query = socket.deleted[0].partition("?")
    assert path.endswith(f"/images/{IMAGE_ID}")
    assert parse_qs(query) == {"platforms": ['{"os": "linux"}'], "force": ["1"]}


@pytest.mark.parametrize(
    ("api", "images", "usage"),
    [
        ("1.41", {"all": "1"}, {}),
        ("1.44", {"all": "1"}, {"type": "image"}),
        ("1.48", {"all": "1", "manifests": "1"}, {"type": "image"}),
        ("1.52", {"all": "1", "manifests": "1"}, {"type": "image", "verbose": "1"}),
    ],
)
def test_newer_parameters_go_to_newer_daemons_only(
    tmp_path: Path, api: str, images: dict[str, str], usage: dict[str, str]
) -> None:
    with DaemonSocket(tmp_path) as socket:
        socket.answers.update(
            {"/version": {**VERSION, "ApiVersion": api}, "/images/json": [{"Id": "a"}], "/system/df": {"Images": []}}
        )
        daemon = DockerDaemon(socket.host)
        assert daemon.images() == [{"Id": "a"}]
        assert daemon.disk_usage() == {"Images": []}
        assert daemon.api_version == tuple(int(part) for part in api.split("."))
        daemon.close()
    got = {path.partition("?")[0].rpartition("/")[2]: parse_qs(path.partition("?")[2]) for path in socket.got}
    assert {name: value[0] for name, value in got["json"].items()} == images
    assert {name: value[0] for name, value in got["df"].items()} == usage


def test_leftovers_are_pruned_by_a_label_of_their_own(daemon: DockerDaemon, socket: DaemonSocket) -> None:
    daemon.import_empty("a=1")
    daemon.prune_labelled("a=1")
    (imported, _), (pruned, _) = socket.asked
    assert imported == {"fromSrc": "-", "changes": "LABEL a=1"}
    assert json.loads(pruned["filters"]) == {"dangling": ["true"], "label": ["a=1"]}


def test_what_the_daemon_refuses_to_remove_is_kept_with_its_reason(daemon: DockerDaemon, socket: DaemonSocket) -> None:
    socket.answers["/json"] = {"Id": IMAGE_ID, "RepoTags": [], "RepoDigests": [NAME], "Size": 5}
    reason = "conflict: container 1a2b is using its referenced image"
    socket.refuse_deletion(409, reason)
    cleaned = GraphDriverStore(daemon, {}).remove_brought([IMAGE_ID], [NAME])
    assert (cleaned.removed, cleaned.bytes) == ((), 0)
    assert cleaned.kept == {IMAGE_ID: reason}


def test_what_is_gone_already_is_passed_over(daemon: DockerDaemon, socket: DaemonSocket) -> None:
    cleaned = GraphDriverStore(daemon, {}).remove_brought([IMAGE_ID], [NAME])
    assert (cleaned.removed, dict(cleaned.kept), socket.deleted) == ((), {}, [])


def test_a_daemon_that_is_gone_ends_a_removal() -> None:
    with pytest.raises(RegistryError):
        image_store(DockerDaemon("unix:///no/such/docker.sock")).remove_brought([IMAGE_ID], [])


def test_the_names_of_an_image_are_its_tags_and_digests() -> None:
    image = {"RepoTags": ["app:1", "<none>:<none>"], "RepoDigests": ["app@sha256:1"]}
    assert names_of(image) == {"app:1", "app@sha256:1"}
    assert names_of({"RepoTags": None}) == frozenset()


def test_a_foreign_text_is_kept_on_one_bounded_line_without_queries() -> None:
    text = one_line('Get "https://s3/b?X-Amz-Signature=abc&x=1":\n\t refused ' + "x" * 2000)
    assert text.startswith('Get "https://s3/b?…": refused ') and len(text) == 1000
