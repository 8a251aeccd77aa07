"""The page of the factors says what the code can do."""

from pathlib import Path

import pytest

from pullbench.model.capability import CAPABILITIES
from pullbench.model.route import Route
from pullbench.model.spec import Matrix
from tools.factors_page import MEANINGS, factor_values, factors_page, refusal

PAGE = Path(__file__).parents[2] / "docs" / "factors.md"
NAMES = [name for _key, name in factor_values()]


def test_the_page_is_what_the_code_says() -> None:
    assert PAGE.read_text() == factors_page(), "python -m tools.factors_page > docs/factors.md"


def test_every_factor_of_the_matrix_has_its_rows() -> None:
    assert {key for key, _name in factor_values()} == set(Matrix.model_fields)
    assert MEANINGS.keys() == set(NAMES), "each value has its words, and no words are of a value that is gone"


@pytest.mark.parametrize("kind", CAPABILITIES)
def test_every_refusal_stands_on_the_page(kind: str) -> None:
    for name, reason in CAPABILITIES[kind].cannot.items():
        assert name in NAMES, f"{name} has no row"
        assert refusal(kind, name) is not None
        assert reason in factors_page()


@pytest.mark.parametrize("kind", CAPABILITIES)
def test_a_value_has_words_just_where_it_can_be_measured(kind: str) -> None:
    for name, meaning in MEANINGS.items():
        if refusal(kind, name) is None:
            assert meaning.of(kind), f"{name} with {kind}"
        else:
            assert kind not in meaning.own, f"{name} with {kind}: refused, and yet described"


@pytest.mark.parametrize(
    ("route", "value"),
    [
        (Route(registry="r", proxy="p", url="https://m.io", headers={"X-A": "1"}), "headers"),
        (
            Route(registry="r", proxy="p", url="http://127.0.0.1:5000", forward_url="http://squid:3128"),
            "forward-loopback",
        ),
    ],
)
def test_what_a_route_demands_more_is_refused_as_the_plan_refuses_it(route: Route, value: str) -> None:
    for kind, capability in CAPABILITIES.items():
        planned = [reason for demand in route.demands if (reason := capability.refusal("proxy", demand)) is not None]
        assert refusal(kind, f"proxy:{value}") == (planned[0] if planned else None)
