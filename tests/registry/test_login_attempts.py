"""How often a password is sent, where to, and what the answers are called."""

import json
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from pullbench.errors import ErrorCode, RegistryError, Responder
from pullbench.model.reference import Reference
from pullbench.registry.attempts import LoginError
from pullbench.registry.auth import Credentials, basic_header
from pullbench.registry.client import RegistryClient, image_facts
from pullbench.registry.keychain import Keychain
from pullbench.registry.login import REFUSAL_KEPT_S
from tests.registry.fake_registry import SECRET, URL, FakeRegistry, config_blob, manifest_of, with_basic
from tests.registry.tokens import jwt

IMAGES = [f"app{number}:1.0" for number in range(20)]
REALM = "https://auth.example.com/token"
WRONG = {"CI_USERNAME": "ann", "CI_PASSWORD": "wr0ng-pa55", "OTHER_USERNAME": "bob", "OTHER_PASSWORD": "wr0ng-t00"}
IDENTITY = {"CI_TOKEN": "refr3sh-t0ken"}
RIGHT = {"CI_USERNAME": "ann", "CI_PASSWORD": SECRET}
ANN = basic_header(Credentials(username="ann", password=SECRET))


class Tokens:
    """A registry behind a token service that takes ann's password, and counts the logins by Authorization value."""

    def __init__(self, registry: FakeRegistry) -> None:
        self.registry = registry
        self.logins = Counter[str]()
        self.scopes: list[str] = []
        self.refuse: Callable[[httpx.Request], httpx.Response | None] = lambda _request: None
        """The token service's own refusal, before it looks at the password."""
        self.scope_at_v2 = ""
        self.says = ""
        """What the registry adds to its challenge if it refuses a token; empty if it takes each."""
        self.refuses_tokens = False

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.host == "auth.example.com":
            return self.token(request)
        if not request.headers.get("Authorization", "").startswith("Bearer ") or self.refuses_tokens:
            scope = f',scope="{self.scope_at_v2}"' if self.scope_at_v2 and request.url.path == "/v2/" else ""
            challenge = f'Bearer realm="{REALM}",service="registry"{scope}{self.says}'
            return httpx.Response(401, headers={"WWW-Authenticate": challenge})
        return self.registry.serve(request)

    def token(self, request: httpx.Request) -> httpx.Response:
        login = request.headers.get("Authorization") or request.content.decode()
        self.logins[login] += 1
        self.scopes.append(" ".join(request.url.params.get_list("scope")))
        if (refused := self.refuse(request)) is not None:
            return refused
        if login != ANN:
            return httpx.Response(401, json={"details": "incorrect username or password"})
        names = [scope.split(":")[1] for scope in request.url.params.get_list("scope")]
        access = [{"type": "repository", "name": name, "actions": ["pull"]} for name in names]
        return httpx.Response(200, json={"token": jwt({"access": access})})


@pytest.fixture
def registry() -> FakeRegistry:
    fake, config = FakeRegistry(), config_blob()
    for image in IMAGES:
        fake.put_manifest(image.partition(":")[0], "1.0", manifest_of(config))
        fake.put_blob(image.partition(":")[0], config)
    return fake


@pytest.fixture
def tokens(registry: FakeRegistry) -> Tokens:
    registry.handler = made = Tokens(registry)
    return made


def codes(client: RegistryClient) -> Counter[str]:
    """How the images of a plan end."""
    found = [image_facts(client, "eu", image, ["linux/amd64"]) for image in IMAGES]
    return Counter(str(one.error_code) for one in found)


def fault_of(call: Callable[[], object]) -> RegistryError:
    with pytest.raises(RegistryError) as caught:
        call()
    return caught.value


def test_a_wrong_password_is_sent_once_for_twenty_images_and_every_client(
    registry: FakeRegistry, tokens: Tokens
) -> None:
    keychain = Keychain(environ=WRONG)
    for _ in range(2):
        with registry.client("env:CI", keychain=keychain) as client:
            assert codes(client) == {"unauthorized": len(IMAGES)}
            assert fault_of(client.ping).code is ErrorCode.UNAUTHORIZED
    assert list(tokens.logins.values()) == [1]


def test_a_wrong_password_is_sent_once_by_concurrent_checks(registry: FakeRegistry, tokens: Tokens) -> None:
    keychain = Keychain(environ=WRONG)
    one, other = (registry.client("env:CI", keychain=keychain) for _ in range(2))
    with one, other, ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda image: image_facts(one, "eu", image, []).error_code, IMAGES * 3))
        found += list(pool.map(lambda _: fault_of(other.ping).code, range(16)))
    assert set(found) == {ErrorCode.UNAUTHORIZED}
    assert list(tokens.logins.values()) == [1]


