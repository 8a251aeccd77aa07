"""A lab registry does wrong what it is told to, as often as it is told to, and the same again for the same seed."""

import http.client
import json
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

from pullbench.lab.auth import AuthRules
from pullbench.lab.contents import Contents, LabImage
from pullbench.lab.faults import Exchange, Fault, FaultKind, Faults
from pullbench.lab.registry import Registry
from tests.lab.conftest import Answer, ask


@contextmanager
def registry(images: Sequence[LabImage], *faults: Fault, auth: AuthRules | None = None) -> Iterator[Registry]:
    with Registry(Contents(images), faults=Faults(faults, seed=1), auth=auth) as running:
        yield running


def always(kind: FaultKind, on: Exchange = "blob", seconds: float = 0.05) -> Fault:
    return Fault(kind=kind, rate=1.0, on=on, seconds=seconds)


def blob(image: LabImage) -> tuple[str, bytes]:
    digest, path = max(image.blobs.items(), key=lambda item: item[1].stat().st_size)
    return f"/v2/{image.repository}/blobs/{digest}", path.read_bytes()


def asked(images: Sequence[LabImage], kind: FaultKind, **headers: str) -> tuple[Answer, bytes]:
    """The answer to a GET of the largest blob, and what it should have been."""
    path, content = blob(images[0])
    with registry(images, always(kind)) as running:
        return ask(running.url, path, **headers), content


def test_every_share_is_met_and_the_same_seed_draws_the_same() -> None:
    rules = [Fault(kind="server_error", rate=0.2, on="blob"), Fault(kind="reset", rate=0.05, on="blob")]

    def drawn(seed: int) -> list[FaultKind | None]:
        faults = Faults(rules, seed=seed)
        return [None if (fault := faults.draw("blob")) is None else fault.kind for _ in range(4_000)]

    kinds = drawn(1)
    assert kinds == drawn(1)
    assert kinds != drawn(2)
    assert 0.17 < kinds.count("server_error") / 4_000 < 0.23
    assert 0.035 < kinds.count("reset") / 4_000 < 0.065


def test_what_other_exchanges_do_changes_no_draw_and_what_is_done_is_counted() -> None:
    rules = [Fault(kind="html", rate=0.5, on="manifest"), Fault(kind="reset", rate=0.5, on="blob")]
    alone, mixed = Faults(rules, seed=3), Faults(rules, seed=3)
    first = [alone.draw("blob") for _ in range(50)]
    second = []
    for _ in range(50):
        mixed.draw("manifest")
        second.append(mixed.draw("blob"))
    assert first == second
    assert mixed.done["blob", "reset"] == sum(fault is not None for fault in second)


@pytest.mark.parametrize("rate", [-0.1, 1.1])
def test_a_share_outside_of_0_to_1_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="not a share"):
        Fault(kind="reset", rate=rate, on="blob")


def test_a_connection_can_only_be_slow_silent_or_reset() -> None:
    with pytest.raises(ValueError, match="needs a request"):
        Fault(kind="html", rate=0.1, on="connection")


@pytest.mark.parametrize(
    ("kind", "status"),
    [("unauthorized", 401), ("forbidden", 403), ("not_found", 404), ("rate_limited", 429), ("server_error", 503)],
)
def test_an_error_comes_as_oci_has_it(images: tuple[LabImage, ...], kind: FaultKind, status: int) -> None:
    answer, _ = asked(images, kind)
    assert answer.status == status
    assert json.loads(answer.body)["errors"][0]["code"]
    assert ("retry-after" in answer.headers) == (status == 429)


def test_a_page_broken_json_and_a_redirect_to_itself_are_whole_answers(images: tuple[LabImage, ...]) -> None:
    page, _ = asked(images, "html")
    assert (page.status, page.headers["content-type"]) == (200, "text/html")
    broken, _ = asked(images, "bad_json")
    with pytest.raises(json.JSONDecodeError):
        json.loads(broken.body)
    loop, _ = asked(images, "redirect_loop")
    assert (loop.status, loop.headers["location"]) == (307, blob(images[0])[0])


