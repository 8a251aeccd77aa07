import hashlib
import json

import httpx
import pytest

from pullbench.errors import ErrorCode, RegistryError, UsageError
from pullbench.model.manifest import ACCEPT, DOCKER_SCHEMA_1, OCI_CONFIG, OCI_MANIFEST, Descriptor, Index, Manifest
from pullbench.model.reference import Reference
from pullbench.registry.answer import AnswerError
from pullbench.registry.auth import Credentials, basic_header
from pullbench.registry.client import MAX_CONFIG_BYTES, NoImageError, RegistryClient
from pullbench.registry.exchange import ExchangeRecord
from pullbench.registry.keychain import Keychain
from pullbench.registry.redirect import USER_AGENT
from tests.registry.fake_registry import (
    SECRET,
    URL,
    FakeRegistry,
    TokenService,
    config_blob,
    digest_of,
    index_of,
    manifest_of,
    with_basic,
)

APP = Reference.parse("team/app:1.0")
BASIC = basic_header(Credentials(username="ann", password=SECRET))


@pytest.fixture
def registry() -> FakeRegistry:
    fake = FakeRegistry()
    fake.put_manifest("team/app", "1.0", manifest_of(config_blob()))
    fake.put_blob("team/app", config_blob())
    return fake


def code_of(client: RegistryClient, reference: Reference = APP) -> ErrorCode:
    with pytest.raises(RegistryError) as caught:
        client.manifest(reference)
    return caught.value.code


def test_a_manifest_comes_with_its_digest_and_is_asked_for_by_one_accept_line(registry: FakeRegistry) -> None:
    content = manifest_of(config_blob())
    found = registry.client().manifest(APP)
    assert (found.digest, found.content) == (digest_of(content), content)
    assert isinstance(found.document, Manifest)
    assert registry.requests[0].headers["Accept"] == ACCEPT
    assert registry.requests[0].headers["User-Agent"] == USER_AGENT
    assert registry.requests[0].headers["Accept-Encoding"] == "identity"


def test_a_mirrors_prefix_and_headers_go_with_each_request(registry: FakeRegistry) -> None:
    registry.put_manifest("hub/team/app", "1.0", manifest_of(config_blob()))
    client = registry.client(route={"prefix": "hub", "headers": {"X-Dragonfly-Registry": "https://up.example"}})
    client.manifest(APP)
    assert registry.asked == [f"GET {URL}/v2/hub/team/app/manifests/1.0"]
    assert registry.requests[0].headers["X-Dragonfly-Registry"] == "https://up.example"


def test_a_manifest_that_does_not_hash_to_the_digest_asked_for_is_a_mismatch(registry: FakeRegistry) -> None:
    pinned = APP.pinned(digest_of(b"something else"))
    content = manifest_of(config_blob())
    registry.handler = lambda request: httpx.Response(200, content=content)
    assert code_of(registry.client(), pinned) is ErrorCode.DIGEST_MISMATCH


def test_a_manifest_that_does_not_hash_to_the_digest_stated_is_a_mismatch(registry: FakeRegistry) -> None:
    headers = {"Docker-Content-Digest": digest_of(b"something else")}
    registry.handler = lambda request: httpx.Response(200, content=manifest_of(config_blob()), headers=headers)
    assert code_of(registry.client()) is ErrorCode.DIGEST_MISMATCH


def test_a_stated_digest_that_is_none_is_not_believed(registry: FakeRegistry) -> None:
    headers = {"Docker-Content-Digest": "sha256:short"}
    registry.handler = lambda request: httpx.Response(200, content=manifest_of(config_blob()), headers=headers)
    assert code_of(registry.client()) is ErrorCode.NOT_A_REGISTRY


@pytest.mark.parametrize("form", ["{0}, {0}", "{0},{0}", " {0} , ", "{0}, {0}, {0}"])
def test_a_stated_digest_may_stand_several_times(registry: FakeRegistry, form: str) -> None:
    content = manifest_of(config_blob())
    headers = {"Docker-Content-Digest": form.format(digest_of(content))}
    registry.handler = lambda request: httpx.Response(200, content=content, headers=headers)
    assert registry.client().manifest(APP).digest == digest_of(content)


def test_a_stated_digest_may_stand_in_two_lines(registry: FakeRegistry) -> None:
    content = manifest_of(config_blob())
    headers = [("Docker-Content-Digest", digest_of(content))] * 2
    registry.handler = lambda request: httpx.Response(200, content=content, headers=headers)
    assert registry.client().manifest(APP).digest == digest_of(content)


def test_two_different_stated_digests_are_not_believed(registry: FakeRegistry) -> None:
    content = manifest_of(config_blob())
    headers = {"Docker-Content-Digest": f"{digest_of(content)}, {digest_of(b'other')}"}
    registry.handler = lambda request: httpx.Response(200, content=content, headers=headers)
    assert code_of(registry.client()) is ErrorCode.NOT_A_REGISTRY


