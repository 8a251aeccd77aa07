"""A registry may say back to us what we sent; no text of ours repeats it."""

import json

import httpx
import pytest

from pullbench.errors import RegistryError
from pullbench.registry.auth import Credentials, basic_header
from pullbench.registry.redaction import redacted, secrets_of
from tests.registry.fake_registry import SECRET, FakeRegistry

ANN = Credentials(username="ann", password='pa"55wörd/+')
BASIC = basic_header(ANN).partition(" ")[2]


@pytest.mark.parametrize(
    "echo",
    [
        'you sent pa"55wörd/+',
        json.dumps('you sent pa"55wörd/+'),
        json.dumps('you sent pa"55wörd/+', ensure_ascii=False),
        "?password=pa%2255w%C3%B6rd%2F%2B",
        f"Authorization: Basic {BASIC}",
        f"<{BASIC}>",
        "<p>you sent pa&quot;55wörd/+</p>",
        'x-cache="you sent pa"55wö…',
        f"via {BASIC[:9]}…",
    ],
)
@pytest.mark.promise("secrets", "Credentials that a registry repeats are removed, in every form")
def test_redacted_knows_credentials_however_they_are_written(echo: str) -> None:
    told = redacted(echo, [ANN])
    assert "55w" not in told and BASIC[:9] not in told
    assert "(redacted)" in told


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("https://s3.example/x?X-Amz-Credential=AKIA&X-Amz-Signature=planted1&n=1", "planted1"),
        ("https://blob.example/x?sv=2024&sig=planted2%3D", "planted2"),
        ("see https://x/y?n=1&access_token=planted3>", "planted3"),
        ("Bearer planted4-planted4-planted4", "planted4"),
        ("https://me:planted5@r.io/v2/", "planted5"),
    ],
)
@pytest.mark.promise("secrets", "What looks like another party's secret is removed from a registry's text")
def test_redacted_takes_out_what_looks_like_a_secret_of_somebody_else(text: str, secret: str) -> None:
    assert secret not in redacted(text)


def test_what_is_no_secret_stays() -> None:
    text = 'GET https://r.io/v2/a/tags/list?n=100&last=b: 401 Bearer realm="https://auth.r.io/token" sha256:0123456789'
    assert redacted(text, [ANN]) == text


def test_what_a_request_carried_is_known() -> None:
    assert secrets_of(basic_header(ANN)) == (BASIC, ANN.password)
    assert secrets_of("Bearer abc") == ("abc",)
    assert secrets_of(None, b"grant_type=refresh_token&refresh_token=opaque%2Bone") == ("opaque+one",)
    assert secrets_of("Basic ?") == ("?",)
    assert secrets_of(None) == ()


def echoing(status: int) -> FakeRegistry:
    """Says in every error what it was sent, in body and headers."""
    registry = FakeRegistry()

    def handle(request: httpx.Request) -> httpx.Response:
        sent = request.headers.get("Authorization", "")
        if not sent and b"refresh_token" not in request.content:
            return httpx.Response(401, headers={"WWW-Authenticate": registry.challenge})  # type: ignore[attr-defined]
        body = {
            "errors": [{"code": "DENIED", "message": f"{SECRET} {sent} {request.content.decode()}", "detail": sent}]
        }
        return httpx.Response(status, json=body, headers={"Retry-After": "1"})

    registry.handler = handle
    return registry


@pytest.mark.parametrize("challenge", ["Basic", 'Bearer realm="https://auth.example.com/token"'])
@pytest.mark.parametrize("status", [401, 403, 429, 500])
@pytest.mark.promise("secrets", "An error of the control plane repeats nothing that was in the request")
def test_the_fault_of_an_answer_repeats_nothing_that_the_request_carried(challenge: str, status: int) -> None:
    registry = echoing(status)
    registry.challenge = challenge  # type: ignore[attr-defined]
    with pytest.raises(RegistryError) as raised:
        registry.client("env:CI").ping()
    told = f"{raised.value} {vars(raised.value)}"
    sent = registry.authorizations[-1] or ""
    assert SECRET not in told and sent.partition(" ")[2] not in told
    assert "(redacted)" in raised.value.detail


def test_a_page_in_plain_text_is_cleaned_too() -> None:
    registry = FakeRegistry()

    def handle(request: httpx.Request) -> httpx.Response:
        sent = request.headers.get("Authorization")
        headers = {"WWW-Authenticate": "Basic", "Content-Type": "text/plain"}
        return httpx.Response(403 if sent else 401, headers=headers, text=f"no: {sent} {SECRET}")

    registry.handler = handle
    with pytest.raises(RegistryError) as raised:
        registry.client("env:CI").ping()
    assert SECRET not in raised.value.detail and "(redacted)" in raised.value.detail
