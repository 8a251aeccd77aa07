"""Gathering facts: failures are facts, and a registry that cannot be reached is asked once."""

import socket
import threading

import pytest

from pullbench.bench import facts
from pullbench.bench.facts import gather_facts
from pullbench.errors import ErrorCode
from pullbench.model.facts import EngineFacts, ImageFacts
from pullbench.model.spec import Spec
from pullbench.registry.keychain import Keychain
from tests.bench.samples import digest, make_spec


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def spec_at(port: int) -> Spec:
    registry = {"name": "eu", "url": f"http://127.0.0.1:{port}", "credentials": "anonymous"}
    return make_spec(registries=[registry], images=["a:1", "b:1", "c:1"])


def test_a_registry_that_cannot_be_reached_is_asked_once_and_every_image_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    real = facts.image_facts

    def counting(*arguments: object, **options: bool) -> ImageFacts:
        asked.append(str(arguments[2]))
        return real(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(facts, "image_facts", counting)
    found = gather_facts(spec_at(closed_port()), {}, keychain=Keychain(environ={}), brought=lambda _store: frozenset())
    assert asked == ["a:1"]
    assert [(key[1], image.image, image.error_code) for key, image in found.images.items()] == [
        (name, name, ErrorCode.CONNECT_REFUSED) for name in ("a:1", "b:1", "c:1")
    ]
    (why,) = {image.error for image in found.images.values()}
    assert "http://127.0.0.1:" in why and "/v2/" not in why, "it concerns no image"


def test_what_an_engine_of_the_matrix_pulls_first_is_asked_for_too() -> None:
    staged = {"kind": "wire", "strategy": "base-first"}
    engines = [
        {**staged, "name": "staged", "base_images": ["base:1", "a:1"]},
        {**staged, "name": "unused", "base_images": ["other:1"]},
    ]
    asked = make_spec(
        registries=[{"name": "eu", "url": f"http://127.0.0.1:{closed_port()}", "credentials": "anonymous"}],
        images=["a:1"],
        engines=engines,
        matrix={"engines": ["staged"]},
    )
    found = gather_facts(asked, {}, keychain=Keychain(environ={}), brought=lambda _store: frozenset())
    assert list(found.images) == [("eu", "a:1"), ("eu", "base:1")]


class Storing:
    """An engine whose store holds two images, of which a run brought one."""

    name, kind = "docker", "docker"

    def facts(self) -> EngineFacts:
        return EngineFacts(
            name=self.name, kind=self.kind, store_id="daemon-1", present=frozenset({digest("mine"), digest("ours")})
        )


def test_what_an_earlier_run_brought_does_not_count_as_present() -> None:
    found = gather_facts(
        spec_at(closed_port()),
        {"docker": Storing()},  # type: ignore[dict-item]
        keychain=Keychain(environ={}),
        brought=lambda store: frozenset({digest("ours")}) if store == "daemon-1" else frozenset(),
    )
    assert found.engines["docker"].present == {digest("mine")}


def test_one_bad_answer_is_asked_again_and_is_no_fact_about_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {"a:1": [ErrorCode.SERVER_ERROR, None], "b:1": [ErrorCode.NOT_FOUND], "c:1": [None]}

    def scripted(_client: object, registry: str, image: str, _platforms: object, **_options: bool) -> ImageFacts:
        return ImageFacts(registry=registry, image=image, error_code=answers[image].pop(0))

    monkeypatch.setattr(facts, "image_facts", scripted)
    found = gather_facts(spec_at(closed_port()), {}, keychain=Keychain(environ={}), brought=lambda _store: frozenset())
    assert [image.error_code for image in found.images.values()] == [None, ErrorCode.NOT_FOUND, None]
    assert answers == {"a:1": [], "b:1": [], "c:1": []}


def test_a_registry_that_falls_silent_twice_is_waited_for_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def silent(_client: object, registry: str, image: str, _platforms: object, **_options: bool) -> ImageFacts:
        asked.append(image)
        return ImageFacts(registry=registry, image=image, error_code=ErrorCode.STALLED)

    monkeypatch.setattr(facts, "image_facts", silent)
    found = gather_facts(spec_at(closed_port()), {}, keychain=Keychain(environ={}), brought=lambda _store: frozenset())
    assert asked == ["a:1", "b:1"]
    assert [image.error_code for image in found.images.values()] == [ErrorCode.STALLED] * 3


def test_one_silence_is_no_fact_about_the_other_images(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {"a:1": ErrorCode.STALLED, "b:1": None, "c:1": None}

    def scripted(_client: object, registry: str, image: str, _platforms: object, **_options: bool) -> ImageFacts:
        return ImageFacts(registry=registry, image=image, error_code=answers[image])

    monkeypatch.setattr(facts, "image_facts", scripted)
    found = gather_facts(spec_at(closed_port()), {}, keychain=Keychain(environ={}), brought=lambda _store: frozenset())
    assert [image.error_code for image in found.images.values()] == [ErrorCode.STALLED, None, None]


def test_a_registry_that_drips_its_answers_for_ever_ends_with_the_time_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    def endless(*_arguments: object, **_options: bool) -> ImageFacts:
        over.wait()
        raise AssertionError("nobody waits for this")

    monkeypatch.setattr(facts, "image_facts", endless)
    monkeypatch.setattr(facts, "REGISTRY_S", 0.05)
    found = gather_facts(spec_at(closed_port()), {}, keychain=Keychain(environ={}), brought=lambda _store: frozenset())
    over.set()
    assert [image.error_code for image in found.images.values()] == [ErrorCode.STALLED] * 3
    assert all("0.05 s" in (image.error or "") for image in found.images.values())