def test_a_wrong_password_for_basic_is_sent_once_by_concurrent_checks(registry: FakeRegistry) -> None:
    registry.handler = with_basic(registry, ANN)
    keychain = Keychain(environ=WRONG)
    with registry.client("env:CI", keychain=keychain) as one, registry.client("env:CI", keychain=keychain) as other:
        with ThreadPoolExecutor(16) as pool:
            found = list(pool.map(lambda image: image_facts(one, "eu", image, []).error_code, IMAGES * 3))
        assert codes(other) == {"unauthorized": len(IMAGES)}
    assert set(found) == {ErrorCode.UNAUTHORIZED}
    assert sum(value is not None for value in registry.authorizations) == 1


def test_a_right_password_for_basic_is_sent_with_each_request_from_then_on(registry: FakeRegistry) -> None:
    registry.handler = with_basic(registry, ANN)
    with registry.client("env:CI") as client:
        assert codes(client) == {"None": len(IMAGES)}
        asked = len(registry.requests)
        client.head_manifest(Reference.parse(IMAGES[0]))
    assert registry.authorizations[asked:] == [ANN]


def test_a_refused_identity_token_is_sent_once(registry: FakeRegistry, tokens: Tokens) -> None:
    tokens.refuse = lambda _request: httpx.Response(400, json={"error": "invalid_grant"})
    with registry.client("env:CI", keychain=Keychain(environ=IDENTITY)) as client:
        assert codes(client) == {"unauthorized": len(IMAGES)}
    assert list(tokens.logins.values()) == [1]


def test_two_registries_with_one_token_service_are_one_attempt_for_each_password(
    registry: FakeRegistry, tokens: Tokens
) -> None:
    keychain = Keychain(environ=WRONG)
    for url, source in ((URL, "env:CI"), ("https://two.example.com", "env:OTHER"), ("https://3.example.com", "env:CI")):
        with registry.client(source, url=url, keychain=keychain) as client:
            assert codes(client) == {"unauthorized": len(IMAGES)}
    assert list(tokens.logins.values()) == [1, 1]


def test_a_token_service_that_fails_has_refused_nobody(registry: FakeRegistry, tokens: Tokens) -> None:
    tokens.refuse = lambda _request: httpx.Response(503)
    with registry.client("env:CI") as client:
        assert codes(client) == {"server_error": len(IMAGES)}
        tokens.refuse = lambda _request: None
        assert codes(client) == {"None": len(IMAGES)}


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_service_that_refuses_one_repository_has_not_refused_the_password(
    registry: FakeRegistry, tokens: Tokens, status: int
) -> None:
    denied = [{"Type": "repository", "Name": "app0", "Action": "pull"}]
    body = {"errors": [{"code": "UNAUTHORIZED", "message": "authentication required", "detail": denied}]}

    def refuse(request: httpx.Request) -> httpx.Response | None:
        return httpx.Response(status, json=body) if ":app0:" in str(request.url) else None

    tokens.refuse = refuse
    with registry.client("env:CI") as client:
        assert codes(client) == {"unauthorized": 1, "None": len(IMAGES) - 1}


def test_a_password_that_is_known_to_be_right_is_not_taken_for_wrong_by_a_later_401(
    registry: FakeRegistry, tokens: Tokens
) -> None:
    tokens.refuse = lambda request: httpx.Response(401) if ":app7:" in str(request.url) else None
    with registry.client("env:CI") as client:
        assert codes(client) == {"unauthorized": 1, "None": len(IMAGES) - 1}


DENIED = {"errors": [{"code": "DENIED", "message": "denied"}]}
FORBIDDING = [
    pytest.param(httpx.Response(403, json=DENIED), id="403 DENIED"),
    pytest.param(httpx.Response(401, json=DENIED), id="401 DENIED"),
    pytest.param(httpx.Response(403), id="403"),
    pytest.param(httpx.Response(404, text="no such user"), id="404"),
    pytest.param(httpx.Response(400, json={"error": "invalid_request"}), id="400"),
]


def copy_of(answer: httpx.Response) -> httpx.Response:
    return httpx.Response(answer.status_code, content=answer.content, headers=answer.headers)


