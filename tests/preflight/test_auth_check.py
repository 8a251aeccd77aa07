from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from pullbench.errors import ErrorCode
from pullbench.model.finding import Finding, Status
from pullbench.model.route import Route
from pullbench.preflight.check import ObservedFault, Target
from pullbench.preflight.checks import api, auth, image
from pullbench.preflight.checks.auth import LoginAttempt, Right
from pullbench.registry.auth import Credentials, basic_header
from tests.preflight.contexts import ROUTE, context_over, spec_of, target_of
from tests.registry.fake_registry import SECRET, FakeRegistry, TokenService, config_blob, manifest_of, with_basic
from tests.registry.tokens import jwt

BASIC = basic_header(Credentials(username="ann", password=SECRET))
REFUSED = ObservedFault(code=ErrorCode.UNAUTHORIZED, text="GET /v2/: 401")
DENIED = Right(repository="team/app", fault=ObservedFault(code=ErrorCode.FORBIDDEN, text="HEAD: 403"))
ALLOWED = Right(repository="app", granted=("repository:app:pull",))


def judged(evidence: LoginAttempt, source: str = "docker", url: str = ROUTE.url) -> Finding:
    findings = auth.judge(evidence, Target(route=Route(registry="eu", url=url, credentials=source)))
    assert len(findings) == 1
    return findings[0]


def known(*rights: Right, realm: str = "https://auth.example.com/token") -> LoginAttempt:
    return LoginAttempt(user="user 'ann'", asked=("bearer",), realm=realm, rights=rights)


def test_what_is_accepted_passes_with_scheme_realm_user_and_what_was_granted() -> None:
    found = judged(known(ALLOWED))
    assert found.status is Status.PASS
    for word in ("Bearer", "https://auth.example.com/token", "user 'ann'", "'docker'", "repository:app:pull"):
        assert word in found.observed


def test_no_credentials_wrong_ones_and_no_right_are_told_apart() -> None:
    without = judged(LoginAttempt(asked=("basic",), fault=REFUSED))
    assert without.status is Status.FAIL
    assert (without.code, "config.json has none" in without.observed) == ("unauthorized", True)
    wrong = judged(LoginAttempt(user="user 'ann'", asked=("basic",), fault=REFUSED))
    assert wrong.status is Status.FAIL
    assert wrong.observed.startswith("[unauthorized] GET /v2/: 401, with user 'ann'")
    lacking = judged(known(DENIED))
    assert lacking.status is Status.FAIL
    assert lacking.observed.startswith("[forbidden]")
    assert (lacking.code, "team/app" in lacking.observed) == ("forbidden", True)
    assert "user 'ann'" in lacking.remedy
    assert "team/app at registry.example.com" in lacking.remedy


def test_a_token_that_grants_nothing_is_told() -> None:
    nothing = Right(repository="team/app", granted=(), fault=DENIED.fault)
    assert "grants nothing" in judged(known(nothing)).observed


def test_a_right_that_one_repository_lacks_is_a_warning_for_the_others_can_be_pulled() -> None:
    found = judged(known(ALLOWED, DENIED))
    assert found.status is Status.WARN
    assert (found.code, "team/app" in found.observed) == ("forbidden", True)


def test_an_anonymous_client_is_told_to_log_in_where_a_repository_wants_it() -> None:
    found = judged(LoginAttempt(asked=("bearer",), rights=(DENIED,)), "anonymous")
    assert (found.status, found.observed[:14]) == (Status.FAIL, "[unauthorized]")
    assert (found.code, "team/app" in found.observed) == ("unauthorized", True)


def test_public_repositories_pass_where_only_v2_itself_is_refused() -> None:
    found = judged(LoginAttempt(asked=("bearer",), fault=REFUSED, rights=(ALLOWED,)), "anonymous")
    assert found.status is Status.PASS
    assert "/v2/ itself is refused" in found.observed
    nobody = judged(LoginAttempt(asked=("bearer",), fault=REFUSED, rights=(DENIED,)), "anonymous")
    assert nobody.status is Status.FAIL


