import threading
from dataclasses import replace
from typing import Any, NoReturn

import pytest

from pullbench.errors import ErrorCode, RegistryError, UsageError
from pullbench.model.addresses import connected_endpoint
from pullbench.model.facts import Facts
from pullbench.model.finding import Finding, Status, findings_document
from pullbench.model.plan import plan
from pullbench.model.route import Route
from pullbench.preflight.check import (
    Check,
    Local,
    ObservedFault,
    Room,
    Target,
    every_image,
    every_platform,
    every_route,
    failed,
    passed,
)
from pullbench.preflight.checks import CHECKS
from pullbench.preflight.context import CheckContext
from pullbench.preflight.runner import preflight, run_checks, select
from pullbench.registry.keychain import Keychain
from tests.preflight.contexts import context_over, spec_of
from tests.registry.fake_registry import SECRET, FakeRegistry
from tests.registry.sockets import answering, closed_port, listening

TWO_WAYS: dict[str, Any] = {
    "registries": [{"name": "eu", "url": "https://eu.example"}, {"name": "us", "url": "https://us.example"}],
    "images": ["b:1", "a:1"],
    "matrix": {"platforms": ["linux/arm64", "linux/amd64"]},
}


def check_of(name: str, **options: Any) -> Check[Any, Any]:
    """A check that passes, unless `fails` names a part of its target's name."""
    fails = options.pop("fails", None)

    def judge(_evidence: object, target: Target) -> list[Finding]:
        if fails is not None and fails in target.name:
            return [failed(name, target, ObservedFault(code=ErrorCode.DNS, text="no"), "yes", "mend it")]
        return [passed(name, target, "yes", "yes")]

    page = {"room": Room.NETWORK, "looks_at": "", "statuses": {}, "advice": ""}
    options = {**page, "targets": every_route, "probe": lambda context, target: None, "judge": judge, **options}
    return Check(id=name, **options)


def run(*checks: Check[Any, Any], **changes: Any) -> list[Finding]:
    with context_over(FakeRegistry(), spec_of(**{**TWO_WAYS, **changes})) as context:
        return run_checks(checks, context)


def of_limit(name: str, room: Room = Room.CONTENT, **options: Any) -> Check[Any, Any]:
    def judge(_evidence: object, target: Target) -> list[Finding]:
        return [failed(name, target, ObservedFault(code=ErrorCode.RATE_LIMITED, text="429"), "yes", "wait")]

    return check_of(name, room=room, judge=judge, **options)


def test_a_rate_limit_is_told_once_for_each_route_as_a_warning_and_stops_no_other_check() -> None:
    found = run(
        of_limit("image", targets=every_image),
        of_limit("platform", targets=every_platform, needs=frozenset({"image"})),
        check_of("other", targets=every_image, needs=frozenset({"image"})),
    )
    for route in ("eu", "us"):
        mine = [each for each in found if each.target.split(" ")[0] == route]
        limited = [each.status for each in mine if each.check != "other"]
        assert (limited.count(Status.WARN), limited.count(Status.SKIP)) == (1, len(limited) - 1)
        assert {each.status for each in mine if each.check == "other"} == {Status.PASS}


@pytest.mark.parametrize("room", [Room.NETWORK, Room.ACCESS])
def test_a_limit_that_lets_nothing_through_stays_a_failure(room: Room) -> None:
    found = run(of_limit("api", room), check_of("image", targets=every_image, needs=frozenset({"api"})))
    assert {each.status for each in found if each.check == "api"} == {Status.FAIL}
    assert {each.status for each in found if each.check == "image"} == {Status.SKIP}


def shown(findings: list[Finding]) -> list[tuple[str, str, str]]:
    return [(finding.check, finding.target, finding.status.value) for finding in findings]