def test_a_tag_without_a_stated_digest_gets_the_digest_of_its_bytes(registry: FakeRegistry) -> None:
    content = index_of(amd64=manifest_of(config_blob()))
    registry.handler = lambda request: httpx.Response(200, content=content)
    found = registry.client().manifest(APP)
    assert found.digest == digest_of(content)
    assert isinstance(found.document, Index)


def test_a_sha512_digest_is_verified_as_such(registry: FakeRegistry) -> None:
    content = manifest_of(config_blob())
    digest = f"sha512:{hashlib.sha512(content).hexdigest()}"
    registry.documents[f"team/app/manifests/{digest}"] = content
    registry.handler = lambda request: httpx.Response(200, content=content)
    assert registry.client().manifest(APP.pinned(digest)).digest == digest
    registry.handler = lambda request: httpx.Response(200, content=content + b" ")
    assert code_of(registry.client(), APP.pinned(digest)) is ErrorCode.DIGEST_MISMATCH


def test_head_tells_digest_type_and_size_and_leaves_out_what_is_not_said(registry: FakeRegistry) -> None:
    head = registry.client().head_manifest(APP)
    content = manifest_of(config_blob())
    assert (head.digest, head.size_bytes) == (digest_of(content), len(content))
    registry.handler = lambda request: httpx.Response(200, headers={"Content-Type": OCI_MANIFEST})
    bare = registry.client().head_manifest(APP)
    assert (bare.digest, bare.media_type) == (None, OCI_MANIFEST)


def test_a_config_is_whole_and_verified(registry: FakeRegistry) -> None:
    blob = config_blob()
    wanted = Descriptor(media_type=OCI_CONFIG, digest=digest_of(blob), size_bytes=len(blob))
    assert registry.client().config("team/app", wanted) == blob
    registry.documents[f"team/app/blobs/{digest_of(blob)}"] = b"x" * len(blob)
    with pytest.raises(RegistryError) as caught:
        registry.client().config("team/app", wanted)
    assert caught.value.code is ErrorCode.DIGEST_MISMATCH


def test_a_config_larger_than_its_descriptor_or_than_any_config_is_too_large(registry: FakeRegistry) -> None:
    blob = config_blob()
    for size in (len(blob) - 1, MAX_CONFIG_BYTES + 1):
        with pytest.raises(RegistryError) as caught:
            registry.client().config(
                "team/app", Descriptor(media_type=OCI_CONFIG, digest=digest_of(blob), size_bytes=size)
            )
        assert caught.value.code is ErrorCode.TOO_LARGE
    assert len(registry.requests) == 1


def test_ping_without_authentication_takes_a_401_for_an_answer_and_looks_up_no_credentials(
    registry: FakeRegistry,
) -> None:
    registry.handler = with_basic(registry, BASIC)
    ping = registry.client("env:ABSENT").ping(authenticate=False)
    assert (ping.status, [challenge.scheme for challenge in ping.challenges]) == (401, ["basic"])


def test_ping_with_authentication_answers_the_challenge(registry: FakeRegistry) -> None:
    registry.handler = with_basic(registry, BASIC)
    assert registry.client("env:CI").ping().status == 200
    assert registry.authorizations == [None, BASIC]


def test_basic_is_kept_for_the_repository_once_it_was_asked_for(registry: FakeRegistry) -> None:
    registry.handler = with_basic(registry, BASIC)
    client = registry.client("env:CI")
    client.manifest(APP)
    client.manifest(APP)
    assert registry.authorizations == [None, BASIC, BASIC]


def test_no_credentials_are_sent_or_looked_up_where_none_are_asked_for(registry: FakeRegistry) -> None:
    registry.client("env:ABSENT").manifest(APP)
    assert registry.authorizations == [None]


def test_a_wrong_password_is_sent_once_and_is_unauthorized(registry: FakeRegistry) -> None:
    registry.handler = with_basic(registry, "Basic other")
    assert code_of(registry.client("env:CI")) is ErrorCode.UNAUTHORIZED
    assert registry.authorizations == [None, BASIC]
    client = registry.client("env:CI")
    registry.handler = with_basic(registry, BASIC)
    client.manifest(APP)
    registry.handler = with_basic(registry, "Basic other")
    registry.requests.clear()
    assert code_of(client) is ErrorCode.UNAUTHORIZED
    assert registry.authorizations == [BASIC]


def test_an_anonymous_client_of_a_basic_registry_is_unauthorized(registry: FakeRegistry) -> None:
    registry.handler = with_basic(registry, BASIC)
    assert code_of(registry.client()) is ErrorCode.UNAUTHORIZED
    assert registry.authorizations == [None]