@pytest.mark.parametrize(
    ("realm", "url", "status"),
    [
        ("https://auth.docker.io/token", "https://registry-1.docker.io", Status.PASS),
        ("https://registry.example.com/token", ROUTE.url, Status.PASS),
        ("https://evil.example/token", ROUTE.url, Status.WARN),
        ("https://10.1.2.4/token", "https://10.1.2.3", Status.WARN),
        ("http://127.0.0.1:5001/token", "http://127.0.0.1:5000", Status.PASS),
        ("http://auth.example.com/token", "http://registry.example.com", Status.WARN),
    ],
)
def test_where_the_password_goes_is_told(realm: str, url: str, status: Status) -> None:
    assert judged(known(ALLOWED, realm=realm), url=url).status is status
    anonymous = LoginAttempt(asked=("bearer",), realm=realm, rights=(ALLOWED,))
    assert judged(anonymous, url=url).status is Status.PASS


def test_a_password_over_plain_http_is_a_warning_but_on_this_machine() -> None:
    basic = LoginAttempt(user="user 'ann'", asked=("basic",), rights=(ALLOWED,))
    found = judged(basic, url="http://registry.example.com")
    assert found.status is Status.WARN
    assert "in clear text" in found.observed
    assert judged(basic, url="http://localhost:5000").status is Status.PASS


def test_a_server_that_fails_is_not_taken_for_a_refusal() -> None:
    found = judged(
        LoginAttempt(asked=("bearer",), fault=ObservedFault(code=ErrorCode.SERVER_ERROR, text="GET /token: 503"))
    )
    assert (found.status, found.observed) == (Status.FAIL, "[server_error] GET /token: 503")


@pytest.fixture
def registry() -> FakeRegistry:
    fake = FakeRegistry()
    for repository in ("app", *(f"team/{number}" for number in range(9))):
        fake.put_manifest(repository, "1.0", manifest_of(config_blob()))
    return fake


def found_at(registry: FakeRegistry, source: str, **options: Any) -> Finding:
    images = options.pop("images", ["app:1.0"])
    with context_over(registry, spec_of(credentials=source, images=images), **options) as context:
        findings = auth.judge(auth.probe(context, target_of(context)), target_of(context))
    assert len(findings) == 1
    assert SECRET not in repr(findings)
    return findings[0]


def test_accepted_credentials_pass_and_name_their_source_not_their_secret(registry: FakeRegistry) -> None:
    registry.handler = with_basic(registry, BASIC)
    observed = found_at(registry, "env:CI").observed
    assert "Basic, with user" in observed and "'ann'" in observed
    registry.handler = TokenService(registry)
    assert "https://auth.example.com/token, with user 'ann'" in found_at(registry, "env:CI").observed


def test_what_a_token_grants_is_read_from_it(registry: FakeRegistry) -> None:
    access = [{"type": "repository", "name": "app", "actions": ["pull"]}]

    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.host == "auth.example.com":
            return httpx.Response(200, json={"token": jwt({"access": access})})
        if "Authorization" not in request.headers:
            challenge = 'Bearer realm="https://auth.example.com/token",service="registry"'
            return httpx.Response(401, headers={"WWW-Authenticate": challenge})
        return registry.serve(request)

    registry.handler = handle
    assert found_at(registry, "env:CI").observed.endswith(" repository:app:pull")


def test_an_open_registry_passes_and_says_that_credentials_were_not_tried(registry: FakeRegistry) -> None:
    assert "requires no login" in found_at(registry, "anonymous").observed
    assert "was not tried" in found_at(registry, "env:CI").observed
    assert registry.authorizations == [None] * len(registry.requests)


def test_a_wrong_password_fails_as_unauthorized_with_where_to_set_it(registry: FakeRegistry) -> None:
    registry.handler = with_basic(registry, "Basic other")
    found = found_at(registry, "env:CI")
    assert found.status is Status.FAIL
    assert found.observed.startswith("[unauthorized] GET https://registry.example.com/v2/: 401 UNAUTHORIZED")
    assert "CI_USERNAME" in found.remedy and "CI_PASSWORD" in found.remedy
    assert "`docker login registry.example.com`" in found.remedy


