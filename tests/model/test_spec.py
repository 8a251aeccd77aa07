"""A spec is read whole, or refused in one line that names the key path and says what would be right."""

from typing import Any

import pytest

from pullbench.errors import UsageError
from pullbench.model.spec import read_spec

MIRROR = {"name": "cache", "kind": "mirror", "url": "https://m.example.com", "upstream": "eu"}


def mapping(**changes: Any) -> dict[str, Any]:
    least = {"name": "a", "registries": [{"name": "eu", "url": "https://r.example.com"}], "images": ["app:1"]}
    return {**least, **changes}


def refusal(data: object) -> str:
    with pytest.raises(UsageError) as caught:
        read_spec(data)
    text = str(caught.value)
    assert "\n" not in text
    return text


def registry(**changes: Any) -> dict[str, Any]:
    return mapping(registries=[{"name": "eu", "url": "https://r.example.com", **changes}])


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://r.example.com", "https://r.example.com"),
        ("http://127.0.0.1:5000/", "http://127.0.0.1:5000"),
        ("https://[2001:db8::1]:5000", "https://[2001:db8::1]:5000"),
        ("http://my_registry:65535", "http://my_registry:65535"),
    ],
)
def test_a_url_is_scheme_host_and_port(url: str, kept: str) -> None:
    assert read_spec(registry(url=url)).registries[0].url == kept


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("r.example.com", "is no URL"),
        ("ftp://r.example.com", "is no URL"),
        ("https://", "is no URL"),
        ("https://r example.com", "is no URL"),
        ("https://[2001:db8::1", "is no URL"),
        ("https://r.example.com:", "is no URL"),
        ("https://r.example.com:port", "is no URL"),
        ("https://-r", "is no URL"),
        ("https://r.example.com/v2/", "has a path"),
        ("https://r.example.com?x=1", "has a path or a query"),
        ("https://r.example.com:0", "port outside"),
        ("https://r.example.com:65536", "port outside"),
    ],
)
def test_what_is_no_url_is_refused(url: str, told: str) -> None:
    text = refusal(registry(url=url))
    assert text.startswith("registries[0].url: ")
    assert told in text


@pytest.mark.parametrize(
    "url", ["https://user:hunter2@r.io", "user:hunter2@r.io", "hunter2@[", "http://u:hunter2@r.io:0"]
)
def test_credentials_in_a_url_are_refused_and_not_repeated(url: str) -> None:
    text = refusal(registry(url=url))
    assert "holds credentials" in text
    assert "hunter2" not in text
