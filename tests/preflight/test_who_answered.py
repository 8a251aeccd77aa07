"""Who refused: the registry, its token service, a storage, a proxy in front, or a box between; and what each remedy names."""

import json
from collections.abc import Callable

import httpx
import pytest

from pullbench.errors import ErrorCode
from pullbench.model.finding import Finding, Status
from pullbench.preflight.checks import api, auth, image
from pullbench.preflight.checks import range as range_check
from tests.preflight.contexts import context_over, spec_of, target_of
from tests.registry.fake_registry import URL, FakeRegistry, config_blob, index_of, manifest_of

HTML = {"Content-Type": "text/html"}
BLOCKED = httpx.Response(403, headers=HTML, content=b"<html><title>Access Denied by Policy</title></html>")
Answer = Callable[[httpx.Request], httpx.Response | None]


@pytest.fixture
def registry() -> FakeRegistry:
    found, config = FakeRegistry(), config_blob()
    manifest = manifest_of(config)
    found.put_manifest("app", "amd64", manifest)
    found.put_manifest("app", "1.0", index_of(amd64=manifest))
    found.put_blob("app", config)
    return found


def but(registry: FakeRegistry, change: Answer) -> FakeRegistry:
    """The registry with other answers where `change` has one."""
    registry.handler = lambda request: change(request) or registry.serve(request)
    return registry


def found_by(registry: FakeRegistry, check: object, credentials: str = "anonymous") -> Finding:
    with context_over(registry, spec_of(credentials=credentials)) as context:
        target = target_of(context, image="app:1.0" if check is image else None)
        found: Finding
        (found,) = check.CHECK.judge(check.CHECK.probe(context, target), target)  # type: ignore[attr-defined]
        return found


def to_storage(answer: httpx.Response | Exception, host: str = "https://s3.example:9000") -> Answer:
    """Blobs are redirected to a storage service that answers so."""

    def change(request: httpx.Request) -> httpx.Response | None:
        if request.url.host == "s3.example":
            if isinstance(answer, Exception):
                raise answer
            return answer
        is_blob = "/blobs/" in request.url.path
        return httpx.Response(307, headers={"Location": f"{host}/bucket?sig=secret"}) if is_blob else None

    return change


@pytest.mark.parametrize("credentials", ["anonymous", "env:CI"])
@pytest.mark.parametrize("check", [auth, image])
def test_a_block_page_is_no_matter_of_a_login(registry: FakeRegistry, check: object, credentials: str) -> None:
    found = found_by(
        but(registry, lambda request: BLOCKED if "/manifests/" in request.url.path else None), check, credentials
    )
    assert (found.status, found.code, found.parameters["answered_by"]) == (Status.FAIL, "forbidden", "box_between")
    assert "docker login" not in found.remedy and "registry.example.com" in found.remedy
    assert "login is valid" not in found.observed and "requires a login" not in found.observed


def test_a_proxy_in_front_that_cannot_reach_the_registry_is_named(registry: FakeRegistry) -> None:
    page = b"<html><head><title>502 Bad Gateway</title></head><center>nginx/1.18.0</center></html>"
    found = found_by(
        but(registry, lambda _: httpx.Response(502, headers={**HTML, "Server": "nginx"}, content=page)), api
    )
    assert (found.code, found.parameters["answered_by"]) == ("server_error", "in_front")
    assert "502 Bad Gateway" in found.observed and "nginx" in found.observed
    assert "in front of the registry" in found.remedy


