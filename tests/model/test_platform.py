"""Platforms are read, written and matched as registries and containerd do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pullbench.model.platform import Platform

PART = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,8}", fullmatch=True)
PLATFORMS = st.builds(Platform, os=PART, architecture=PART, variant=st.none() | PART)


def platform(text: str) -> Platform:
    return Platform.parse(text)


@given(PLATFORMS)
def test_what_is_written_is_read_again(any_platform: Platform) -> None:
    assert platform(str(any_platform)) == any_platform


@given(PLATFORMS)
def test_a_platform_serves_itself(any_platform: Platform) -> None:
    assert any_platform.accepts(any_platform)
    assert any_platform.equals(any_platform)


@pytest.mark.parametrize(
    "text", ["", "linux", "linux/", "/amd64", "linux/amd64/v2/x", "Linux/amd64", "linux/amd 64", "a//b"]
)
def test_what_is_no_platform_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a platform: .* such as linux/amd64"):
        platform(text)


@pytest.mark.parametrize(
    ("wanted", "offered", "serves"),
    [
        ("linux/amd64", "linux/amd64", True),
        ("linux/amd64", "linux/arm64", False),
        ("linux/amd64", "windows/amd64", False),
        ("linux/amd64", "linux/amd64/v1", True),
        ("linux/amd64", "linux/amd64/v2", False),
        ("linux/amd64", "linux/amd64/v3", False),
        ("linux/amd64/v3", "linux/amd64", True),
        ("linux/amd64/v3", "linux/amd64/v2", True),
        ("linux/amd64/v2", "linux/amd64/v3", False),
        ("linux/amd64", "linux/386", True),
        ("linux/386", "linux/amd64", False),
        ("linux/arm64", "linux/arm64/v8", True),
        ("linux/arm64/v8", "linux/arm64", True),
        ("linux/arm64/v9", "linux/arm64/v8.5", True),
        ("linux/arm64/v9", "linux/arm64/v8.6", False),
        ("linux/arm64/v8.1", "linux/arm64", True),
        ("linux/arm64", "linux/arm/v7", True),
        ("linux/arm/v7", "linux/arm64", False),
        ("linux/arm/v7", "linux/arm", True),
        ("linux/arm/v7", "linux/arm/v6", True),
        ("linux/arm/v6", "linux/arm/v7", False),
        ("linux/arm/v6", "linux/arm", False),
        ("linux/arm", "linux/arm/v6", True),
        ("linux/s390x", "linux/s390x", True),
    ],
)
def test_a_lower_variant_serves_a_higher_one_as_in_containerd(wanted: str, offered: str, serves: bool) -> None:
    assert platform(wanted).accepts(platform(offered)) is serves


@pytest.mark.parametrize(
    ("machine", "text"),
    [
        ("x86_64", "linux/amd64"),
        ("aarch64", "linux/arm64"),
        ("arm64", "linux/arm64"),
        ("armv7l", "linux/arm/v7"),
        ("i686", "linux/386"),
        ("s390x", "linux/s390x"),
        ("AMD64", "linux/amd64"),
    ],
)
def test_a_kernels_machine_name_gives_its_platform(machine: str, text: str) -> None:
    assert str(Platform.of_machine(machine)) == text


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("linux/x86_64", "linux/amd64"),
        ("linux/x86-64", "linux/amd64"),
        ("linux/amd64/v1", "linux/amd64"),
        ("linux/amd64/v2", "linux/amd64/v2"),
        ("linux/aarch64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm64/8", "linux/arm64"),
        ("linux/arm64/v9", "linux/arm64/v9"),
        ("linux/i386", "linux/386"),
        ("linux/armhf", "linux/arm/v7"),
        ("linux/armel", "linux/arm/v6"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/arm/7", "linux/arm/v7"),
        ("linux/arm/8", "linux/arm/v8"),
        ("macos/arm64", "darwin/arm64"),
        ("linux/riscv64", "linux/riscv64"),
    ],
)
def test_every_name_of_a_platform_is_the_same_one(text: str, normal: str) -> None:
    assert str(platform(text).normal()) == normal
    assert platform(text).equals(platform(normal))


@given(PLATFORMS)
def test_the_normal_form_is_its_own(any_platform: Platform) -> None:
    assert any_platform.normal().normal() == any_platform.normal()


def test_an_entry_without_an_os_is_for_linux() -> None:
    assert platform("linux/amd64").accepts(Platform(os="", architecture="amd64"))


@pytest.mark.parametrize(
    ("wanted", "config", "fits"),
    [
        ("linux/amd64", "linux/amd64", True),
        ("linux/amd64", "linux/amd64/v2", True),
        ("linux/amd64", "linux/x86_64", True),
        ("linux/amd64", "linux/s390x", False),
        ("linux/amd64", "linux/386", False),
        ("linux/arm/v7", "linux/arm", True),
        ("linux/arm/v6", "linux/arm", True),
        ("linux/arm/v6", "linux/arm/v7", False),
        ("linux/arm/v7", "linux/arm/v6", True),
    ],
)
def test_a_config_fits_unless_both_name_a_variant_that_differs(wanted: str, config: str, fits: bool) -> None:
    assert platform(wanted).accepts_unlisted(platform(config)) is fits
