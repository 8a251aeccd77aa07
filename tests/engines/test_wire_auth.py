"""Tokens: one exchange answers a 401, kept tokens are shared and renewed in time, and no secret goes elsewhere."""

import base64
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from pullbench.engines.base import PullOutcome, SystemClock
from pullbench.errors import ErrorCode, UsageError
from tests.engines.scripted_server import Handler, Incoming, ScriptedServer, answer
from tests.engines.test_wire_faults import without_waiting
from tests.engines.wire_bench import Bench, bench, setup

SECRET = "hunter2-" + "s" * 8
ENVIRON = {"EU_USERNAME": "alice", "EU_PASSWORD": SECRET}
BASIC = "Basic " + base64.b64encode(f"alice:{SECRET}".encode()).decode()


class TokenService:
    """Guards a server's paths: only the newest token opens them."""

    def __init__(self, b: Bench, *, expires_in: float = 300, service: ScriptedServer | None = None) -> None:
        self.issued = 0
        self.expires_in = expires_in
        self.asked: list[Incoming] = []
        self._server = b.server
        self.realm = f"{(service or b.server).url}/token"
        (service or b.server).on("/token", self.issue)
        for path, handlers in list(b.server._handlers.items()):
            if path != "/token":
                b.server.on(path, self.guarded(handlers[0]))

    def issue(self, incoming: Incoming) -> None:
        self.asked.append(incoming)
        self.issued += 1
        incoming.send(200, json.dumps({"token": f"t-{self.issued}", "expires_in": self.expires_in}).encode())

    def guarded(self, handler: Handler) -> Handler:
        def check(incoming: Incoming) -> None:
            if self.issued and incoming.headers.get("authorization") == f"Bearer t-{self.issued}":
                return handler(incoming)
            challenge = f'Bearer realm="{self.realm}",service="reg",scope="repository:team/app:pull"'
            return incoming.send(401, headers=[("WWW-Authenticate", challenge)])

        return check


class ShiftedClock(SystemClock):
    """A clock that a test can put forward."""

    ahead_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead_s


def rows(outcome: PullOutcome) -> list[tuple[str, int | None, ErrorCode | None]]:
    return [(row.kind, row.status, row.error_code) for row in outcome.transfers if row.kind == "token"]


def test_a_401_leads_to_one_token_exchange_that_has_rows_and_counts_as_auth_s() -> None:
    with bench(route={"credentials": "env:EU"}, environ=ENVIRON) as b:
        service = TokenService(b)
        outcome = b.pull()
        assert outcome.ok, outcome.error
        assert rows(outcome) == [("token", 401, None), ("token", 200, None)]
        spent_s = sum(row.total_s or 0 for row in outcome.transfers if row.kind == "token")
        assert (outcome.auth_s or 0) >= spent_s > 0
        (asked,) = service.asked
        assert asked.path == "/token?service=reg&scope=repository:team/app:pull"
        assert asked.headers["authorization"] == BASIC


def test_an_anonymous_pull_asks_for_a_token_without_credentials() -> None:
    with bench() as b:
        service = TokenService(b)
        assert b.pull().ok
        assert "authorization" not in service.asked[0].headers


def test_a_persisted_token_serves_all_pulls_of_a_trial_and_a_fresh_one_each_pull_of_per_pull() -> None:
    with bench() as b:
        service = TokenService(b)
        assert all(b.pull().ok for _ in range(3))
        assert service.issued == 1
        connections = b.server.connections
        for _ in range(3):
            outcome = b.engine.pull(replace(b.request, auth="per-pull"))
            assert outcome.ok and outcome.transfers[0].reused is False and len(rows(outcome)) == 2
        assert service.issued == 4
        assert b.server.connections >= connections + 3


