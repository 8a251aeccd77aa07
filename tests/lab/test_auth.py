import base64
import json
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from pullbench.lab.auth import AccessControl, AuthRules
from pullbench.lab.contents import Contents, LabImage
from pullbench.lab.registry import Registry
from tests.lab.conftest import ask

GOOD = "Basic " + base64.b64encode(b"ada:s3:cret").decode()
BAD = "Basic " + base64.b64encode(b"ada:guess").decode()
SCOPE = "repository:lab/app-1:pull"


def rules(kind: str) -> AuthRules:
    assert kind in ("basic", "bearer")
    return AuthRules(kind=kind, username="ada", password="s3:cret", expires_s=60)  # type: ignore[arg-type]


@pytest.fixture
def bearer(images: tuple[LabImage, ...]) -> Iterator[Registry]:
    with Registry(Contents(images), auth=rules("bearer")) as running:
        yield running


def token(registry: Registry, scope: str, authorization: str = GOOD) -> str:
    answer = ask(registry.url, f"/token?service=pullbench-lab&scope={scope}", Authorization=authorization)
    assert answer.status == 200
    return f"Bearer {json.loads(answer.body)['token']}"


def test_basic_lets_the_account_in_and_nobody_else(images: tuple[LabImage, ...]) -> None:
    with Registry(Contents(images), auth=rules("basic")) as registry:
        refused = ask(registry.url, "/v2/")
        assert refused.status == 401
        assert refused.headers["www-authenticate"] == 'Basic realm="pullbench-lab"'
        assert json.loads(refused.body)["errors"][0]["code"] == "UNAUTHORIZED"
        for wrong in (BAD, "Basic !!!", "Basic", "Bearer abc", GOOD + "x"):
            assert ask(registry.url, "/v2/", Authorization=wrong).status == 401
        assert ask(registry.url, "/v2/", Authorization=GOOD).status == 200
        assert ask(registry.url, "/token").status == 401


def test_bearer_challenges_with_realm_service_and_scope(bearer: Registry) -> None:
    refused = ask(bearer.url, "/v2/lab/app-1/manifests/1.0")
    assert refused.status == 401
    expected = f'Bearer realm="http://{urlsplit(bearer.url).netloc}/token",service="pullbench-lab",scope="{SCOPE}"'
    assert refused.headers["www-authenticate"] == expected


def test_a_token_opens_its_scope_and_no_other(bearer: Registry) -> None:
    authorization = token(bearer, SCOPE)
    assert ask(bearer.url, "/v2/", Authorization=authorization).status == 200
    assert ask(bearer.url, "/v2/lab/app-1/manifests/1.0", Authorization=authorization).status == 200
    for path in ("/v2/lab/app-2/manifests/1.0", "/v2/_catalog"):
        refused = ask(bearer.url, path, Authorization=authorization)
        assert refused.status == 401
        assert refused.headers["www-authenticate"].endswith('error="insufficient_scope"')
    catalog = token(bearer, "registry:catalog:*")
    assert ask(bearer.url, "/v2/_catalog", Authorization=catalog).status == 200
    assert bearer.counters.as_dict()["tokens"] == 2


def test_a_wrong_password_or_service_gets_no_token(bearer: Registry) -> None:
    for path, authorization in (
        (f"/token?service=pullbench-lab&scope={SCOPE}", BAD),
        (f"/token?service=pullbench-lab&scope={SCOPE}", ""),
        (f"/token?service=another&scope={SCOPE}", GOOD),
    ):
        assert ask(bearer.url, path, Authorization=authorization).status == 401
    assert bearer.counters.as_dict()["tokens"] == 0


def test_basic_credentials_are_no_token(bearer: Registry) -> None:
    assert ask(bearer.url, "/v2/", Authorization=GOOD).status == 401


def test_a_token_expires() -> None:
    now = 100.0
    access = AccessControl(rules("bearer"), monotonic=lambda: now)
    document = access.token(GOOD, {"scope": [f"{SCOPE},push repository:x:y/z:pull"]})
    assert document is not None and document["expires_in"] == 60 and document["access_token"] == document["token"]
    authorization = f"Bearer {document['token']}"
    for scope in (SCOPE, "repository:x:y/z:pull"):
        assert access.refuse(authorization, scope=scope, host="h") is None
    refused = access.refuse(authorization, scope="repository:lab/app-1:push", host="h")
    assert refused is not None and refused.code == "DENIED"
    now = 160.0
    refused = access.refuse(authorization, scope=SCOPE, host="h")
    assert refused is not None and refused.challenge.endswith('error="invalid_token"')


def test_no_secret_stands_in_what_is_printed() -> None:
    assert "s3:cret" not in repr(rules("basic"))