def test_findings_stand_in_the_specs_order_by_target_then_by_check() -> None:
    found = run(
        check_of("api"),
        check_of("image", targets=every_image, needs=frozenset({"api"})),
        check_of("platform", targets=every_platform, needs=frozenset({"image"})),
        check_of("late"),
    )
    assert [(finding.check, finding.target) for finding in found[:8]] == [
        ("api", "eu"),
        ("late", "eu"),
        ("image", "eu b:1"),
        ("platform", "eu b:1 linux/arm64"),
        ("platform", "eu b:1 linux/amd64"),
        ("image", "eu a:1"),
        ("platform", "eu a:1 linux/arm64"),
        ("platform", "eu a:1 linux/amd64"),
    ]
    assert [finding.target.partition(" ")[0] for finding in found] == ["eu"] * 8 + ["us"] * 8


def test_what_needs_a_failed_check_is_skipped_for_that_target_with_the_first_failure_as_reason() -> None:
    found = run(
        check_of("dns", fails="us"),
        check_of("tcp", needs=frozenset({"dns"})),
        check_of("image", targets=every_image, needs=frozenset({"tcp"})),
        check_of("other"),
        images=["a:1"],
    )
    assert shown(found) == [
        ("dns", "eu", "pass"),
        ("tcp", "eu", "pass"),
        ("other", "eu", "pass"),
        ("image", "eu a:1", "pass"),
        ("dns", "us", "fail"),
        ("tcp", "us", "skip"),
        ("other", "us", "pass"),
        ("image", "us a:1", "skip"),
    ]
    reasons = {finding.observed for finding in found if finding.status is Status.SKIP}
    assert len(reasons) == 1 and all("dns failed" in reason and reason.endswith(" us") for reason in reasons)


def test_one_images_failure_holds_up_only_its_own_platforms() -> None:
    found = run(
        check_of("image", targets=every_image, fails="eu b:1"),
        check_of("platform", targets=every_platform, needs=frozenset({"image"})),
    )
    skipped = [finding.target for finding in found if finding.status is Status.SKIP]
    assert skipped == ["eu b:1 linux/arm64", "eu b:1 linux/amd64"]


def test_a_check_that_breaks_is_an_error_and_the_others_and_those_that_need_it_go_on() -> None:
    def probe(_context: CheckContext, target: Target) -> None:
        raise ZeroDivisionError(f"for {target.name}\x1b")

    found = run(check_of("broken", probe=probe), check_of("next", needs=frozenset({"broken"})))
    assert shown(found)[:2] == [("broken", "eu", "error"), ("next", "eu", "pass")]
    assert found[0].observed.endswith("ZeroDivisionError: for eu")
    assert "--skip broken" in found[0].remedy


def test_a_registry_error_that_a_probe_lets_through_is_an_error_with_its_code_and_remedy() -> None:
    def probe(_context: CheckContext, _target: Target) -> None:
        raise RegistryError(ErrorCode.SERVER_ERROR, "GET https://eu.example/x", "503")

    found = run(check_of("quota", probe=probe))[0]
    assert (found.status, found.observed) == (Status.ERROR, "[server_error] GET https://eu.example/x: 503")
    assert "eu.example" in found.remedy


def test_a_check_that_breaks_over_its_targets_or_its_skips_is_an_error_and_the_others_go_on() -> None:
    def broken(_: object) -> NoReturn:
        raise ZeroDivisionError("no")

    found = run(check_of("lists", targets=broken), check_of("skips", skips=broken), check_of("next"))
    by_check = {finding.check: finding for finding in found}
    assert [by_check[name].status.value for name in ("lists", "skips", "next")] == ["error", "error", "pass"]
    assert by_check["lists"].target == "this machine"
    assert by_check["lists"].observed.endswith("ZeroDivisionError: no")


def test_a_slow_check_of_one_target_holds_up_no_other_target() -> None:
    us_done = threading.Event()

    def slow(_context: CheckContext, target: Target) -> bool:
        return target.name != "eu" or us_done.wait(20)

    def last(_context: CheckContext, target: Target) -> None:
        if target.name == "us b:1":
            us_done.set()

    checks = [
        check_of("slow", probe=slow),
        check_of("tcp", needs=frozenset({"slow"})),
        check_of("image", targets=every_image, needs=frozenset({"tcp"}), probe=last),
    ]
    assert {finding.status for finding in run(*checks)} == {Status.PASS}
    assert us_done.is_set()