def test_dockers_config_without_an_entry_says_so_and_how_to_log_in(registry: FakeRegistry) -> None:
    registry.handler = with_basic(registry, BASIC)
    found = found_at(registry, "docker", environ={})
    assert found.status is Status.FAIL
    assert "config.json has none" in found.observed
    assert "docker login registry.example.com" in found.remedy


def test_a_source_that_fails_is_a_failure_with_the_sources_own_words(registry: FakeRegistry) -> None:
    found = found_at(registry, "env:ABSENT")
    assert found.status is Status.FAIL
    assert found.observed.startswith("[unauthorized] ")
    assert "'env:ABSENT'" in found.observed and "ABSENT_USERNAME" in found.observed
    assert registry.requests == []


def test_an_anonymous_client_that_v2_refuses_may_still_pull_what_is_public(registry: FakeRegistry) -> None:
    service = TokenService(registry)

    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v2/":
            return httpx.Response(401, headers={"WWW-Authenticate": f'Bearer realm="{service.realm}",service="r"'})
        return service(request)

    registry.handler = handle
    assert found_at(registry, "anonymous").status is Status.PASS
    service.refuse_all = True
    assert found_at(registry, "anonymous").status is Status.FAIL


def test_a_known_user_without_the_right_is_forbidden(registry: FakeRegistry) -> None:
    service = TokenService(registry)
    service.error = ',error="insufficient_scope"'

    def handle(request: httpx.Request) -> httpx.Response:
        if "/team/0/" in request.url.path:
            challenge = f'Bearer realm="{service.realm}",service="r"{service.error}'
            return httpx.Response(401, headers={"WWW-Authenticate": challenge})
        return service(request)

    registry.handler = handle
    assert "[forbidden]" in found_at(registry, "env:CI", images=["team/0:1.0"]).observed
    assert found_at(registry, "env:CI", images=["app:1.0", "team/0:1.0"]).status is Status.WARN


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("source", ["anonymous", "env:CI"])
def test_a_refused_head_is_no_matter_of_rights_where_get_is_fine(
    registry: FakeRegistry, source: str, status: int
) -> None:
    behind = with_basic(registry, BASIC) if source == "env:CI" else registry.serve
    registry.handler = lambda request: httpx.Response(status) if request.method == "HEAD" else behind(request)
    assert found_at(registry, source).status is Status.PASS


def test_a_missing_image_is_no_matter_of_rights(registry: FakeRegistry) -> None:
    registry.handler = with_basic(registry, BASIC)
    assert found_at(registry, "env:CI", images=["absent:1.0"]).status is Status.PASS


def test_only_the_first_repositories_are_tried(registry: FakeRegistry) -> None:
    registry.handler = with_basic(registry, BASIC)
    found_at(registry, "env:CI", images=[f"team/{number}:1.0" for number in range(9)])
    tried = {request.url.path for request in registry.requests if request.method == "HEAD"}
    assert tried == {f"/v2/team/{number}/manifests/1.0" for number in range(5)}


def with_open_v2(behind: Any) -> Any:
    """A registry whose /v2/ answers 200 to anybody."""
    return lambda request: httpx.Response(200) if request.url.path == "/v2/" else behind(request)


@pytest.mark.parametrize("source", ["env:CI", "anonymous"])
def test_an_open_v2_before_repositories_with_tokens_warns_for_clients_that_ask_only_there(
    registry: FakeRegistry, source: str
) -> None:
    registry.handler = with_open_v2(TokenService(registry))
    found = found_at(registry, source)
    assert (found.status, "docker" in found.observed and "skopeo" in found.observed) == (Status.WARN, True)
    assert "Bearer" in found.observed and "not tried" not in found.observed


def test_an_open_v2_before_repositories_with_basic_warns(registry: FakeRegistry) -> None:
    registry.handler = with_open_v2(with_basic(registry, BASIC))
    found = found_at(registry, "env:CI")
    assert (found.status, "Basic" in found.observed and "not tried" not in found.observed) == (Status.WARN, True)
    assert found_at(registry, "anonymous").code == "unauthorized"


