"""References follow the grammar of the OCI distribution spec, without a host."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pullbench.model.reference import Reference, is_digest
from pullbench.model.route import Route

DIGEST = "sha256:" + "0a" * 32
COMPONENT = st.from_regex(r"[a-z0-9]{1,4}((\.|_|__|-{1,3})[a-z0-9]{1,4}){0,2}", fullmatch=True)
REPOSITORY = st.tuples(
    COMPONENT.filter(lambda part: "." not in part and part != "localhost"), st.lists(COMPONENT, max_size=2)
).map(lambda parts: "/".join([parts[0], *parts[1]]))
TAG = st.from_regex(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}", fullmatch=True)


@given(REPOSITORY, st.none() | TAG, st.none() | st.just(DIGEST))
def test_what_is_written_is_read_again(repository: str, tag: str | None, digest: str | None) -> None:
    if tag is None and digest is None:
        tag = "latest"
    reference = Reference(repository=repository, tag=tag, digest=digest)
    assert Reference.parse(str(reference)) == reference


@given(st.text(max_size=40))
def test_any_text_is_a_reference_or_a_value_error(text: str) -> None:
    try:
        reference = Reference.parse(text)
    except ValueError:
        return
    assert Reference.parse(str(reference)) == reference


def test_latest_is_meant_where_neither_tag_nor_digest_is_given() -> None:
    assert str(Reference.parse("library/nginx")) == "library/nginx:latest"
    assert Reference.parse(f"app@{DIGEST}").tag is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("docker.io/library/nginx", "names the host 'docker.io'"),
        ("localhost/app", "names the host 'localhost'"),
        ("registry:5000/app:1", "names the host 'registry:5000'"),
        ("127.0.0.1/app", "names the host"),
        ("https://r.io/app", "names the host"),
        ("App:1", "not a repository name"),
        ("a//b", "not a repository name"),
        ("/a", "not a repository name"),
        ("a/", "not a repository name"),
        ("a___b", "not a repository name"),
        ("", "not a repository name"),
        ("../etc", "names the host"),
        ("a/../b", "not a repository name"),
        ("a" * 256, "not a repository name"),
        ("app:", "without a tag"),
        ("app:.1", "is not a tag"),
        ("app:1:2", "is not a tag"),
        ("app:" + "t" * 129, "is not a tag"),
        ("app:1\n", "is not a tag"),
        ("app\n", "not a repository name"),
        ("app@", "without a digest"),
        ("app@sha256:0a", "is not a digest"),
        (f"app@{DIGEST.upper()}", "is not a digest"),
        (f"app@{DIGEST}@{DIGEST}", "is not a digest"),
        (f"app@{DIGEST}\n", "is not a digest"),
    ],
)
def test_what_is_no_reference_is_told(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Reference.parse(text)


def test_a_reference_names_a_tag_or_a_digest() -> None:
    with pytest.raises(ValueError, match="neither a tag nor a digest"):
        Reference(repository="app")


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        (DIGEST, True),
        ("sha512:" + "0" * 128, True),
        ("sha512:" + "0" * 64, False),
        ("md5:" + "0" * 32, False),
        ("0" * 64, False),
        (DIGEST + "0", False),
    ],
)
def test_a_digest_is_whole_or_none(text: str, whole: bool) -> None:
    assert is_digest(text) is whole


def test_a_pinned_reference_is_asked_for_by_its_digest() -> None:
    pinned = Reference.parse("app:1").pinned(DIGEST)
    assert (pinned.locator, str(pinned)) == (DIGEST, f"app:1@{DIGEST}")
    assert Reference.parse("app:1").locator == "1"


def test_a_route_says_where_a_repository_is_asked_for() -> None:
    direct = Route(registry="eu", url="http://127.0.0.1:5000")
    mirror = Route(
        registry="eu", proxy="cache", url="https://h.example.com", prefix="hub/proxy", headers={"X": "secret"}
    )
    reference = Reference.parse("library/app:1")
    assert (direct.host, direct.plain_http, direct.name) == ("127.0.0.1:5000", True, "eu")
    assert (mirror.host, mirror.plain_http, mirror.name) == ("h.example.com", False, "eu via cache")
    assert direct.repository(reference) == "library/app"
    assert mirror.repository(reference) == "hub/proxy/library/app"
    assert "secret" not in repr(mirror)