@pytest.mark.parametrize(
    ("answer", "code", "quoted"),
    [
        (
            httpx.Response(403, content=b"<Error><Code>AccessDenied</Code><Message>No.</Message>"),
            "forbidden",
            "AccessDenied: No.",
        ),
        (httpx.Response(404, content=b"<Error><Code>NoSuchKey</Code>"), "not_found", "NoSuchKey"),
        (httpx.Response(400, content=b"<Error><Code>InvalidArgument</Code>"), "server_error", "InvalidArgument"),
        (httpx.Response(200, headers=HTML, content=b"<html>Sign in"), "not_a_registry", "text/html"),
        (httpx.ConnectError("refused"), "reset", "refused"),
    ],
)
def test_a_storage_that_refuses_is_named_with_its_port_and_never_a_login(
    registry: FakeRegistry, answer: httpx.Response | Exception, code: str, quoted: str
) -> None:
    found = found_by(but(registry, to_storage(answer)), range_check)
    assert (found.status, found.code, found.parameters["answered_by"]) == (Status.FAIL, code, "redirect")
    assert quoted in found.observed and "secret" not in found.observed
    assert "s3.example:9000" in found.remedy and "docker login" not in found.remedy


@pytest.mark.parametrize(
    ("location", "headers"),
    [
        ("http://s3.example:9000/bucket", {}),
        ("", {"WWW-Authenticate": f'Bearer realm="{URL.replace("https", "http")}/token",service="r"'}),
    ],
)
def test_an_https_registry_that_leads_to_http_is_never_to_be_written_as_http(
    registry: FakeRegistry, location: str, headers: dict[str, str]
) -> None:
    def change(request: httpx.Request) -> httpx.Response | None:
        if headers:
            return httpx.Response(401, headers=headers)
        return httpx.Response(307, headers={"Location": location}) if "/blobs/" in request.url.path else None

    found = found_by(but(registry, change), auth if headers else range_check, "env:CI" if headers else "anonymous")
    assert (found.status, found.code) == (Status.FAIL, "plain_http")
    assert "X-Forwarded-Proto" in found.remedy and "write http://" not in found.remedy


def behind(answer: httpx.Response | Exception) -> Answer:
    """The registry behind a token service that answers so."""

    def change(request: httpx.Request) -> httpx.Response | None:
        if request.url.host == "auth.example":
            if isinstance(answer, Exception):
                raise answer
            return answer
        return httpx.Response(
            401, headers={"WWW-Authenticate": 'Bearer realm="https://auth.example:8443/token",service="r"'}
        )

    return change


@pytest.mark.parametrize("credentials", ["anonymous", "env:CI"])
def test_a_token_service_that_refuses_an_address_is_quoted_and_no_login_is_advised(
    registry: FakeRegistry, credentials: str
) -> None:
    words = "client with IP 203.0.113.7 is not allowed"
    answer = httpx.Response(403, json={"errors": [{"code": "DENIED", "message": words}]})
    found = found_by(but(registry, behind(answer)), auth, credentials)
    assert (found.status, found.code, found.parameters["answered_by"]) == (Status.FAIL, "forbidden", "token_service")
    assert words in found.observed and "auth.example:8443" in found.remedy and "docker login" not in found.remedy


def test_a_token_service_that_is_down_is_named_with_its_own_port(registry: FakeRegistry) -> None:
    refused = httpx.ConnectError("refused")
    refused.__cause__ = ConnectionRefusedError(111, "refused")
    found = found_by(but(registry, behind(refused)), auth)
    assert (found.code, found.parameters["answered_by"]) == ("connect_refused", "token_service")
    assert "`nc -vz auth.example 8443`" in found.remedy


@pytest.mark.parametrize("status", [500, 503])
def test_a_token_service_that_fails_is_not_the_registry(registry: FakeRegistry, status: int) -> None:
    found = found_by(but(registry, behind(httpx.Response(status))), auth)
    assert found.code == "server_error" and "token service at auth.example:8443" in found.remedy


@pytest.mark.parametrize("status", [403, 429])
def test_a_rate_limit_in_another_status_is_one(registry: FakeRegistry, status: int) -> None:
    body = json.dumps({"errors": [{"code": "TOOMANYREQUESTS", "message": "slow down"}]}).encode()

    def change(request: httpx.Request) -> httpx.Response | None:
        return httpx.Response(status, content=body) if "/manifests/" in request.url.path else None

    assert found_by(but(registry, change), image).code is ErrorCode.RATE_LIMITED