@pytest.mark.parametrize("refusal", FORBIDDING)
def test_a_password_that_a_token_service_forbids_is_sent_for_one_repository_and_once_without(
    registry: FakeRegistry, tokens: Tokens, refusal: httpx.Response
) -> None:
    tokens.refuse = lambda _request: copy_of(refusal)
    keychain = Keychain(environ=WRONG)
    for _ in range(2):
        with registry.client("env:CI", keychain=keychain) as client:
            assert "None" not in codes(client)
            fault_of(client.ping)
    assert tokens.scopes == ["repository:app0:pull", ""]


@pytest.mark.parametrize("refusal", FORBIDDING[:2])
def test_a_password_that_a_token_service_denies_without_a_repository_is_sent_once(
    registry: FakeRegistry, tokens: Tokens, refusal: httpx.Response
) -> None:
    tokens.refuse = lambda _request: copy_of(refusal)
    with registry.client("env:CI") as client:
        fault_of(client.ping)
        assert codes(client) == {"unauthorized": len(IMAGES)}
    assert tokens.scopes == [""]


@pytest.mark.parametrize("refusal", FORBIDDING[2:])
def test_a_token_service_that_answers_only_for_repositories_is_asked_for_one(
    registry: FakeRegistry, tokens: Tokens, refusal: httpx.Response
) -> None:
    tokens.refuse = lambda request: None if "scope=" in str(request.url) else copy_of(refusal)
    with registry.client("env:CI") as client:
        fault_of(client.ping)
        fault_of(client.ping)
        assert tokens.scopes == [""]
        assert codes(client) == {"None": len(IMAGES)}
    tokens.scopes.clear()
    tokens.refuse = lambda _request: copy_of(refusal)
    with registry.client("env:CI") as client:
        fault_of(client.ping)
        assert "None" not in codes(client)
    assert tokens.scopes == ["", "repository:app0:pull"]


@pytest.mark.parametrize("refusal", FORBIDDING)
def test_a_right_password_is_tried_for_each_repository_although_the_first_is_forbidden(
    registry: FakeRegistry, tokens: Tokens, refusal: httpx.Response
) -> None:
    hidden = (":app0:", ":app1:", ":app5:")
    tokens.refuse = lambda request: copy_of(refusal) if any(one in str(request.url) for one in hidden) else None
    with registry.client("env:CI") as client:
        assert codes(client)["None"] == len(IMAGES) - len(hidden)
    assert tokens.scopes.count("") == 1


def test_a_forbidden_password_is_sent_twice_by_concurrent_checks(registry: FakeRegistry, tokens: Tokens) -> None:
    tokens.refuse = lambda _request: httpx.Response(403, json=DENIED)
    with registry.client("env:CI") as client, ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda image: image_facts(client, "eu", image, []).error_code, IMAGES * 3))
    assert set(found) == {ErrorCode.UNAUTHORIZED}
    assert list(tokens.logins.values()) == [2] and tokens.scopes[1:] == [""]


def test_a_token_service_that_fails_after_a_forbidden_repository_has_refused_nobody(
    registry: FakeRegistry, tokens: Tokens
) -> None:
    def refuse(request: httpx.Request) -> httpx.Response | None:
        return httpx.Response(403, json=DENIED) if ":app0:" in str(request.url) else httpx.Response(503)

    tokens.refuse = refuse
    with registry.client("env:CI") as client:
        assert codes(client) == {"unauthorized": 1, "server_error": len(IMAGES) - 1}
        tokens.refuse = lambda _request: None
        assert codes(client) == {"unauthorized": 1, "None": len(IMAGES) - 1}  # app0's refusal is kept for a while


def forbidding_basic(registry: FakeRegistry, *, hidden: tuple[str, ...], at_v2: int, body: Any = DENIED) -> None:
    """A registry behind Basic: a password gets 403 for some repositories, and `at_v2` from /v2/."""

    def handle(request: httpx.Request) -> httpx.Response:
        if "Authorization" not in request.headers and not (at_v2 == 0 and request.url.path == "/v2/"):
            return httpx.Response(401, headers={"WWW-Authenticate": 'Basic realm="r"'})
        is_hidden = any(f"/v2/{name}/" in request.url.path for name in hidden)
        if is_hidden or (request.url.path == "/v2/" and at_v2 == 403):
            return httpx.Response(403, json=body) if body else httpx.Response(403)
        return registry.serve(request)

    registry.handler = handle


ALL = tuple(image.partition(":")[0] for image in IMAGES)


def sent(registry: FakeRegistry) -> list[str]:
    """The paths that received a password."""
    return [request.url.path for request in registry.requests if "Authorization" in request.headers]