def test_what_needs_more_than_one_check_waits_for_all_of_them() -> None:
    ended: list[str] = []

    def note(name: str) -> Any:
        return lambda context, target: ended.append(f"{name} {target.name}")

    run(
        check_of("last", needs=frozenset({"one", "two"}), probe=note("last")),
        check_of("one", probe=note("one")),
        check_of("two", needs=frozenset({"one"}), probe=note("two")),
    )
    for route in ("eu", "us"):
        assert [line for line in ended if line.endswith(route)] == [f"one {route}", f"two {route}", f"last {route}"]


def test_a_check_that_does_not_end_is_an_error_after_its_time() -> None:
    over = threading.Event()
    found = run(check_of("hangs", probe=lambda context, target: over.wait(30), timeout_s=0.05), check_of("next"))
    over.set()
    assert shown(found)[:2] == [("hangs", "eu", "error"), ("next", "eu", "pass")]
    assert found[0].observed.endswith("0.05 s")
    assert "--only hangs" in found[0].remedy


def test_independent_targets_are_checked_side_by_side() -> None:
    both = threading.Barrier(2)
    found = run(check_of("meets", probe=lambda context, target: both.wait(10)))
    assert [finding.status for finding in found] == [Status.PASS, Status.PASS]


def test_what_does_not_apply_is_skipped_with_its_reason_and_holds_nobody_up() -> None:
    found = run(check_of("tls", skips=lambda target: "no TLS here"), check_of("api", needs=frozenset({"tls"})))
    assert [(finding.status, finding.observed) for finding in found[:2]] == [
        (Status.SKIP, "no TLS here"),
        (Status.PASS, "yes"),
    ]


def test_what_is_no_registry_comes_first_and_its_failure_holds_up_only_itself() -> None:
    here = Local(name="this machine")
    found = run(
        check_of("api", needs=frozenset({"disk"})),
        check_of("disk", targets=lambda context: [here], fails="this"),
        check_of("clean", targets=lambda context: [here], needs=frozenset({"disk"})),
    )
    assert shown(found) == [
        ("disk", "this machine", "fail"),
        ("clean", "this machine", "skip"),
        ("api", "eu", "pass"),
        ("api", "us", "pass"),
    ]


def test_findings_of_one_local_target_stand_together_and_those_over_all_routes_stand_last() -> None:
    daemons = [Local(name="daemon a"), Local(name="daemon b")]
    found = run(
        check_of("tags", room=Room.CONTENT, targets=lambda context: [Local(name="a:1 everywhere")]),
        check_of("daemon", room=Room.CLIENT, targets=lambda context: daemons),
        check_of("cache", room=Room.CLIENT, targets=lambda context: daemons),
        check_of("api"),
    )
    assert [(finding.check, finding.target) for finding in found] == [
        ("daemon", "daemon a"),
        ("cache", "daemon a"),
        ("daemon", "daemon b"),
        ("cache", "daemon b"),
        ("api", "eu"),
        ("api", "us"),
        ("tags", "a:1 everywhere"),
    ]


def test_a_finding_has_the_time_that_its_check_took() -> None:
    found = run(check_of("a"), check_of("b", skips=lambda target: "no"))
    assert found[0].duration_s > 0
    assert found[1].duration_s == 0


def test_checks_that_need_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="in a circle: a, b"):
        run(check_of("a", needs=frozenset({"b"})), check_of("b", needs=frozenset({"a"})))


def test_a_need_that_was_not_chosen_holds_nobody_up() -> None:
    assert run(check_of("image", needs=frozenset({"api"})))[0].status is Status.PASS


CHOICE = [
    check_of("dns", room=Room.NETWORK),
    check_of("tls", room=Room.NETWORK),
    check_of("auth", room=Room.ACCESS),
    check_of("image", room=Room.CONTENT),
]


@pytest.mark.parametrize(
    ("only", "skip", "expected"),
    [
        (set(), set(), ["dns", "tls", "auth", "image"]),
        ({"tls", "dns"}, set(), ["dns", "tls"]),
        (set(), {"tls", "image"}, ["dns", "auth"]),
        ({"tls", "dns"}, {"dns"}, ["tls"]),
        ({"network"}, {"dns"}, ["tls"]),
        ({"access", "image"}, set(), ["auth", "image"]),
        (set(), {"network"}, ["auth", "image"]),
    ],
)
def test_checks_are_chosen_by_id_and_by_room(only: set[str], skip: set[str], expected: list[str]) -> None:
    assert [check.id for check in select(CHOICE, only=frozenset(only), skip=frozenset(skip))] == expected