def test_a_changed_byte_keeps_the_length_and_a_wrong_length_is_kept_to(images: tuple[LabImage, ...]) -> None:
    changed, content = asked(images, "wrong_digest")
    assert changed.body != content and len(changed.body) == len(content)
    short, _ = asked(images, "wrong_length")
    assert short.body == content[:-1] and short.headers["content-length"] == str(len(content) - 1)


def test_a_dripped_and_a_late_answer_are_whole(images: tuple[LabImage, ...]) -> None:
    for kind in ("drip", "latency"):
        answer, content = asked(images, kind)
        assert answer.body == content


def test_a_range_is_answered_with_another_one(images: tuple[LabImage, ...]) -> None:
    answer, _ = asked(images, "wrong_range", Range="bytes=0-9")
    assert (answer.status, answer.headers["content-range"]) == (206, "bytes 7-7/8")


@pytest.mark.parametrize("kind", ["truncation", "stall"])
def test_a_cut_answer_promises_more_than_it_sends(images: tuple[LabImage, ...], kind: FaultKind) -> None:
    with pytest.raises(http.client.IncompleteRead) as raised:
        asked(images, kind)
    content = blob(images[0])[1]
    assert len(raised.value.partial) == len(content) // 2


@pytest.mark.parametrize("on", ["connection", "blob"])
def test_a_reset_is_a_reset(images: tuple[LabImage, ...], on: Exchange) -> None:
    with registry(images, always("reset", on)) as running, pytest.raises((ConnectionResetError, BrokenPipeError)):
        ask(running.url, blob(images[0])[0])


def test_a_silent_connection_says_nothing_and_ends_with_the_registry(images: tuple[LabImage, ...]) -> None:
    with registry(images, always("stall", "connection", seconds=60.0)) as running:
        client = socket.create_connection((urlsplit(running.url).hostname, urlsplit(running.url).port))
        client.sendall(b"GET /v2/ HTTP/1.1\r\nHost: lab\r\n\r\n")
        client.settimeout(0.1)
        with pytest.raises(TimeoutError):
            client.recv(1)
        client.settimeout(10)
    assert client.recv(1) == b""
    client.close()


def test_a_token_that_is_taken_back_in_the_middle_is_asked_for_again(images: tuple[LabImage, ...]) -> None:
    account = AuthRules(kind="bearer", username="me", password="planted")
    path, content = blob(images[0])
    expired = Fault(kind="expired_token", rate=0.5, on="blob")
    with registry(images, expired, auth=account) as running:
        seen = []
        for _ in range(12):
            document = running.state.access.token(
                "Basic bWU6cGxhbnRlZA==", {"scope": [f"repository:{images[0].repository}:pull"]}
            )
            assert document is not None
            answer = ask(running.url, path, Authorization=f"Bearer {document['token']}")
            seen.append(answer.status)
            if answer.status == 401:
                assert 'error="invalid_token"' in answer.headers["www-authenticate"]
            else:
                assert answer.body == content
        assert set(seen) == {200, 401}


def test_what_is_only_looked_at_is_not_spoilt(images: tuple[LabImage, ...]) -> None:
    with registry(images, always("server_error")) as running:
        assert ask(running.url, blob(images[0])[0], "HEAD").status == 200


def test_a_token_endpoint_can_fail_too(images: tuple[LabImage, ...]) -> None:
    account = AuthRules(kind="bearer", username="me", password="planted")
    with registry(images, always("server_error", "token"), auth=account) as running:
        assert ask(running.url, "/token", Authorization="Basic bWU6cGxhbnRlZA==").status == 503


def test_a_fault_of_layers_spares_the_config_and_is_counted(images: tuple[LabImage, ...]) -> None:
    image = images[0]
    document = json.loads(next(iter(image.manifests.values())))
    layer, config = document["layers"][0]["digest"], document["config"]["digest"]
    with registry(images, always("server_error", "layer")) as running:
        statuses = [ask(running.url, f"/v2/{image.repository}/blobs/{digest}").status for digest in (layer, config)]
        ask(running.url, f"/v2/{image.repository}/blobs/{layer}", "HEAD")
        counted = running.counters.as_dict()
    assert statuses == [503, 200]
    assert (counted["faults"], counted["layers"], counted["layer_bytes"]) == (1, 1, 0)
