"""The control plane and the wire engine understand a registry alike: each case runs through both."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from pullbench.engines.base import SystemClock
from pullbench.errors import ErrorCode, RegistryError, Responder
from pullbench.registry.client import RegistryClient
from pullbench.registry.keychain import Keychain
from tests.engines.scripted_server import Handler, Incoming, answer
from tests.engines.test_wire_routes import another_server, to
from tests.engines.wire_bench import Bench, bench, setup

ENVIRON = {"EU_USERNAME": "alice", "EU_PASSWORD": "hunter2-hunter2"}
BASIC = "Basic " + base64.b64encode(b"alice:hunter2-hunter2").decode()
KNOWN = {"credentials": "env:EU"}
ECR = "Your authorization token has expired. Reauthenticate and try again."


@dataclass
class Told:
    """What a plane says of a failure; `answered_by` is not in a pull's outcome."""

    code: ErrorCode | None
    error: str | None
    answered_by: Responder | None = None


def by_control_plane(b: Bench) -> Told:
    with RegistryClient(b.request.route, Keychain(environ=ENVIRON)) as client:
        try:
            client.manifest(b.request.reference)
        except RegistryError as error:
            return Told(error.code, f"{error.where}: {error.detail}", error.answered_by)
    return Told(None, None)


def by_wire(b: Bench) -> Told:
    outcome = b.pull()
    return Told(outcome.error_code, outcome.error)


PLANES = {"control plane": by_control_plane, "wire": by_wire}
plane = pytest.mark.parametrize("ask", PLANES.values(), ids=PLANES)
Ask = Callable[[Bench], Told]


def problem(code: str, message: str = "") -> bytes:
    return json.dumps({"errors": [{"code": code, "message": message}]}).encode()


def refused(b: Bench, handler: Handler) -> None:
    b.server.on(b.image.manifest_path(b.image.index), handler)


def bearer(b: Bench, more: str = "") -> list[tuple[str, str]]:
    return [("WWW-Authenticate", f'Bearer realm="{b.server.url}/token"{more}')]


REFUSALS: dict[str, tuple[int, bytes, list[tuple[str, str]], ErrorCode, Responder]] = {
    "a proxy's 403": (403, b"", [("X-Squid-Error", "ERR_ACCESS_DENIED 0")], ErrorCode.PROXY, Responder.PROXY),
    "a proxy's 503": (503, b"", [("Proxy-Status", "edge; error=connection_refused")], ErrorCode.PROXY, Responder.PROXY),
    "a 503 that a proxy passed on": (
        *(503, b"", [("Proxy-Status", "edge; received-status=503")]),
        *(ErrorCode.SERVER_ERROR, Responder.REGISTRY),
    ),
    "a proxy's 407": (407, b"", [], ErrorCode.PROXY, Responder.PROXY),
    "ECR's expired token": (403, problem("DENIED", ECR), [], ErrorCode.UNAUTHORIZED, Responder.REGISTRY),
    "ECR's expired token as 400": (400, problem("DENIED", ECR), [], ErrorCode.UNAUTHORIZED, Responder.REGISTRY),
    "a name that is none": (400, problem("NAME_INVALID"), [], ErrorCode.NOT_FOUND, Responder.REGISTRY),
    "a plain 400": (400, b"", [], ErrorCode.SERVER_ERROR, Responder.REGISTRY),
    "a plain 403": (403, problem("DENIED", "no"), [], ErrorCode.FORBIDDEN, Responder.REGISTRY),
    "an https port": (
        *(400, b"Client sent an HTTP request to an HTTPS server.\n", []),
        *(ErrorCode.NOT_A_REGISTRY, Responder.REGISTRY),
    ),
    "a page": (502, b"<html>" * 100, [("Content-Type", "text/html")], ErrorCode.SERVER_ERROR, Responder.IN_FRONT),
    "a page that blocks": (403, b"<html>", [("Content-Type", "text/html")], ErrorCode.FORBIDDEN, Responder.BOX_BETWEEN),
    "a rate limit as 403": (403, problem("TOOMANYREQUESTS"), [], ErrorCode.RATE_LIMITED, Responder.REGISTRY),
    "too many": (429, problem("X", "\x1b[31m\n"), [("Retry-After", "7")], ErrorCode.RATE_LIMITED, Responder.REGISTRY),
    "a redirect to nowhere": (301, b"", [], ErrorCode.NOT_A_REGISTRY, Responder.REGISTRY),
    "a redirect to a login": (
        *(302, b"", [("Location", "https://user:pw@evil.example/")]),
        *(ErrorCode.NOT_A_REGISTRY, Responder.REGISTRY),
    ),
}


@pytest.mark.parametrize(("status", "body", "headers", "code", "by"), REFUSALS.values(), ids=REFUSALS)
def test_both_planes_give_a_refusal_the_same_code_and_words(
    status: int, body: bytes, headers: list[tuple[str, str]], code: ErrorCode, by: Responder
) -> None:
    with bench() as b:
        refused(b, answer(status, body, headers=headers))
        control, wire = by_control_plane(b), by_wire(b)
    assert (control.code, wire.code, control.answered_by) == (code, code, by)
    assert control.error == wire.error