def test_a_source_of_credentials_that_fails_is_named_when_a_challenge_asks_for_it(registry: FakeRegistry) -> None:
    registry.handler = with_basic(registry, BASIC)
    with pytest.raises(UsageError, match="env:ABSENT"):
        registry.client("env:ABSENT").manifest(APP)


def test_a_token_is_taken_once_a_repository_and_sent_with_every_request(registry: FakeRegistry) -> None:
    registry.handler = service = TokenService(registry)
    client = registry.client("env:CI")
    client.manifest(APP)
    client.manifest(APP)
    assert service.given == 1
    assert registry.authorizations == [None, BASIC, "Bearer token-1", "Bearer token-1"]
    assert registry.asked[1] == "GET https://auth.example.com/token?service=registry&scope=repository:team/app:pull"


def test_a_token_that_expires_in_mid_session_is_renewed_once_and_the_request_succeeds(registry: FakeRegistry) -> None:
    registry.handler = service = TokenService(registry)
    client = registry.client("env:CI")
    client.manifest(APP)
    service.given = 7  # the registry no longer knows token-1
    registry.requests.clear()
    client.manifest(APP)
    assert registry.authorizations == ["Bearer token-1", BASIC, "Bearer token-8"]


def test_a_registry_that_refuses_its_own_fresh_token_is_asked_no_third_time(registry: FakeRegistry) -> None:
    registry.handler = service = TokenService(registry)
    service.refuse_all = True
    assert code_of(registry.client("env:CI")) is ErrorCode.UNAUTHORIZED
    assert service.given == 1
    assert len(registry.requests) == 3


def test_a_token_is_renewed_shortly_before_it_ends(registry: FakeRegistry) -> None:
    registry.handler = service = TokenService(registry, expires_in=300)
    now_s = [1000.0]
    client = registry.client("env:CI", monotonic=lambda: now_s[0])
    client.manifest(APP)
    now_s[0] += 289.9
    client.manifest(APP)
    assert service.given == 1
    now_s[0] += 0.2
    registry.requests.clear()
    client.manifest(APP)
    assert service.given == 2
    assert registry.authorizations == [BASIC, "Bearer token-2"]


def test_a_known_user_without_the_scope_is_forbidden_and_an_anonymous_one_unauthorized(registry: FakeRegistry) -> None:
    registry.handler = service = TokenService(registry)
    service.refuse_all, service.error = True, ',error="insufficient_scope"'
    assert code_of(registry.client("env:CI")) is ErrorCode.FORBIDDEN
    assert code_of(registry.client()) is ErrorCode.UNAUTHORIZED


@pytest.mark.parametrize("status", [400, 401, 403])
def test_a_token_service_that_refuses_names_the_user_and_no_secret(registry: FakeRegistry, status: int) -> None:
    service = TokenService(registry)

    def handle(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, text="no") if request.url.host == "auth.example.com" else service(request)

    registry.handler = handle
    with pytest.raises(RegistryError, match="a token for user 'ann'") as caught:
        registry.client("env:CI").manifest(APP)
    assert caught.value.code is ErrorCode.UNAUTHORIZED
    assert SECRET not in str(caught.value)


def test_a_token_service_that_is_rate_limited_is_no_matter_of_credentials(registry: FakeRegistry) -> None:
    service = TokenService(registry)

    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.host == "auth.example.com":
            return httpx.Response(429, headers={"Retry-After": "7"})
        return service(request)

    registry.handler = handle
    with pytest.raises(RegistryError) as caught:
        registry.client("env:CI").manifest(APP)
    assert (caught.value.code, caught.value.retry_after_s) == (ErrorCode.RATE_LIMITED, 7.0)


def test_an_identity_token_is_posted_and_not_sent_to_the_registry(registry: FakeRegistry) -> None:
    registry.handler = TokenService(registry)
    client = registry.client("env:ID", keychain=Keychain(environ={"ID_TOKEN": "refr3sh"}))
    client.manifest(APP)
    assert registry.requests[1].method == "POST"
    assert b"refresh_token=refr3sh" in registry.requests[1].content
    assert registry.authorizations == [None, None, "Bearer token-1"]


def test_what_the_registry_says_of_an_error_is_kept_as_data(registry: FakeRegistry) -> None:
    body = {"errors": [{"code": "TOOMANYREQUESTS", "message": "slow down", "detail": {"limit": 100}}]}
    registry.handler = lambda request: httpx.Response(429, json=body, headers={"Retry-After": "30"})
    with pytest.raises(AnswerError) as caught:
        registry.client().manifest(APP)
    error = caught.value
    assert (error.code, error.status, error.retry_after_s) == (ErrorCode.RATE_LIMITED, 429, 30.0)
    assert [(one.code, one.message) for one in error.problems] == [("TOOMANYREQUESTS", "slow down")]
    assert "100" in error.problems[0].detail
    assert str(error).startswith(
        f"GET {URL}/v2/team/app/manifests/1.0: 429 TOOMANYREQUESTS: slow down (Retry-After 30 s)"
    )


