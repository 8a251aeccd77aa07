"""Where a route's credentials may go, and what of the spec says so."""

from typing import Any

import pytest

from pullbench.model.plan import routes
from pullbench.model.route import Route
from pullbench.model.spec import read_spec

HERE, THERE = "http://127.0.0.1:5000", "http://10.0.0.7:5000"


@pytest.mark.parametrize(
    ("given", "may"),
    [
        ({"url": "https://harbor.example.com"}, True),
        ({"url": "https://harbor.example.com", "forward_url": "http://squid:3128"}, True),
        ({"url": HERE}, True),
        ({"url": "http://[::1]:5000"}, True),
        ({"url": "http://localhost"}, True),
        ({"url": HERE, "forward_url": "http://127.0.0.1:3128"}, True),
        ({"url": HERE, "forward_url": "http://squid:3128"}, False),
        ({"url": HERE, "forward_url": "https://squid:3128"}, False),
        ({"url": "http://localhost.example.com"}, False),
        ({"url": "http://127.0.0.1.example.com"}, False),
        ({"url": "http://harbor.example.com"}, False),
        ({"url": THERE}, False),
        ({"url": THERE, "sends_in_clear": True}, True),
    ],
)
@pytest.mark.promise("plain http", "A route sends credentials over plain HTTP to this machine only")
def test_may_send_keeps_credentials_off_plain_http_to_another_machine(given: dict[str, Any], may: bool) -> None:
    route = Route(registry="eu", **given)
    assert route.may_send(route.url) is may


@pytest.mark.parametrize(
    ("url", "allowed", "may"),
    [
        ("http://squid:3128", False, False),
        ("http://squid:3128", True, True),
        ("https://squid:3128", False, True),
        ("http://127.0.0.1:3128", False, True),
    ],
)
def test_may_send_forward_keeps_a_proxys_login_off_plain_http_to_another_machine(
    url: str, allowed: bool, may: bool
) -> None:
    route = Route(registry="eu", url="https://r.io", forward_url=url, forward_sends_in_clear=allowed)
    assert route.may_send_forward is may


def spec_with(registry: dict[str, Any], proxy: dict[str, Any]) -> Any:
    return read_spec(
        {
            "name": "clear",
            "registries": [{"name": "eu", "url": THERE, **registry}],
            "proxies": [{"name": "by", "url": "http://10.0.0.9:3128", **proxy}],
            "images": ["app:1"],
            "matrix": {"proxies": ["direct", "by"]},
        }
    )


def test_each_way_is_allowed_by_its_own_key() -> None:
    send = {"plain_http_credentials": "send"}
    forward = routes(spec_with(send, {"kind": "forward"}))
    assert {key: (way.sends_in_clear, way.forward_sends_in_clear) for key, way in forward.items()} == {
        ("eu", "direct"): (True, False),
        ("eu", "by"): (True, False),
    }
    login = routes(spec_with({}, {"kind": "forward", **send}))["eu", "by"]
    assert (login.sends_in_clear, login.forward_sends_in_clear) == (False, True)
    mirror = routes(spec_with({}, {"kind": "mirror", "upstream": "eu", **send}))
    assert (mirror["eu", "direct"].sends_in_clear, mirror["eu", "by"].sends_in_clear) == (False, True)


def test_whether_credentials_may_go_in_clear_is_no_part_of_the_hash() -> None:
    closed, opened = (spec_with({"plain_http_credentials": how}, {"kind": "forward"}) for how in ("refuse", "send"))
    assert closed.hash() == opened.hash()