@pytest.mark.parametrize("body", [DENIED, None])
def test_a_password_for_basic_that_is_forbidden_everywhere_is_sent_to_one_repository_and_v2(
    registry: FakeRegistry, body: Any
) -> None:
    forbidding_basic(registry, hidden=ALL, at_v2=403, body=body)
    keychain = Keychain(environ=WRONG)
    for _ in range(2):
        with registry.client("env:CI", keychain=keychain) as client:
            assert codes(client) == {"forbidden": len(IMAGES)}
            fault_of(client.ping)
    assert sent(registry) == ["/v2/app0/manifests/1.0", "/v2/"]


def test_a_password_for_basic_that_v2_denies_is_sent_once(registry: FakeRegistry) -> None:
    forbidding_basic(registry, hidden=ALL, at_v2=403)
    with registry.client("env:CI") as client:
        fault_of(client.ping)
        assert codes(client) == {"forbidden": len(IMAGES)}
    assert sent(registry) == ["/v2/"]


def test_a_forbidden_password_for_basic_is_sent_twice_by_concurrent_checks(registry: FakeRegistry) -> None:
    forbidding_basic(registry, hidden=ALL, at_v2=403)
    with registry.client("env:CI") as client, ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda image: image_facts(client, "eu", image, []).error_code, IMAGES * 3))
    assert set(found) == {ErrorCode.FORBIDDEN}
    assert len(sent(registry)) == 2 and sent(registry)[1] == "/v2/"


def test_a_forbidden_password_is_not_sent_to_an_open_v2_which_takes_any(registry: FakeRegistry) -> None:
    forbidding_basic(registry, hidden=ALL, at_v2=0)
    with registry.client("env:CI") as client:
        assert codes(client) == {"forbidden": len(IMAGES)}
    assert sent(registry) == ["/v2/app0/manifests/1.0"]


def test_a_right_password_for_basic_is_tried_for_each_repository_although_the_first_is_forbidden(
    registry: FakeRegistry,
) -> None:
    forbidding_basic(registry, hidden=("app0", "app1"), at_v2=200)
    with registry.client("env:CI") as client:
        assert codes(client) == {"forbidden": 2, "None": len(IMAGES) - 2}
    assert sent(registry).count("/v2/") == 1


def test_a_login_that_the_registry_calls_expired_is_sent_once(registry: FakeRegistry) -> None:
    body = {"errors": [{"code": "DENIED", "message": "Your authorization token has expired. Reauthenticate."}]}
    forbidding_basic(registry, hidden=ALL, at_v2=403, body=body)
    with registry.client("env:CI") as client:
        assert codes(client) == {"unauthorized": len(IMAGES)}
    assert len(sent(registry)) == 1


def test_a_storage_that_forbids_after_a_redirect_has_not_refused_the_password(registry: FakeRegistry) -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.host == "storage.example.com":
            return httpx.Response(403, text="<Error><Code>AccessDenied</Code></Error>")
        if "Authorization" not in request.headers:
            return httpx.Response(401, headers={"WWW-Authenticate": 'Basic realm="r"'})
        return httpx.Response(307, headers={"Location": "https://storage.example.com/x"})

    registry.handler = handle
    keychain = Keychain(environ=RIGHT)
    with registry.client("env:CI", keychain=keychain) as client:
        fault_of(lambda: client.manifest(Reference.parse(IMAGES[0])))
    assert keychain.logins.accepts(URL, keychain.credentials("env:CI", "registry.example.com"))


def test_an_anonymous_client_that_the_token_service_refuses_asks_once_for_each_repository(
    registry: FakeRegistry, tokens: Tokens
) -> None:
    keychain = Keychain(environ={})
    for _ in range(2):
        with registry.client(keychain=keychain) as client:
            assert codes(client) == {"unauthorized": len(IMAGES)}
            assert codes(client) == {"unauthorized": len(IMAGES)}
            assert len(tokens.scopes) == len(IMAGES)
    with registry.client(keychain=keychain, route={"proxy": "mirror"}) as other:
        assert codes(other) == {"unauthorized": len(IMAGES)}
    assert len(tokens.scopes) == 2 * len(IMAGES)  # another route may lead to another answer