@plane
@pytest.mark.parametrize(
    ("who", "body", "more", "code"),
    [
        (KNOWN, problem("DENIED"), "", ErrorCode.FORBIDDEN),
        (KNOWN, b"", ',error="insufficient_scope"', ErrorCode.FORBIDDEN),
        (KNOWN, problem("UNAUTHORIZED"), "", ErrorCode.UNAUTHORIZED),
        ({}, problem("DENIED"), "", ErrorCode.UNAUTHORIZED),
    ],
    ids=["known and denied", "known without the scope", "unknown password", "anonymous"],
)
def test_a_401_that_denies_who_is_known_is_forbidden(
    ask: Ask, who: dict[str, str], body: bytes, more: str, code: ErrorCode
) -> None:
    with bench(route=who, environ=ENVIRON) as b:
        b.server.on("/token", answer(200, b'{"token": "t"}'))
        refused(b, answer(401, body, headers=bearer(b, more)))
        assert ask(b).code is code
        assert [path.partition("?")[0] for path in b.server.paths()].count("/token") == 1


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (answer(400), ErrorCode.UNAUTHORIZED),
        (answer(401), ErrorCode.UNAUTHORIZED),
        (answer(403, problem("DENIED", "denied")), ErrorCode.UNAUTHORIZED),
        (answer(403, headers=[("X-Squid-Error", "ERR_ACCESS_DENIED 0")]), ErrorCode.PROXY),
        (answer(429, headers=[("Retry-After", "1")]), ErrorCode.RATE_LIMITED),
        (answer(503), ErrorCode.SERVER_ERROR),
        (answer(307, headers=[("Location", "/elsewhere")]), ErrorCode.NOT_FOUND),
        (answer(200, b"no token"), ErrorCode.NOT_A_REGISTRY),
    ],
)
def test_both_planes_say_the_same_of_a_token_service_that_fails(said: Handler, code: ErrorCode) -> None:
    with bench(route=KNOWN, environ=ENVIRON) as b:
        b.server.on("/token", said)
        refused(b, answer(401, headers=bearer(b)))
        control, wire = by_control_plane(b), by_wire(b)
    assert (control.code, wire.code) == (code, code)
    assert control.error == wire.error


@plane
def test_a_redirect_that_comes_back_gets_neither_authorization_nor_the_routes_headers(ask: Ask) -> None:
    route = {**KNOWN, "headers": {"X-Key": "of-the-mirror"}}
    seen: list[dict[str, str]] = []

    def only_for_alice(incoming: Incoming) -> None:
        if incoming.headers.get("authorization") != BASIC:
            return incoming.send(401, headers=[("WWW-Authenticate", "Basic")])
        return incoming.send(307, headers=[("Location", f"{other.url}/away")])

    def back(incoming: Incoming) -> None:
        seen.append(incoming.headers)
        incoming.send(401, headers=[("WWW-Authenticate", "Basic")])

    with another_server() as other, bench(route=route, environ=ENVIRON) as b:
        other.on("/away", to(f"{b.server.url}/back"))
        refused(b, only_for_alice)
        b.server.on("/back", back)
        assert ask(b).code is ErrorCode.UNAUTHORIZED
        away = [incoming.headers for incoming in other.seen]
    assert len(seen) == len(away) == 1, "a challenge at the end of a foreign redirect is not answered"
    assert [headers.keys() & {"authorization", "x-key"} for headers in (*seen, *away)] == [set(), set()]


@plane
def test_a_redirect_within_the_registry_keeps_both(ask: Ask) -> None:
    with bench(route={**KNOWN, "headers": {"X-Key": "of-the-mirror"}}, environ=ENVIRON) as b:
        seen: list[dict[str, str]] = []

        def inner(incoming: Incoming) -> None:
            seen.append(incoming.headers)
            incoming.send(404)

        def outer(incoming: Incoming) -> None:
            if "authorization" not in incoming.headers:
                return incoming.send(401, headers=[("WWW-Authenticate", "Basic")])
            return incoming.send(307, headers=[("Location", "/inner")])

        refused(b, outer)
        b.server.on("/inner", inner)
        assert ask(b).code is ErrorCode.NOT_FOUND
    assert [(headers.get("authorization"), headers.get("x-key")) for headers in seen] == [(BASIC, "of-the-mirror")]


def test_a_storages_refusal_is_told_by_its_code_alone() -> None:
    body = b"<Error><Code>SignatureDoesNotMatch</Code><Message>sig=planted-signature</Message></Error>"
    with another_server() as storage, bench() as b:
        storage.on("/x", answer(403, body, headers=[("Content-Type", "application/xml")]))
        refused(b, to(f"{storage.url}/x?sig=planted-signature"))
        control, wire = by_control_plane(b), by_wire(b)
    assert (control.code, control.answered_by) == (ErrorCode.FORBIDDEN, Responder.REDIRECT)
    assert control.error == wire.error and wire.code is control.code
    assert "403 SignatureDoesNotMatch" in (wire.error or "") and "planted" not in (wire.error or "")