DENIED_BODY = {"errors": [{"code": "DENIED", "message": "denied"}]}
WRONG = basic_header(Credentials(username="ann", password="another"))


def with_tokens_of(password: str, behind: Any) -> Any:
    """Repositories behind a token service that takes one login, and names no repository when it refuses another."""

    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/token":
            if request.headers.get("Authorization") != password:
                return httpx.Response(401, json={"details": "incorrect username or password"})
            return httpx.Response(200, json={"token": "t0ken"})
        if request.headers.get("Authorization") != "Bearer t0ken":
            challenge = 'Bearer realm="https://auth.example.com/token",service="r"'
            return httpx.Response(401, headers={"WWW-Authenticate": challenge})
        answer: httpx.Response = behind(request)
        return answer

    return handle


@pytest.mark.parametrize("basic", [True, False])
@pytest.mark.parametrize("images", [["app:1.0"], ["app:1.0", "team/0:1.0"]])
def test_a_wrong_password_behind_an_open_v2_is_never_called_valid(
    registry: FakeRegistry, basic: bool, images: list[str]
) -> None:
    behind = with_basic(registry, WRONG) if basic else with_tokens_of(WRONG, registry.serve)
    registry.handler = with_open_v2(behind)
    found = found_at(registry, "env:CI", images=images)
    assert (found.status, found.code) == (Status.FAIL, "unauthorized")
    assert "valid" not in found.observed and "'ann'" in found.observed
    assert "CI_PASSWORD" in found.remedy and "permission" not in found.remedy


def test_a_wrong_password_behind_an_open_v2_warns_where_another_repository_is_public(registry: FakeRegistry) -> None:
    behind = with_basic(registry, WRONG)
    registry.handler = with_open_v2(
        lambda request: registry.serve(request) if "/team/0/" in request.url.path else behind(request)
    )
    found = found_at(registry, "env:CI", images=["app:1.0", "team/0:1.0"])
    assert (found.status, found.code) == (Status.WARN, "unauthorized")


@pytest.mark.parametrize("basic", [True, False])
def test_a_right_password_without_the_right_behind_an_open_v2_is_forbidden(registry: FakeRegistry, basic: bool) -> None:
    def serve(request: httpx.Request) -> httpx.Response:
        return httpx.Response(403, json=DENIED_BODY) if "/team/0/" in request.url.path else registry.serve(request)

    def behind_basic(request: httpx.Request) -> httpx.Response:
        return serve(request) if request.headers.get("Authorization") == BASIC else with_basic(registry, BASIC)(request)

    registry.handler = with_open_v2(behind_basic if basic else with_tokens_of(BASIC, serve))
    found = found_at(registry, "env:CI", images=["app:1.0", "team/0:1.0"])
    assert (found.status, found.code) == (Status.WARN, "forbidden")
    assert "give user 'ann' permission to pull team/0" in found.remedy


@pytest.mark.parametrize("open_v2", [True, False])
def test_a_password_that_gets_403_and_was_never_accepted_is_not_called_valid(
    registry: FakeRegistry, open_v2: bool
) -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        if "Authorization" in request.headers:
            return httpx.Response(403, json=DENIED_BODY)
        return httpx.Response(401, headers={"WWW-Authenticate": 'Basic realm="r"'})

    registry.handler = with_open_v2(handle) if open_v2 else handle
    found = found_at(registry, "env:CI", images=["app:1.0", "team/0:1.0"])
    assert (found.status, found.code) == (Status.FAIL, "unauthorized")
    assert "valid" not in found.observed and "CI_PASSWORD" in found.remedy
    assert sum("Authorization" in request.headers for request in registry.requests) == 1


def test_a_right_password_that_only_v2_forbids_passes(registry: FakeRegistry) -> None:
    behind = with_basic(registry, BASIC)

    def handle(request: httpx.Request) -> httpx.Response:
        is_v2 = request.url.path == "/v2/" and "Authorization" in request.headers
        return httpx.Response(403) if is_v2 else behind(request)

    registry.handler = handle
    assert found_at(registry, "env:CI").status is Status.PASS


