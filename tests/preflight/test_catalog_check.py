"""catalog: read by Link to its end, without loop or loss."""

import json
from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from pullbench.errors import ErrorCode
from pullbench.model.finding import Finding, Status
from pullbench.preflight.check import ObservedFault, Target
from pullbench.preflight.checks import catalog
from pullbench.preflight.checks.catalog import MOST_PAGES, CatalogListing
from tests.preflight.content import Image, context_of, findings_of, holding, spec_over
from tests.preflight.contexts import ROUTE

NAMES = [f"team/app-{number:03}" for number in range(250)]


def judged(**fields: Any) -> Finding:
    (found,) = catalog.judge(
        CatalogListing(**{"page_sizes": (100, 50), "repositories": 150, "ended": True, **fields}), Target(route=ROUTE)
    )
    return found


class Pages:
    """A catalog over names, by `n` and `last`; `link` may change or drop what stands in the header."""

    def __init__(self, names: Sequence[str], **options: Any) -> None:
        self.names, self.options = list(names), options
        self.registry = holding("app", "1.0", Image())
        self.registry.handler = self.handle

    def handle(self, request: httpx.Request) -> httpx.Response:
        if not request.url.path.endswith("/_catalog"):
            return self.registry.serve(request)
        if "status" in self.options:
            return httpx.Response(self.options["status"])
        most = self.options.get("most", 1000)
        if int(request.url.params.get("n", most)) > most:
            return httpx.Response(400, json={"errors": [{"code": "PAGINATION_NUMBER_INVALID", "detail": {"n": 100}}]})
        size, last = int(request.url.params.get("n", most)), request.url.params.get("last", "")
        rest = [name for name in self.names if name > last]
        body = {"repositories": rest[:size]}
        more = len(rest) > size
        link = f'</v2/_catalog?n={size}&last={rest[size - 1]}>; rel="next"' if more else None
        link = self.options.get("link", lambda link: link)(link)
        return httpx.Response(200, headers={"Link": link} if link else {}, content=json.dumps(body).encode())

    @property
    def asked(self) -> int:
        return sum("_catalog" in line for line in self.registry.asked)

    def found(self) -> Finding:
        (found,) = findings_of(catalog.CHECK, context_of({"eu": self.registry}, spec_over("eu")))
        return found


def test_250_repositories_are_read_on_three_pages() -> None:
    pages = Pages(["app", *NAMES[:249]])
    found = pages.found()
    assert (found.status, found.observed) == (Status.PASS, "250 repositories on 3 pages")
    assert pages.asked == 3


def test_a_list_that_ends_with_a_full_page_is_complete_if_nothing_is_behind_it() -> None:
    pages = Pages(["app", *NAMES[:99]])
    assert pages.found().observed == "100 repositories on 1 page"
    assert pages.asked == 2


@pytest.mark.parametrize(
    ("most", "observed", "asked"),
    [
        (50, "250 repositories on 5 pages", 7),
        (99, "250 repositories on 5 pages", 7),
        (20, "250 repositories on 13 pages", 15),
        (100, "250 repositories on 3 pages", 3),
    ],
)
def test_a_page_size_that_is_refused_is_made_smaller(most: int, observed: str, asked: int) -> None:
    pages = Pages(["app", *NAMES[:249]], most=most)
    found = pages.found()
    assert (found.status, found.observed) == (Status.PASS, observed)
    assert pages.asked == asked


@pytest.mark.parametrize(
    "link", ['/v2/_catalog?n=100; rel="next"', "<https://[bad>; rel=next", "</v2/_catalog?n=100>; rel"]
)
def test_a_malformed_link_is_a_warning(link: str) -> None:
    found = Pages(["app", *NAMES], link=lambda _: link).found()
    assert (found.status, "such as team/app-099" in found.observed) == (Status.WARN, True)


def test_a_link_that_was_lost_on_the_way_is_a_warning_with_a_name_that_nobody_sees() -> None:
    found = Pages(["app", *NAMES], link=lambda link: None).found()
    assert found.status is Status.WARN
    assert "such as team/app-099" in found.observed
    assert "Link header" in found.remedy


def test_a_link_that_loops_is_a_warning_after_bounded_requests() -> None:
    pages = Pages(NAMES, link=lambda link: '</v2/_catalog?n=100>; rel="next"')
    found = pages.found()
    assert (found.status, found.observed[:16]) == (Status.WARN, "[not_a_registry]")
    assert "leads back" in found.observed
    assert pages.asked == 1


def test_a_list_without_end_is_left_after_its_bound() -> None:
    pages = Pages(["app", *NAMES])
    counter = iter(range(10**6))
    pages.options["link"] = lambda link: f'</v2/_catalog?n=100&last=a&page={next(counter)}>; rel="next"'
    found = pages.found()
    assert pages.asked == MOST_PAGES
    assert (found.status, "more than once" in found.observed) == (Status.WARN, True)


@pytest.mark.parametrize("status", [401, 403, 404, 405])
def test_a_registry_that_does_not_offer_it_is_skipped_with_what_it_said(status: int) -> None:
    found = Pages([], status=status).found()
    assert found.status is Status.SKIP
    assert str(status) in found.observed


def test_a_catalog_that_does_not_answer_is_a_warning() -> None:
    assert Pages([], status=503).found().status is Status.WARN


def test_pages_that_break_off_are_a_warning() -> None:
    fault = ObservedFault(code=ErrorCode.SERVER_ERROR, text="GET x: 500", status=500)
    found = judged(ended=False, fault=fault)
    assert (found.status, found.code) == (Status.WARN, ErrorCode.SERVER_ERROR)
    assert "150 repositories on 2 pages" in found.observed


def test_a_refusal_in_the_middle_is_no_skip() -> None:
    fault = ObservedFault(code=ErrorCode.UNAUTHORIZED, text="GET x: 401", status=401)
    assert judged(ended=False, fault=fault).status is Status.WARN


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"repeated": ("a", "b", "c", "d")}, "a, b, c and 1 more"),
        ({"unsorted_at": "a"}, "'a'"),
        ({"unlisted": ("app",)}, ": app"),
    ],
)
def test_names_that_are_not_as_they_should_be_are_a_warning(fields: dict[str, Any], says: str) -> None:
    found = judged(**fields)
    assert found.status is Status.WARN
    assert says in found.observed
    assert ROUTE.host in found.remedy


def test_a_repository_of_the_spec_that_a_whole_catalog_lacks_is_a_warning() -> None:
    found = Pages(NAMES[:5]).found()
    assert (found.status, found.observed.endswith(": app")) == (Status.WARN, True)


def test_a_large_catalog_that_was_not_read_to_its_end_says_so() -> None:
    found = judged(ended=False)
    assert (found.status, "20 pages" in found.observed) == (Status.PASS, True)


def test_what_is_no_list_is_a_warning() -> None:
    pages = Pages([])
    pages.registry.handler = lambda request: httpx.Response(200, content=b"<html>")
    assert pages.found().status is Status.WARN
