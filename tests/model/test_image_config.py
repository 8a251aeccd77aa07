"""What an image's config says, and that a stranger's config says nothing wrong."""

import json
from datetime import UTC, datetime

import pytest

from pullbench.model.image_config import ImageConfig, parse_image_config, parse_instant
from pullbench.model.platform import Platform

DIFF_ID = "sha256:" + "a" * 64
DEBIAN = "/bin/sh -c #(nop) ADD file:{} in / "


def config_with(**fields: object) -> ImageConfig:
    return parse_image_config(json.dumps({"os": "linux", "architecture": "arm64", **fields}).encode())


def test_platform_creation_and_layers_are_read() -> None:
    found = config_with(variant="v8", created="2026-11-20T10:11:12.123456789Z", rootfs={"diff_ids": [DIFF_ID]})
    assert found.platform == Platform(os="linux", architecture="arm64", variant="v8")
    assert found.created == datetime(2026, 11, 20, 10, 11, 12, tzinfo=UTC)
    assert found.diff_ids == (DIFF_ID,)


def test_two_builds_of_one_base_have_the_same_first_step() -> None:
    builds = [
        config_with(
            history=[
                {"created_by": DEBIAN.format(digit * 64)},
                {"created_by": '/bin/sh -c #(nop)  CMD ["bash"]', "empty_layer": True},
                {"created_by": f"ENV OWN={digit}", "empty_layer": True},
                {"created_by": "RUN make"},
            ]
        )
        for digit in "12"
    ]
    assert builds[0].base_steps == builds[1].base_steps
    assert builds[0].base_steps == '/bin/sh -c #(nop) ADD file:… in / | /bin/sh -c #(nop)  CMD ["bash"]'
    stamped = [f"# debian.sh --arch 'amd64' out/ 'bookworm' '@{time}'" for time in (1731888000, 1734652800)]
    assert {config_with(history=[{"created_by": step}]).base_steps for step in stamped} == {
        "# debian.sh --arch 'amd64' out/ 'bookworm' '…'"
    }


def test_a_layer_that_could_be_any_tells_no_base() -> None:
    for step in (DEBIAN.format("1" * 64), "COPY /out / # buildkit", ""):
        assert config_with(history=[{"created_by": step}]).base_steps == ""
    assert config_with(history=[{"created_by": "ADD alpine-minirootfs-3.20.3-x86_64.tar.gz / # buildkit"}]).base_steps


@pytest.mark.parametrize(
    "content", [b"", b"[1]", b"<html>", b'{"os": 1, "rootfs": [], "history": {"a": 1}}', b"[" * 99999]
)
def test_what_is_no_config_states_nothing(content: bytes) -> None:
    assert parse_image_config(content) == ImageConfig()


@pytest.mark.parametrize("text", [None, 7, "yesterday", "0001-01-01T00:00:00Z", "2026-99-01T00:00:00Z", "9" * 50])
def test_an_instant_that_is_none_is_not_known(text: object) -> None:
    assert parse_instant(text) is None


def test_an_instant_of_another_zone_is_told_in_utc() -> None:
    assert parse_instant("2026-01-01T01:30:00+02:00") == datetime(2025, 12, 31, 23, 30, tzinfo=UTC)


def test_diff_ids_that_are_no_digests_are_not_believed() -> None:
    assert config_with(rootfs={"diff_ids": [DIFF_ID, "latest"]}).diff_ids == ()