@pytest.mark.parametrize("open_v2", [True, False])
@pytest.mark.parametrize("basic", [True, False])
def test_who_has_no_login_is_told_to_log_in_and_not_to_log_in_again(
    registry: FakeRegistry, open_v2: bool, basic: bool
) -> None:
    behind = with_basic(registry, BASIC) if basic else with_tokens_of(BASIC, registry.serve)
    registry.handler = with_open_v2(behind) if open_v2 else behind
    found = found_at(registry, "docker", environ={})
    assert (found.status, found.code) == (Status.FAIL, "unauthorized")
    assert "docker logout" not in found.remedy and "`docker login registry.example.com`" in found.remedy


@pytest.mark.parametrize("status", [402, 412, 423, 451])
@pytest.mark.parametrize("source", ["anonymous", "env:CI"])
def test_a_policy_that_refuses_a_pull_is_no_matter_of_the_login(
    registry: FakeRegistry, source: str, status: int
) -> None:
    body = {"errors": [{"code": "PROJECTPOLICYVIOLATION", "message": "current image with 5 vulnerabilities"}]}
    registry.handler = lambda request: (
        httpx.Response(status, json=body) if "/manifests/" in request.url.path else registry.serve(request)
    )
    found = found_at(registry, source)
    assert (found.status, found.code) == (Status.FAIL, "forbidden")
    assert "5 vulnerabilities" in found.observed
    assert "login" not in found.remedy and "log in" not in found.remedy and "policy" in found.remedy


def test_an_open_registry_passes_and_its_unused_user_is_told(registry: FakeRegistry) -> None:
    found = found_at(registry, "env:CI")
    assert (found.status, "not tried" in found.observed) == (Status.PASS, True)


def token_world(
    registry: FakeRegistry, token: Any, registry_says: str = "", realm_at: str = "auth.example.com"
) -> None:
    """A registry whose token service answers with `token(request)`, and which refuses each token if it says so."""

    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/token":
            answer: httpx.Response = token(request)
            return answer
        if registry_says or "Authorization" not in request.headers:
            challenge = f'Bearer realm="https://{realm_at}/token",service="r"{registry_says}'
            return httpx.Response(401, headers={"WWW-Authenticate": challenge})
        return registry.serve(request)

    registry.handler = handle


