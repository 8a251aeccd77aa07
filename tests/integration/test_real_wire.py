"""The wire engine with a real docker-registry: plain, over TLS with HTTP/2, and with a password."""

from collections.abc import Callable

import pytest

from pullbench.errors import ErrorCode
from tests.integration.conftest import PushImage, StartRegistry
from tests.integration.real_registry import RealRegistry
from tests.integration.wire_trial import SIZES, made_image, trial

pytestmark = [pytest.mark.integration, pytest.mark.real]


@pytest.mark.parametrize(
    ("tls", "offered", "spoken"), [(False, "1.1", "1.1"), (False, "2", "1.1"), (True, "1.1", "1.1"), (True, "2", "2")]
)
def test_every_byte_comes_over_every_version(
    docker_registry: StartRegistry,
    push_image: PushImage,
    fresh: Callable[[], str],
    tls: bool,
    offered: str,
    spoken: str,
) -> None:
    registry, repository, image = docker_registry(tls=tls), fresh(), made_image()
    push_image(registry, repository, "1", image)
    with trial(registry, repository, image, http_version=offered) as pull:
        first, second = pull(), pull()
    for outcome in (first, second):
        assert outcome.ok, outcome.error
        assert outcome.bytes == sum(SIZES) + len(image.blobs[0].content)
        assert (outcome.layers, outcome.layers_cached, outcome.attempts) == (len(SIZES), None, 1)
        assert {row.http_version for row in outcome.transfers} == {spoken}
        for row in outcome.transfers:
            parts = (row.dns_s, row.connect_s, row.tls_s, row.wait_s, row.transfer_s)
            assert None not in parts and sum(part or 0 for part in parts) <= (row.total_s or 0)
    assert bool(first.transfers[0].tls_s) == tls
    assert all(row.reused for row in second.transfers)


def test_the_right_password_pulls_and_a_wrong_one_is_unauthorized(
    docker_registry: StartRegistry, push_image: PushImage, fresh: Callable[[], str]
) -> None:
    registry, repository, image = docker_registry(htpasswd=True), fresh(), made_image()
    push_image(registry, repository, "1", image)
    with trial(registry, repository, image) as pull:
        outcome = pull()
        assert outcome.ok and (outcome.auth_s or 0) > 0, outcome.error
        assert pull().auth_s == 0.0
    with trial(registry, repository, image, password="wrong") as pull:
        assert pull().error_code is ErrorCode.UNAUTHORIZED


def test_what_is_not_there_is_not_found_in_the_registrys_own_words(
    plain_registry: RealRegistry, fresh: Callable[[], str]
) -> None:
    with trial(plain_registry, fresh(), made_image()) as pull:
        outcome = pull()
    assert outcome.error_code is ErrorCode.NOT_FOUND
    assert "404 MANIFEST_UNKNOWN: manifest unknown" in (outcome.error or "")