def test_tags_are_listed_over_all_pages(registry: FakeRegistry) -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.params.get("last") == "b":
            return httpx.Response(200, json={"name": "team/app", "tags": ["c"]})
        link = '</v2/team/app/tags/list?n=2&last=b>; rel="next"'
        return httpx.Response(200, json={"tags": ["a", "b"]}, headers={"Link": link})

    registry.handler = handle
    assert list(registry.client().tags("team/app")) == ["a", "b", "c"]


@pytest.mark.parametrize(("most", "asked"), [(1000, ["1000"]), (100, ["1000", "50"]), (10, ["1000", "50", None])])
@pytest.mark.parametrize("status", [400, 422])
def test_a_page_size_that_is_refused_is_made_smaller(
    registry: FakeRegistry, most: int, asked: list[str | None], status: int
) -> None:
    sizes: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sizes.append(request.url.params.get("n"))
        if int(sizes[-1] or 0) > most:
            return httpx.Response(status, json={"errors": [{"code": "PAGINATION_NUMBER_INVALID"}]})
        return httpx.Response(200, json={"tags": ["a"]})

    registry.handler = answer
    assert list(registry.client().tags("a")) == ["a"]
    assert sizes == asked


@pytest.mark.parametrize(("status", "code"), [(404, "NAME_UNKNOWN"), (400, "NAME_INVALID"), (401, "UNAUTHORIZED")])
def test_another_refusal_of_a_list_is_asked_once(registry: FakeRegistry, status: int, code: str) -> None:
    sizes: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sizes.append(request.url.params.get("n"))
        return httpx.Response(status, json={"errors": [{"code": code}]})

    registry.handler = answer
    with pytest.raises(RegistryError):
        list(registry.client().tags("a"))
    assert set(sizes) == {"1000"}


def test_a_repository_without_tags_has_none(registry: FakeRegistry) -> None:
    registry.handler = lambda request: httpx.Response(200, json={"name": "a", "tags": None})
    assert list(registry.client().tags("a")) == []


def test_the_catalog_asks_for_the_scope_of_its_own_challenge(registry: FakeRegistry) -> None:
    asked: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.host == "auth.example.com":
            asked.extend(request.url.params.get_list("scope"))
            return httpx.Response(200, json={"token": "t"})
        if "Authorization" in request.headers:
            return httpx.Response(200, json={"repositories": ["a", "b/c"]})
        challenge = 'Bearer realm="https://auth.example.com/t",scope="registry:catalog:*"'
        return httpx.Response(401, headers={"WWW-Authenticate": challenge})

    registry.handler = handle
    assert list(registry.client().catalog()) == ["a", "b/c"]
    assert asked == ["registry:catalog:*"]


def test_each_exchange_is_shown_to_who_watches_redacted(registry: FakeRegistry) -> None:
    seen: list[ExchangeRecord] = []
    registry.handler = TokenService(registry)
    registry.client("env:CI", on_exchange=seen.append).manifest(APP)
    assert [exchange.status for exchange in seen] == [401, 200, 200]
    assert SECRET not in repr(seen)
    assert "token-1" not in repr(seen)


def test_a_transport_that_fails_is_shown_to_who_watches_too(registry: FakeRegistry) -> None:
    seen: list[ExchangeRecord] = []

    def handle(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("slow", request=request)

    registry.handler = handle
    assert code_of(registry.client(on_exchange=seen.append)) is ErrorCode.STALLED
    assert [(exchange.status, exchange.error_code) for exchange in seen] == [(None, ErrorCode.STALLED)]


def test_a_manifest_of_no_json_is_not_a_registrys(registry: FakeRegistry) -> None:
    registry.handler = lambda request: httpx.Response(200, content=b"<html>hello</html>")
    assert code_of(registry.client()) is ErrorCode.NOT_A_REGISTRY


@pytest.mark.parametrize("content_type", ["", f"{DOCKER_SCHEMA_1}+prettyjws", f"{DOCKER_SCHEMA_1}+json"])
def test_a_manifest_of_schema_1_is_no_image_of_today(registry: FakeRegistry, content_type: str) -> None:
    content, headers = json.dumps({"schemaVersion": 1, "fsLayers": []}).encode(), {"Content-Type": content_type}
    registry.handler = lambda request: httpx.Response(200, content=content, headers=headers)
    with pytest.raises(NoImageError, match="schema 1") as caught:
        registry.client().manifest(Reference.parse("app:1.0"))
    assert (caught.value.code, "anew" in caught.value.remedy) == (ErrorCode.PLATFORM_MISSING, True)