@pytest.mark.parametrize("source", ["anonymous", "env:CI"])
def test_a_token_that_was_given_once_is_asked_for_after_each_refusal_as_in_a_run(
    registry: FakeRegistry, tokens: Tokens, source: str
) -> None:
    keychain = Keychain(environ=RIGHT)
    given = httpx.Response(200, json={"token": "t0ken"})
    answers = [given, httpx.Response(403), httpx.Response(403), given]
    tokens.refuse = lambda _request: copy_of(answers[len(tokens.scopes) - 1])
    for answer in answers:
        with registry.client(source, keychain=keychain) as client:  # one for each pull
            if answer is given:
                client.head_manifest(Reference.parse(IMAGES[0]))
            else:
                fault_of(lambda: client.head_manifest(Reference.parse(IMAGES[0])))
    assert tokens.scopes == ["repository:app0:pull"] * 4


@pytest.mark.parametrize("source", ["anonymous", "env:CI"])
def test_a_refused_token_is_asked_for_again_after_a_minute(registry: FakeRegistry, tokens: Tokens, source: str) -> None:
    now_s = 0.0
    tokens.refuse = lambda request: httpx.Response(403) if ":app0:" in str(request.url) else None
    with registry.client(source, monotonic=lambda: now_s) as client:
        for _ in range(3):
            fault_of(lambda: client.head_manifest(Reference.parse(IMAGES[0])))
        assert len(tokens.scopes) == 1
        now_s += REFUSAL_KEPT_S
        tokens.refuse = lambda _request: httpx.Response(200, json={"token": "t0ken"})
        client.head_manifest(Reference.parse(IMAGES[0]))
    assert tokens.scopes[0] == tokens.scopes[-1] == "repository:app0:pull"


def test_429_after_a_refused_login_is_no_rate_limit(registry: FakeRegistry, tokens: Tokens) -> None:
    keychain = Keychain(environ=WRONG)
    with registry.client("env:CI", keychain=keychain) as client:
        fault_of(client.ping)
        registry.handler = lambda _request: httpx.Response(429)
        fault = fault_of(lambda: client.ping(authenticate=False))
    with registry.client("env:CI", keychain=keychain) as other:
        assert fault_of(other.ping).code is ErrorCode.UNAUTHORIZED
    assert (fault.code, fault.status) == (ErrorCode.UNAUTHORIZED, 429)
    assert "higher limit" not in fault.remedy
    with registry.client("env:CI") as stranger:
        assert fault_of(stranger.ping).code is ErrorCode.RATE_LIMITED


def test_a_placeholder_scope_at_v2_is_not_requested(registry: FakeRegistry, tokens: Tokens) -> None:
    tokens.scope_at_v2 = "repository:user/image:pull"
    tokens.refuse = lambda request: httpx.Response(403) if "user/image" in str(request.url) else None
    with registry.client("env:CI") as client:
        client.ping()
        assert codes(client) == {"None": len(IMAGES)}
    assert tokens.scopes[:2] == ["", "repository:app0:pull"]


def test_the_catalogs_scope_is_requested_as_the_challenge_names_it(registry: FakeRegistry, tokens: Tokens) -> None:
    tokens.scope_at_v2 = "registry:catalog:* repository:user/image:pull"
    with registry.client("env:CI") as client:
        client.ping()
    assert tokens.scopes == ["registry:catalog:*"]


@pytest.mark.parametrize("says", [',error="invalid_token"', ""])
@pytest.mark.parametrize("at", ["/v2/", "manifest"])
def test_a_token_that_the_registry_refuses_is_no_wrong_password(
    registry: FakeRegistry, tokens: Tokens, says: str, at: str
) -> None:
    tokens.says, tokens.refuses_tokens = says, True
    with registry.client("env:CI") as client:
        ask = client.ping if at == "/v2/" else lambda: client.manifest(Reference.parse(IMAGES[0]))
        fault = fault_of(ask)
    assert isinstance(fault, LoginError)
    assert (fault.code, fault.answered_by) == (ErrorCode.UNAUTHORIZED, Responder.REGISTRY)
    assert "the password was accepted" in fault.detail
    assert "timedatectl" in fault.remedy and "docker login" not in fault.remedy


def test_an_anonymous_token_that_the_registry_refuses_names_no_password(registry: FakeRegistry, tokens: Tokens) -> None:
    tokens.refuses_tokens = True
    tokens.refuse = lambda _request: httpx.Response(200, json={"token": "t0ken"})
    with registry.client() as client:
        fault = fault_of(client.ping)
    assert isinstance(fault, LoginError) and "password" not in fault.detail