@pytest.mark.parametrize("realm_at", ["auth.example.com:5001", "auth.example.com"])
def test_a_token_service_that_is_down_is_tested_at_its_own_port(registry: FakeRegistry, realm_at: str) -> None:
    def down(_request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("[Errno 111] Connection refused")

    token_world(registry, down, realm_at=realm_at)
    found = found_at(registry, "env:CI")
    assert (found.status, found.code) == (Status.FAIL, "connect_refused")
    port = realm_at.partition(":")[2] or "443"
    assert f"`nc -vz auth.example.com {port}`" in found.remedy and "registry.example.com" not in found.remedy


@pytest.mark.parametrize("says", [',error="invalid_token"', ",x=y"])
def test_a_token_that_the_registry_refuses_is_a_finding_of_its_own(registry: FakeRegistry, says: str) -> None:
    token_world(registry, lambda _request: httpx.Response(200, json={"token": "t0ken"}), says)
    found = found_at(registry, "env:CI")
    assert (found.status, found.code) == (Status.FAIL, "unauthorized")
    assert "the password was accepted, the registry refuses the token: issuer, certificate, clock" in found.observed
    assert "docker login" not in found.remedy


def test_basic_in_front_of_a_registry_with_tokens_is_a_finding_of_its_own(registry: FakeRegistry) -> None:
    tokens = TokenService(registry)

    def front(request: httpx.Request) -> httpx.Response:
        if request.url.host == "auth.example.com" or request.headers.get("Authorization") == BASIC:
            return tokens(request)
        return httpx.Response(401, headers={"WWW-Authenticate": 'Basic realm="front"'})

    registry.handler = front
    found = found_at(registry, "env:CI")
    assert (found.status, found.code) == (Status.FAIL, "unauthorized")
    assert "no client does both" in found.remedy and tokens.given == 0


@pytest.mark.parametrize("refused_at_v2", ["", "user/image"])
def test_repositories_decide_where_the_token_for_v2_is_refused(registry: FakeRegistry, refused_at_v2: str) -> None:
    def token(request: httpx.Request) -> httpx.Response:
        wanted = str(request.url.params.get("scope", ""))
        return httpx.Response(200, json={"token": "t0ken"}) if ":app:" in wanted else httpx.Response(403)

    scope = f',scope="repository:{refused_at_v2}:pull"' if refused_at_v2 else ""
    token_world(registry, token)
    inner = registry.handler

    def handle(request: httpx.Request) -> httpx.Response:
        answer = inner(request)
        if request.url.path == "/v2/" and answer.status_code == 401:
            answer.headers["WWW-Authenticate"] += scope
        return answer

    registry.handler = handle
    assert found_at(registry, "env:CI").status is Status.PASS


@pytest.mark.parametrize("source", ["anonymous", "env:CI"])
@pytest.mark.parametrize("host", ["registry-1.docker.io", "index.docker.io"])
def test_a_bare_name_at_docker_hub_is_named_with_its_namespace(source: str, host: str) -> None:
    evidence = LoginAttempt(
        user=None if source == "anonymous" else "user 'ann'",
        asked=("bearer",),
        rights=(Right(repository="alpine", fault=DENIED.fault), Right(repository="team/app", fault=DENIED.fault)),
    )
    remedy = judged(evidence, source, f"https://{host}").remedy
    assert "library/alpine" in remedy and "library/team" not in remedy
    assert "library/" not in judged(evidence, source).remedy


def test_an_anonymous_refusal_may_be_a_wrong_name() -> None:
    found = judged(LoginAttempt(asked=("bearer",), rights=(DENIED,)), "anonymous")
    assert "none of that name" in found.observed and "check the name" in found.remedy


@pytest.mark.parametrize("refusal", [401, 403])
@pytest.mark.parametrize("basic", [True, False])
def test_a_wrong_password_is_sent_once_in_a_whole_preflight_of_twenty_images(
    registry: FakeRegistry, basic: bool, refusal: int
) -> None:
    images = [f"team/{number}:1.0" for number in range(9)] + [f"app:{number}" for number in range(11)]
    logins: list[str] = []

    def token(request: httpx.Request) -> httpx.Response:
        logins.append(request.headers["Authorization"])
        if refusal == 403:
            return httpx.Response(403, json=DENIED_BODY)
        return httpx.Response(401, json={"details": "incorrect username or password"})

    def handle(request: httpx.Request) -> httpx.Response:
        if "Authorization" in request.headers:
            logins.append(request.headers["Authorization"])
            if refusal == 403:
                return httpx.Response(403, json=DENIED_BODY)
        return httpx.Response(401, headers={"WWW-Authenticate": 'Basic realm="r"'})

    if basic:
        registry.handler = handle
    else:
        token_world(registry, token)
    with context_over(registry, spec_of(credentials="env:CI", images=images)) as context:
        targets = [(auth, target_of(context))] + [(image, target_of(context, name)) for name in images]
        if refusal == 403:  # as in a preflight, where `image` waits for `auth`
            auth.probe(context, target_of(context))
        with ThreadPoolExecutor(8) as pool:
            findings = list(pool.map(lambda job: job[0].judge(job[0].probe(context, job[1]), job[1])[0], targets))
    assert findings[0].code == "unauthorized"
    assert {finding.code for finding in findings[1:]} == {"forbidden" if basic and refusal == 403 else "unauthorized"}
    assert len(logins) == 1


@pytest.mark.parametrize("host", ["docker.io", "hub.docker.com", "registry.example.com"])
def test_a_name_of_docker_hub_that_serves_no_images_gets_the_one_that_does(registry: FakeRegistry, host: str) -> None:
    registry.handler = lambda _request: httpx.Response(200, headers={"Content-Type": "text/html"}, content=b"<html>")
    context = context_over(registry, spec_of(f"https://{host}"))
    (found,) = api.judge(api.probe(context, target_of(context)), target_of(context))
    assert found.status is Status.FAIL
    assert ("https://registry-1.docker.io" in found.remedy) == (host != "registry.example.com")