def test_pulls_at_once_share_one_token_exchange() -> None:
    with bench(concurrency=6) as b:
        service = TokenService(b)
        outcomes: list[PullOutcome] = []
        workers = [threading.Thread(target=lambda: outcomes.append(b.pull())) for _ in range(6)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(20)
        assert [outcome.error for outcome in outcomes] == [None] * 6
        assert service.issued == 1


def test_a_token_is_renewed_before_it_ends_without_another_401() -> None:
    with bench() as b:
        service = TokenService(b, expires_in=300)
        clock = ShiftedClock()
        b.engine._clock = clock
        b.engine.open_trial(setup(b.request))
        assert b.pull().ok
        clock.ahead_s = 291
        outcome = b.engine.pull(b.request)
        assert outcome.ok, outcome.error
        assert rows(outcome) == [("token", 200, None)] and service.issued == 2


def test_a_token_refused_in_mid_pull_is_renewed_once() -> None:
    with bench(engine={"layer_concurrency": 1}) as b:
        service = TokenService(b)
        layer = b.image.layers[1]
        serve = service.guarded(answer(200, layer))

        def revoked(incoming: Incoming) -> None:
            service.issued += 1
            serve(incoming)

        b.server.on(b.image.blob_path(layer), revoked, serve)
        outcome = b.pull()
        assert outcome.ok, outcome.error
        assert [status for _, status, _ in rows(outcome)] == [401, 200, 401, 200]
        assert outcome.attempts == 1


def test_a_token_that_opens_nothing_is_unauthorized_after_one_exchange() -> None:
    with bench(retries=3) as b:
        service = TokenService(b)
        path = b.image.manifest_path(b.image.index)
        challenge = f'Bearer realm="{service.realm}"'
        b.server.on(path, answer(401, headers=[("WWW-Authenticate", challenge)]))
        outcome = b.pull()
        assert (outcome.error_code, service.issued, outcome.attempts) == (ErrorCode.UNAUTHORIZED, 1, 1)


@pytest.mark.parametrize(
    ("environ", "code"), [(ENVIRON, ErrorCode.FORBIDDEN), ({}, ErrorCode.UNAUTHORIZED)], ids=["known", "anonymous"]
)
def test_who_is_known_but_lacks_the_scope_is_forbidden(environ: dict[str, str], code: ErrorCode) -> None:
    with bench(route={"credentials": "env:EU" if environ else "anonymous"}, environ=environ) as b:
        service = TokenService(b)
        challenge = f'Bearer realm="{service.realm}",error="insufficient_scope"'
        b.server.on(b.image.manifest_path(b.image.index), answer(401, headers=[("WWW-Authenticate", challenge)]))
        assert b.pull().error_code is code


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (answer(401), ErrorCode.UNAUTHORIZED),
        (answer(403), ErrorCode.UNAUTHORIZED),
        (answer(500), ErrorCode.SERVER_ERROR),
        (answer(200, b"<html>"), ErrorCode.NOT_A_REGISTRY),
        (answer(200, b'{"token": "a\\nb"}'), ErrorCode.NOT_A_REGISTRY),
        (answer(200, b'{"token": "' + b"x" * 300_000 + b'"}'), ErrorCode.TOO_LARGE),
    ],
)
def test_a_token_service_that_fails_is_told_in_a_token_row(said: Handler, code: ErrorCode) -> None:
    with bench() as b:
        TokenService(b)
        b.server.on("/token", said)
        outcome = b.pull()
        assert outcome.error_code is code
        assert rows(outcome)[-1][2] is code
        assert "/token" in (outcome.error or "")


def test_a_token_service_that_recovers_is_asked_again_in_the_next_attempt() -> None:
    with bench(retries=1) as b:
        service = TokenService(b)
        b.server.on("/token", answer(503, headers=[("Retry-After", "1")]), service.issue)
        without_waiting(b, [])
        outcome = b.pull()
        assert outcome.ok and outcome.attempts == 2, outcome.error


def test_a_realm_that_cannot_be_asked_safely_is_never_asked() -> None:
    with bench(route={"credentials": "env:EU"}, environ=ENVIRON) as b:
        service = TokenService(b)
        service.realm = "ftp://127.0.0.1/token"
        outcome = b.pull()
        assert outcome.error_code is ErrorCode.NOT_A_REGISTRY and service.issued == 0


def test_basic_credentials_are_sent_after_the_challenge_and_then_kept() -> None:
    def guarded(handler: Handler) -> Handler:
        def check(incoming: Incoming) -> None:
            if incoming.headers.get("authorization") == BASIC:
                return handler(incoming)
            return incoming.send(401, headers=[("WWW-Authenticate", 'Basic realm="r"')])

        return check

    with bench(route={"credentials": "env:EU"}, environ=ENVIRON) as b:
        for path, handlers in list(b.server._handlers.items()):
            b.server.on(path, guarded(handlers[0]))
        assert b.pull().ok
        refused = [incoming for incoming in b.server.seen if "authorization" not in incoming.headers]
        assert len(refused) == 1
        seen = len(b.server.seen)
        assert b.pull().ok and all("authorization" in incoming.headers for incoming in b.server.seen[seen:])


