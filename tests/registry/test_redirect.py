"""Where a request goes and what it takes along."""

import pytest

from pullbench.errors import ErrorCode
from pullbench.model.route import Route
from pullbench.registry.redirect import MAX_REDIRECTS, USER_AGENT, RedirectRefusedError, Redirects

HOME, AWAY = "https://r.io/v2/a", "https://s3.io/x"
ROUTE = Route(registry="eu", url="https://r.io", headers={"X-Key": "k", "AUTHORIZATION": "spec", "accept": "spec"})


def test_our_own_headers_go_home_and_replace_none_of_the_requests() -> None:
    found = Redirects("GET", HOME, ROUTE).headers({"Accept": "a"}, "Bearer t")
    assert found == {"User-Agent": USER_AGENT, "Accept": "a", "Authorization": "Bearer t", "X-Key": "k"}


def test_a_route_may_name_another_user_agent() -> None:
    route = Route(registry="eu", url="https://r.io", headers={"user-agent": "mirror-client"})
    assert Redirects("GET", HOME, route).headers({}, None) == {"user-agent": "mirror-client"}


def test_they_stay_behind_for_good_once_a_redirect_led_away() -> None:
    redirects = Redirects("GET", HOME, ROUTE)
    for location in (AWAY, HOME):
        assert redirects.follow(307, location)
        assert redirects.headers({}, "Bearer t") == {"User-Agent": USER_AGENT}
    assert (redirects.url, redirects.at_home) == (HOME, False)


def test_a_url_elsewhere_gets_the_authorization_that_was_meant_for_it_and_no_header_of_the_route() -> None:
    found = Redirects("GET", "https://auth.io/token", ROUTE).headers({}, "Basic x")
    assert found == {"User-Agent": USER_AGENT, "Authorization": "Basic x"}


@pytest.mark.parametrize(("status", "location"), [(200, AWAY), (304, AWAY), (300, AWAY), (307, None), (None, None)])
def test_what_is_no_redirect_leads_nowhere(status: int | None, location: str | None) -> None:
    redirects = Redirects("GET", HOME, ROUTE)
    assert not redirects.follow(status, location)
    assert redirects.url == HOME


@pytest.mark.parametrize(
    ("method", "location", "code"),
    [
        ("POST", AWAY, ErrorCode.NOT_A_REGISTRY),
        ("GET", "", ErrorCode.NOT_A_REGISTRY),
        ("GET", "https://u:p@s3.io/", ErrorCode.NOT_A_REGISTRY),
        ("GET", "http://r.io/v2/a", ErrorCode.PLAIN_HTTP),
    ],
)
def test_a_redirect_that_nobody_should_follow_is_refused(method: str, location: str, code: ErrorCode) -> None:
    redirects = Redirects(method, HOME, ROUTE)
    with pytest.raises(RedirectRefusedError) as refused:
        redirects.follow(302, location)
    assert (refused.value.code, redirects.url) == (code, HOME)


def test_redirects_end_after_ten() -> None:
    redirects = Redirects("GET", HOME, ROUTE)
    for _ in range(MAX_REDIRECTS):
        assert redirects.follow(302, HOME)
    with pytest.raises(RedirectRefusedError) as refused:
        redirects.follow(302, HOME)
    assert refused.value.code is ErrorCode.REDIRECT_LOOP
