"""What a registry's own counters say, read from its Prometheus page."""

import pytest

from pullbench.errors import ErrorCode, RegistryError
from pullbench.registry.answer import Answer
from pullbench.registry.products import distribution

PAGE = """# HELP registry_http_in_flight_requests The in-flight HTTP requests
registry_http_in_flight_requests{handler="base"} 1
registry_http_in_flight_requests{handler="blob"} 3
registry_http_response_size_bytes_sum{code="200",handler="blob",method="get"} 1.5e+06
registry_http_response_size_bytes_sum{code="206",handler="blob",method="get"} 500
registry_http_response_size_bytes_sum{code="200",handler="manifest",method="get"} 77
"""


def page(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    answer = Answer(method="GET", url="http://r/metrics", status=200, headers={}, body=text.encode())
    monkeypatch.setattr(distribution, "_page", lambda *_: answer)


def test_bytes_are_those_of_blobs_and_so_are_the_requests_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    page(monkeypatch, PAGE)
    assert distribution.served_blob_bytes("http://r/metrics") == 1_500_500
    assert distribution.blobs_under_way("http://r/metrics") == 3


def test_a_page_that_does_not_say_what_is_under_way_is_no_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    page(monkeypatch, '{"bytes": 12}')
    assert distribution.served_blob_bytes("http://r/lab/counters") == 12
    assert distribution.blobs_under_way("http://r/lab/counters") is None


def test_a_page_of_something_else_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    page(monkeypatch, "<html>")
    with pytest.raises(RegistryError) as told:
        distribution.served_blob_bytes("http://r/")
    assert told.value.code is ErrorCode.NOT_A_REGISTRY