@plane
def test_redirects_end(ask: Ask) -> None:
    with bench() as b:
        path = b.image.manifest_path(b.image.index)
        b.server.on(path, to(path))
        assert ask(b).code is ErrorCode.REDIRECT_LOOP
        assert len(b.server.seen) == 11


@plane
def test_no_error_repeats_what_the_route_sends(ask: Ask) -> None:
    with bench(route={**KNOWN, "headers": {"X-Key": "of-the-mirror"}}, environ=ENVIRON) as b:
        echo = f"you sent {BASIC} hunter2-hunter2 of-the-mirror".encode()
        challenge = [("WWW-Authenticate", "Basic")]
        refused(b, lambda one: one.send(403 if "authorization" in one.headers else 401, echo, headers=challenge))
        told = ask(b)
    assert told.code is ErrorCode.FORBIDDEN and "(redacted)" in (told.error or "")
    assert not [secret for secret in ("hunter2", BASIC[6:], "of-the-mirror") if secret in (told.error or "")]


@pytest.mark.parametrize(("age_s", "exchanges"), [(289.0, 1), (291.0, 2)])
def test_both_planes_renew_a_token_as_long_before_its_end(age_s: float, exchanges: int) -> None:
    class Ahead(SystemClock):
        ahead_s = 0.0

        def monotonic(self) -> float:
            return super().monotonic() + self.ahead_s

    clock = Ahead()

    def guarded(handler: Handler) -> Handler:
        def check(incoming: Incoming) -> None:
            if incoming.headers.get("authorization") == "Bearer t":
                return handler(incoming)
            return incoming.send(401, headers=bearer(b))

        return check

    with bench() as b:
        for path, handlers in list(b.server._handlers.items()):
            b.server.on(path, guarded(handlers[0]))
        b.server.on("/token", answer(200, b'{"token": "t", "expires_in": 300}'))
        b.engine._clock = clock
        b.engine.open_trial(setup(b.request))
        with RegistryClient(b.request.route, Keychain(environ={}), monotonic=clock.monotonic) as client:
            for call in (lambda: client.manifest(b.request.reference), b.pull):
                before = len(b.server.seen)
                clock.ahead_s = 0.0
                call()
                clock.ahead_s = age_s
                call()
                asked = [one.path.partition("?")[0] for one in b.server.seen[before:]]
                assert asked.count("/token") == exchanges


@plane
def test_a_token_that_the_registry_refuses_is_named_by_both(ask: Ask) -> None:
    with bench(route=KNOWN, environ=ENVIRON) as b:
        b.server.on("/token", answer(200, b'{"token": "t0ken"}'))
        refused(b, answer(401, headers=bearer(b, ',error="invalid_token"')))
        told = ask(b)
        assert told.code is ErrorCode.UNAUTHORIZED
        assert "the password was accepted, the registry refuses the token" in (told.error or "")


@plane
def test_basic_before_a_registry_with_tokens_is_named_by_both(ask: Ask) -> None:
    def front(incoming: Incoming) -> None:
        known = incoming.headers.get("authorization") == BASIC
        incoming.send(401, headers=bearer(b) if known else [("WWW-Authenticate", 'Basic realm="front"')])

    with bench(route=KNOWN, environ=ENVIRON) as b:
        refused(b, front)
        told = ask(b)
        assert told.code is ErrorCode.UNAUTHORIZED
        assert "no client does both" in (told.error or "")


@plane
@pytest.mark.parametrize("basic_first", [True, False])
def test_with_basic_and_bearer_both_send_the_password_to_the_registry(ask: Ask, basic_first: bool) -> None:
    with bench(route=KNOWN, environ=ENVIRON) as b:
        b.server.on("/token", answer(500))
        for path, handlers in list(b.server._handlers.items()):
            if path != "/token":
                b.server.on(
                    path, _behind(handlers[0], [("WWW-Authenticate", 'Basic realm="r"'), *bearer(b)], basic_first)
                )
        assert ask(b).code is None


def _behind(handler: Handler, challenges: list[tuple[str, str]], as_given: bool) -> Handler:
    def check(incoming: Incoming) -> None:
        if incoming.headers.get("authorization") == BASIC:
            return handler(incoming)
        return incoming.send(401, headers=challenges if as_given else challenges[::-1])

    return check


@pytest.mark.parametrize(("path", "code"), [("index", ErrorCode.SERVER_ERROR), ("manifest", ErrorCode.RATE_LIMITED)])
def test_wire_takes_the_503_page_of_nginx_for_a_limit_only_behind_an_answer_of_the_registry(
    path: str, code: ErrorCode
) -> None:
    page = b"<html><title>503 Service Temporarily Unavailable</title><center>nginx</center></html>"
    with bench() as b:
        at = b.image.manifest_path(b.image.index) if path == "index" else b.image.manifest_path(b.image.manifest)
        b.server.on(at, answer(503, page, headers=[("Content-Type", "text/html")]))
        assert by_wire(b).code is code
