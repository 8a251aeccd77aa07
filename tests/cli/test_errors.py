"""`pullbench errors`: every code, kind and check is explained, offline, and a wrong name is one line."""

import re

import pytest

from pullbench.cli.errors import known_names
from pullbench.errors import ErrorCode
from pullbench.model.error_guide import GUIDES, address_of
from pullbench.preflight.check import COULD_NOT_RUN
from pullbench.preflight.checks import CHECKS
from tests.cli.test_cli import Shell, no_network, shell  # noqa: F401  (fixtures)

pytestmark = pytest.mark.usefixtures("no_network")
NAMES = {
    *ErrorCode,
    *(check.id for check in CHECKS),
    *(kind for check in CHECKS for kind in check.kinds),
    *COULD_NOT_RUN,
}


def test_the_names_are_all_codes_checks_and_kinds() -> None:
    assert set(known_names()) == NAMES


def test_without_a_name_all_are_listed(shell: Shell) -> None:  # noqa: F811
    code, out, err = shell("errors")
    assert (code, err) == (0, "")
    assert set(re.findall(r"[\w-]+", out)) >= NAMES


@pytest.mark.parametrize("code", ErrorCode, ids=str)
def test_a_code_has_its_meaning_its_causes_and_its_anchor(shell: Shell, code: ErrorCode) -> None:  # noqa: F811
    status, out, err = shell("errors", code)
    assert (status, err) == (0, "")
    for text in (GUIDES[code].meaning, *GUIDES[code].causes, address_of(code)):
        assert text in out


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_a_check_and_each_of_its_kinds_have_their_anchors(shell: Shell, check) -> None:  # noqa: F811
    status, out, err = shell("errors", check.id, *check.kinds)
    assert (status, err) == (0, "")
    anchors = re.findall(r"^Page +docs/checks\.md#(\S+)$", out, re.MULTILINE)
    assert anchors == [check.id, *check.kinds]
    assert "](" not in out, "a link of Markdown"
    assert all(kind.cause in out for kind in check.kinds.values())


@pytest.mark.parametrize("name", ["dns", "proxy"])
def test_a_name_of_a_code_and_a_check_explains_both(shell: Shell, name: str) -> None:  # noqa: F811
    _, out, _ = shell("errors", name)
    assert re.findall(r"^Page +(\S+)$", out, re.MULTILINE) == [f"docs/errors.md#{name}", f"docs/checks.md#{name}"]


def test_a_name_that_is_given_twice_is_explained_once(shell: Shell) -> None:  # noqa: F811
    assert shell("errors", "reset", "reset") == shell("errors", "reset")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("tls-untrusted", "did you mean 'tls_untrusted'?"),
        ("TIMEOUT", "did you mean 'timeout'?"),
        ("xyzzy", "lists all"),
    ],
)
def test_a_wrong_name_is_a_wrong_call(shell: Shell, name: str, hint: str) -> None:  # noqa: F811
    code, out, err = shell("errors", name)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert hint in err and name in err


def test_beside_wrong_names_the_known_ones_are_explained(shell: Shell) -> None:  # noqa: F811
    _, explained, _ = shell("errors", "docker-daemon-few-downloads", "reset")
    code, out, err = shell("errors", "docker-daemon-few-downloads", "xyzzy", "reset", "TIMEOUT")
    assert (code, out) == (2, explained)
    assert err.count("\n") == 1 and "'xyzzy'" in err and "'TIMEOUT'" in err