@pytest.mark.parametrize("option", ["only", "skip"])
def test_an_unknown_check_is_refused_with_those_that_there_are(option: str) -> None:
    ids = {"only": frozenset[str](), "skip": frozenset[str](), option: frozenset({"plattform"})}
    with pytest.raises(UsageError) as caught:
        preflight(spec_of(), None, Keychain(environ={}), **ids)
    assert str(caught.value).startswith(f"{option}: 'plattform' ")
    assert "'platform'?" in str(caught.value)


def test_no_check_left_is_refused() -> None:
    with pytest.raises(UsageError, match="skip: no check"):
        select(CHOICE, only=frozenset({"dns"}), skip=frozenset({"network"}))


def test_every_check_has_its_own_id_and_needs_checks_that_there_are() -> None:
    ids = [check.id for check in CHECKS]
    assert len(set(ids)) == len(ids)
    assert all(check.needs <= set(ids) for check in CHECKS)
    assert not {room.value for room in Room} & set(ids), "--only takes both"


def test_a_registry_that_is_down_fails_once_and_the_rest_is_skipped() -> None:
    found = preflight(spec_of(f"http://127.0.0.1:{closed_port()}"), None, Keychain(environ={}))
    of_route = [finding for finding in found if finding.target.startswith("eu")]
    assert [finding.check for finding in of_route if finding.status is Status.FAIL] == ["tcp"]
    skipped = {finding.check for finding in of_route if finding.status is Status.SKIP}
    assert skipped >= {"tls", "api", "auth", "image", "platform"}
    refused = next(finding for finding in of_route if finding.check == "tcp")
    assert refused.observed.startswith("[connect_refused]")


def test_a_captive_portal_is_no_registry() -> None:
    head = "HTTP/1.1 200 OK\nContent-Type: text/html\nContent-Length: 6\nConnection: close"
    with listening(answering(head, b"<html>")) as port:
        found = preflight(spec_of(f"http://127.0.0.1:{port}"), None, Keychain(environ={}))
    by_check = {finding.check: finding for finding in found}
    assert by_check["api"].observed.startswith("[not_a_registry]")
    assert "api failed" in by_check["image"].observed


def test_a_plan_limits_the_checks_to_the_ways_that_it_takes() -> None:
    spec = spec_of(**TWO_WAYS)
    made = plan(spec, Facts(host_platform="linux/amd64", offline=True))
    one_way = replace(made, cells=tuple(cell for cell in made.cells if cell.registry == "us"))

    found = preflight(spec, None, Keychain(environ={}), plan=one_way, only=frozenset({"dns"}))

    assert {finding.target for finding in found} == {"us"}


def test_the_document_has_the_worst_status_and_every_field() -> None:
    document = findings_document(run(check_of("dns", fails="us")))
    assert document["status"] == "fail"
    assert set(document["findings"][0]) == {
        "check",
        "target",
        "status",
        "observed",
        "expected",
        "remedy",
        "duration_s",
        "evidence",
        "code",
        "parameters",
        "kind",
    }


def test_an_ipv6_endpoint_is_shown_in_brackets() -> None:
    assert str(connected_endpoint(Route(registry="eu", url="http://[::1]:5000"))) == "[::1]:5000"
    assert connected_endpoint(Route(registry="eu", url="https://r.example")).port == 443


def test_a_password_that_a_registry_echoes_is_in_no_finding() -> None:
    def probe(context: CheckContext, target: Target) -> str:
        context.keychain.credentials("env:CI", target.route.host)
        return f"you sent {SECRET}"

    def judge(evidence: str, target: Target) -> list[Finding]:
        return [failed("echo", target, evidence, evidence, evidence, kind="echo-heard")]

    found = run(check_of("echo", probe=probe, judge=judge))
    assert SECRET not in repr(found)
    assert found[0].observed == "you sent (redacted)"
