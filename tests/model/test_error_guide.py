"""Every error code has a meaning, causes and remedies, and the servers that it can come from are those of the remedies."""

import pytest

from pullbench.errors import REMEDIES_BY, ErrorCode, Responder
from pullbench.model.error_guide import GUIDES, RESPONDERS, address_of, comes_from, remedies

every_code = pytest.mark.parametrize("code", ErrorCode, ids=str)


def test_every_code_has_a_guide_and_no_guide_is_of_no_code() -> None:
    assert set(GUIDES) == set(ErrorCode)
    assert set(RESPONDERS) == set(Responder)


@every_code
def test_nothing_about_a_code_is_empty(code: ErrorCode) -> None:
    guide = GUIDES[code]
    assert guide.meaning.endswith(".") and len(guide.meaning.split()) > 3
    assert guide.causes and all(cause.strip() and "\n" not in cause for cause in guide.causes)
    assert comes_from(code)
    assert all(text.strip() and "\n" not in text for _, text in remedies(code))


@every_code
def test_a_code_can_come_from_every_server_that_has_a_remedy_of_its_own_for_it(code: ErrorCode) -> None:
    own = {by for by, texts in REMEDIES_BY.items() if code in texts}
    assert own <= set(GUIDES[code].comes_from)


@every_code
def test_the_first_remedy_is_for_every_case_and_no_case_is_there_twice(code: ErrorCode) -> None:
    cases = [case for case, _ in remedies(code)]
    assert cases[0] == "" and all(cases[1:]) and len(set(cases)) == len(cases)


def test_every_remedy_of_a_server_is_there_as_a_case() -> None:
    for by, texts in REMEDIES_BY.items():
        for code in texts:
            assert len(remedies(code)) > 1, (by, code)


@every_code
def test_a_remedy_has_the_names_of_a_template_and_no_placeholder(code: ErrorCode) -> None:
    assert not [text for _, text in remedies(code) if "<host>" in text or ":443" in text]


def test_the_address_of_a_code_is_an_anchor_with_its_name() -> None:
    assert address_of(ErrorCode.TLS_UNTRUSTED) == "docs/errors.md#tls_untrusted"
