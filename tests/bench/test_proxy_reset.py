"""The command that empties a mirror: what it is given, how it may fail, and what is told of it."""

from typing import Any

import pytest

from pullbench.bench.proxy_cache import reset_proxy
from pullbench.engines.base import SystemClock
from pullbench.errors import IncompleteError
from pullbench.model.cold_cache import ColdCache

ENVIRON = {"PATH": "/usr/bin:/bin", "CACHE_TOKEN": "swordfish"}


def reset(*arguments: str, **changes: Any) -> None:
    cold = ColdCache.model_validate({"reset": list(arguments), **changes})
    reset_proxy("cache", cold, environ=ENVIRON, clock=SystemClock())


def failure(*arguments: str, **changes: Any) -> str:
    with pytest.raises(IncompleteError) as failed:
        reset(*arguments, **changes)
    return str(failed.value)


def test_a_command_that_ends_well_is_enough_and_has_the_environment() -> None:
    reset("sh", "-c", 'test "$CACHE_TOKEN" = swordfish')


def test_arguments_are_no_shell_text() -> None:
    reset("test", "$HOME; exit 1", "=", "$HOME; exit 1")


def test_a_failure_says_what_where_and_what_next() -> None:
    said = failure("sh", "-c", "echo begun; echo the admin API is away >&2; exit 7")
    assert said.startswith("proxies 'cache' ") and "(sh)" in said
    assert "7: the admin API" in said
    assert "--resume" in said


@pytest.mark.parametrize(
    "secret",
    [
        "http://admin:hunter22@cache/",
        "admin:hunter22@cache",
        "Authorization: Bearer hunter22",
        "api_key=hunter22",
        "https://cache/purge?X-Signature=hunter22",
    ],
)
def test_what_it_wrote_is_told_without_secrets(secret: str) -> None:
    said = failure("sh", "-c", "echo denied: $0, $CACHE_TOKEN; exit 1", secret)
    assert "denied: " in said
    assert "hunter22" not in said and "swordfish" not in said


def test_what_it_wrote_is_one_bounded_line_of_its_end() -> None:
    said = failure("sh", "-c", "seq 1 5000; printf '\\033[31mlast'; exit 1")
    assert "[31mlast; " in said
    assert len(said) < 500 and "\n" not in said and "\033" not in said


def test_one_that_does_not_end_is_ended() -> None:
    assert "`timeout_s`" in failure("sleep", "60", timeout_s=0.2)


def test_one_that_is_not_there_is_named() -> None:
    assert "(no-such-program)" in failure("no-such-program")