@pytest.mark.parametrize("environ", [ENVIRON, {}], ids=["wrong password", "anonymous"])
def test_basic_that_is_refused_is_unauthorized_and_not_sent_over_and_over(environ: dict[str, str]) -> None:
    with bench(route={"credentials": "env:EU" if environ else "anonymous"}, environ=environ) as b:
        path = b.image.manifest_path(b.image.index)
        b.server.on(path, answer(401, headers=[("WWW-Authenticate", 'Basic realm="r"')]))
        outcome = b.pull()
        assert outcome.error_code is ErrorCode.UNAUTHORIZED
        assert len(b.server.seen) == (2 if environ else 1)
        again = b.pull()
        assert again.error_code is ErrorCode.UNAUTHORIZED


def test_credentials_that_cannot_be_read_are_told_before_the_trial() -> None:

    with bench(route={"credentials": "env:NOBODY"}, opened=False) as b, pytest.raises(UsageError, match="NOBODY"):
        b.engine.open_trial(setup(b.request))


@pytest.mark.promise("secrets", "The error of a `wire` pull contains no credentials")
def test_the_explanation_of_a_failure_keeps_secrets_out_of_an_outcome() -> None:
    with bench(route={"credentials": "env:EU", "headers": {"X-Key": SECRET}}, environ=ENVIRON) as b:
        TokenService(b)
        fine = b.pull()
        b.server.on("/token", answer(401, f"bad password {SECRET} or {BASIC}".encode()))
        b.engine.open_trial(setup(b.request))
        failed = b.pull()
        assert fine.ok and not failed.ok
        for outcome in (fine, failed):
            text = repr(outcome)
            assert SECRET not in text and BASIC.split()[1] not in text and "t-1" not in text
        assert "bad password (redacted) or Basic (redacted)" in (failed.error or "")


@pytest.mark.parametrize("padding", range(240, 330, 7))
def test_no_part_of_a_secret_is_left_where_a_text_is_cut(padding: int) -> None:
    with bench(route={"credentials": "env:EU"}, environ=ENVIRON) as b:
        TokenService(b)
        b.server.on("/token", answer(500, b"x" * padding + SECRET.encode()))
        assert "hunter" not in (b.pull().error or "")


@pytest.mark.parametrize("auth", ["persisted", "per-pull"])
@pytest.mark.parametrize("scheme", ["Basic", "Bearer"])
def test_a_wrong_password_is_sent_once_by_all_pulls_of_a_process(auth: str, scheme: str) -> None:
    with bench(route={"credentials": "env:EU"}, environ=ENVIRON, concurrency=8, auth=auth) as b:
        challenge = 'Basic realm="r"' if scheme == "Basic" else f'Bearer realm="{b.server.url}/token",service="s"'
        b.server.on(b.image.manifest_path(b.image.index), answer(401, headers=[("WWW-Authenticate", challenge)]))
        b.server.on("/token", answer(401, b"wrong"))
        for _ in range(2):
            with ThreadPoolExecutor(8) as pool:
                outcomes = list(pool.map(lambda _: b.pull(), range(8)))
            assert {outcome.error_code for outcome in outcomes} == {ErrorCode.UNAUTHORIZED}
            b.engine.open_trial(setup(b.request, 8))
        assert sum("authorization" in incoming.headers for incoming in b.server.seen) == 1


def test_concurrent_pulls_with_a_right_password_each_get_their_token() -> None:
    with bench(route={"credentials": "env:EU"}, environ=ENVIRON, concurrency=8, auth="per-pull") as b:
        b.server.on("/token", answer(200, json.dumps({"token": "t"}).encode()))
        for path, handlers in list(b.server._handlers.items()):
            if path != "/token":
                b.server.on(path, _guarded(handlers[0], f'Bearer realm="{b.server.url}/token"', "Bearer t"))
        with ThreadPoolExecutor(8) as pool:
            assert all(outcome.ok for outcome in pool.map(lambda _: b.pull(), range(8)))
        assert sum(incoming.path.startswith("/token") for incoming in b.server.seen) == 8


def _guarded(handler: Handler, challenge: str, value: str) -> Handler:
    def check(incoming: Incoming) -> None:
        if incoming.headers.get("authorization") == value:
            return handler(incoming)
        return incoming.send(401, headers=[("WWW-Authenticate", challenge)])

    return check
