"""A finding carries its error code, and what the code is about, as data."""

import inspect
import re
from functools import partial
from typing import Any

import pytest

from pullbench.errors import ErrorCode, RegistryError, Responder
from pullbench.model.finding import Finding, Status
from pullbench.model.route import Route
from pullbench.preflight.check import Check, Local, ObservedFault, Target, errored, failed, passed, skipped, warned
from pullbench.preflight.checks import CHECKS
from tests.preflight.contexts import ROUTE

REFUSED = ObservedFault(code=ErrorCode.CONNECT_REFUSED, text="connect: no")
BY_PROXY = Route(registry="eu", proxy="squid", url="https://r.example", forward_url="http://squid:3128")


def of_target(fault: ObservedFault, target: Target | Local) -> Finding:
    return failed("x", target, fault, "expected", "remedy")


def test_a_failure_has_the_code_of_its_fault_and_says_so_in_its_text() -> None:
    found = of_target(REFUSED, Target(route=ROUTE))
    assert (found.status, found.code) == (Status.FAIL, ErrorCode.CONNECT_REFUSED)
    assert found.observed.startswith("[connect_refused] ")


def test_a_check_that_could_not_run_has_the_code_of_what_stopped_it() -> None:
    error = RegistryError(ErrorCode.SERVER_ERROR, "GET x", "503", status=503)
    found = errored("x", Target(route=ROUTE), ObservedFault.of(error), "remedy")
    assert (found.status, found.code, found.parameters["status"]) == (Status.ERROR, ErrorCode.SERVER_ERROR, "503")


def test_a_fault_tells_who_answered_where_that_is_known() -> None:
    error = RegistryError(
        ErrorCode.SERVER_ERROR, "GET x", "503", answered_by=Responder.TOKEN_SERVICE, host="auth.example:443"
    )
    found = of_target(ObservedFault.of(error), Target(route=ROUTE)).parameters
    assert (found["answered_by"], found["answered_at"]) == ("token_service", "auth.example:443")


def test_a_warning_in_words_of_its_own_has_the_code_of_its_cause() -> None:
    words = "one of two is down"
    found = warned("x", Target(route=ROUTE), words, "expected", "remedy", cause=REFUSED)
    assert (found.observed, found.code) == (words, ErrorCode.CONNECT_REFUSED)


def test_what_comes_from_no_error_has_no_code_and_no_parameters() -> None:
    target = Target(route=ROUTE)
    findings = [
        passed("x", target, "[reset] as a registry may write", "e"),
        warned("x", target, "slow", "e", "r", kind="x-slow"),
        failed("x", target, "[reset] as a registry may write", "e", "r", kind="x-text"),
        skipped("x", target, "no"),
    ]
    assert [(found.code, found.parameters) for found in findings] == [(None, {})] * 4
    assert [found.kind for found in findings] == [None, "x-slow", "x-text", None]
    assert [found.topic for found in findings] == [None, "x-slow", "x-text", None]


def test_a_problem_has_an_error_code_or_a_kind() -> None:
    target = Target(route=ROUTE)
    for made in (partial(warned, "x", target, "slow", "e", "r"), partial(failed, "x", target, "slow", "e", "r")):
        with pytest.raises(ValueError, match="kind"):
            made()
    with pytest.raises(ValueError, match="kind"):
        errored("x", target, "slow", "r")


def test_the_code_of_a_fault_is_its_topic_and_it_has_no_kind() -> None:
    fault = ObservedFault(code=ErrorCode.RESET, text="reset")
    found = [
        failed("x", Target(route=ROUTE), fault, "e", "r", kind="x-slow"),
        warned("x", Target(route=ROUTE), "slow", "e", "r", cause=fault),
    ]
    assert [(each.topic, each.kind) for each in found] == [("reset", None)] * 2


def test_the_parameters_name_the_target() -> None:
    target = Target(route=ROUTE, image="team/app:1.0", platform="linux/arm64")
    fault = ObservedFault(code=ErrorCode.PLATFORM_MISSING, text="x", status=404)
    assert of_target(fault, target).parameters == {
        "registry": "eu",
        "proxy": "direct",
        "url": ROUTE.url,
        "host": ROUTE.host,
        "endpoint": f"{ROUTE.host}:443",
        "address": ROUTE.host,
        "repository": "team/app",
        "image": "team/app:1.0",
        "platform": "linux/arm64",
        "status": "404",
    }


@pytest.mark.parametrize(
    ("code", "endpoint"), [(ErrorCode.CONNECT_REFUSED, "squid:3128"), (ErrorCode.TLS_EXPIRED, "r.example:443")]
)
def test_a_failed_connection_is_about_the_forward_proxy_and_other_faults_are_not(
    code: ErrorCode, endpoint: str
) -> None:
    found = of_target(ObservedFault(code=code, text="x"), Target(route=BY_PROXY))
    assert (found.parameters["endpoint"], found.parameters["host"]) == (endpoint, "r.example")


def test_what_a_fault_knows_itself_goes_before_what_the_target_says() -> None:
    fault = ObservedFault(code=ErrorCode.UNREACHABLE, text="x", parameters={"address": "192.0.2.1"})
    assert of_target(fault, Target(route=ROUTE)).parameters["address"] == "192.0.2.1"
    disk = ObservedFault(code=ErrorCode.DISK_FULL, text="x", parameters={"path": "/var"})
    assert of_target(disk, Local(name="working directory")).parameters == {"path": "/var"}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_no_check_writes_a_code_into_a_text_by_hand(check: Check[Any, Any]) -> None:
    module = inspect.getmodule(check.judge)
    assert module is not None
    codes = "|".join(ErrorCode)
    assert not re.search(rf"\"\[(?:\{{ErrorCode|(?:{codes})\])", inspect.getsource(module))