def test_a_token_without_the_right_is_no_refused_token(registry: FakeRegistry, tokens: Tokens) -> None:
    tokens.says, tokens.refuses_tokens = ',error="insufficient_scope"', True
    with registry.client("env:CI") as client:
        fault = fault_of(lambda: client.manifest(Reference.parse(IMAGES[0])))
    assert (fault.code, isinstance(fault, LoginError)) == (ErrorCode.FORBIDDEN, False)


def test_basic_in_front_of_a_registry_with_tokens_is_named_and_tried_once(
    registry: FakeRegistry, tokens: Tokens
) -> None:
    def front(request: httpx.Request) -> httpx.Response:
        if request.url.host == URL.removeprefix("https://") and request.headers.get("Authorization") != ANN:
            return httpx.Response(401, headers={"WWW-Authenticate": 'Basic realm="nginx"'})
        return tokens(request)

    registry.handler = front
    with registry.client("env:CI") as client:
        fault = fault_of(client.ping)
        assert codes(client) == {"unauthorized": len(IMAGES)}
    assert isinstance(fault, LoginError) and "no client does both" in fault.remedy
    assert registry.authorizations.count(ANN) == 1 and not tokens.logins


@pytest.mark.parametrize(
    ("lines", "sent"),
    [
        (['Bearer realm="%s"', 'Basic realm="r"'], "Basic"),
        (['Basic realm="r"', 'Bearer realm="%s"'], "Basic"),
        (['Bearer realm="%s",service="s", Basic realm="r"'], "Bearer"),
        (['Basic realm="r", Bearer realm="%s"'], "Basic"),
        (["Negotiate", 'Bearer realm="%s"'], "Bearer"),
    ],
)
def test_basic_and_bearer_together_are_answered_as_docker_does(
    registry: FakeRegistry, tokens: Tokens, lines: list[str], sent: str
) -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.host == "auth.example.com" or "Authorization" in request.headers:
            return tokens.token(request) if request.url.host == "auth.example.com" else registry.serve(request)
        challenges = [("WWW-Authenticate", line.replace("%s", REALM)) for line in lines]
        return httpx.Response(401, headers=challenges)

    registry.handler = handle
    with registry.client("env:CI") as client:
        client.ping()
    assert (registry.authorizations[-1] or "").partition(" ")[0] == sent
    assert bool(tokens.logins) == (sent == "Bearer")


def test_an_anonymous_client_answers_bearer_where_basic_is_offered_too(registry: FakeRegistry, tokens: Tokens) -> None:
    tokens.refuse = lambda _request: httpx.Response(200, json={"token": "t0ken"})
    challenges = [("WWW-Authenticate", 'Basic realm="r"'), ("WWW-Authenticate", f'Bearer realm="{REALM}"')]

    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.host == "auth.example.com":
            return tokens.token(request)
        known = request.headers.get("Authorization") == "Bearer t0ken"
        return registry.serve(request) if known else httpx.Response(401, headers=challenges)

    registry.handler = handle
    with registry.client() as client:
        client.ping()


def with_registry_token(tmp_path: Any) -> Keychain:
    document = {"auths": {"registry.example.com": {"registrytoken": "r3gistry-t0ken"}}}
    (tmp_path / "config.json").write_text(json.dumps(document))
    return Keychain(environ={"DOCKER_CONFIG": str(tmp_path)})


def test_a_registry_token_goes_to_the_registry_as_it_is(registry: FakeRegistry, tokens: Tokens, tmp_path: Any) -> None:
    with registry.client("docker", keychain=with_registry_token(tmp_path)) as client:
        assert codes(client) == {"None": len(IMAGES)}
    assert not tokens.logins and "Bearer r3gistry-t0ken" in registry.authorizations


def test_a_refused_registry_token_is_sent_once_and_not_shown(
    registry: FakeRegistry, tokens: Tokens, tmp_path: Any
) -> None:
    tokens.refuses_tokens = True
    with registry.client("docker", keychain=with_registry_token(tmp_path)) as client:
        fault = fault_of(client.ping)
        assert codes(client) == {"unauthorized": len(IMAGES)}
    assert registry.authorizations.count("Bearer r3gistry-t0ken") == 1
    assert "r3gistry-t0ken" not in str(fault)


def test_a_token_service_that_is_down_is_named_with_its_own_port(registry: FakeRegistry, tokens: Tokens) -> None:
    def down(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("[Errno 111] Connection refused")

    tokens.refuse = down
    with registry.client("env:CI") as client:
        fault = fault_of(client.ping)
    assert (fault.code, fault.answered_by) == (ErrorCode.CONNECT_REFUSED, Responder.TOKEN_SERVICE)
    assert fault.host == "auth.example.com"
