"""Redirects, proxies, mirrors and TLS: the engine takes the route that it was given and takes no secret elsewhere."""

import base64
import datetime
import ipaddress
import ssl
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pullbench.errors import ErrorCode
from tests.engines.scripted_server import Handler, Incoming, ScriptedServer, answer
from tests.engines.wire_bench import bench, row_of

ENVIRON = {"EU_USERNAME": "alice", "EU_PASSWORD": "secret-word"}


def to(location: str, status: int = 307) -> Handler:
    return answer(status, b"moved", headers=[("Location", location)])


@contextmanager
def another_server(context: ssl.SSLContext | None = None) -> Iterator[ScriptedServer]:
    server = ScriptedServer(context)
    try:
        yield server
    finally:
        server.close()


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.promise("other hosts", "`wire` sends no header of ours to another host after a redirect")
def test_same_origin_keeps_our_headers_from_a_redirect_to_another_host(status: int) -> None:
    with (
        another_server() as storage,
        bench(route={"credentials": "env:EU", "headers": {"X-Key": "secret-word"}}, environ=ENVIRON) as b,
    ):
        content = b.image.layers[1]
        storage.on("/bucket/layer", answer(200, content, headers=[("Age", "3")]))

        def guarded(incoming: Incoming) -> None:
            if "authorization" not in incoming.headers:
                incoming.send(401, headers=[("WWW-Authenticate", 'Basic realm="r"')])
            else:
                to(f"{storage.url}/bucket/layer?X-Signature=abc%2F+d", status)(incoming)

        b.server.on(b.image.blob_path(content), guarded)
        outcome = b.pull()
        assert outcome.ok, outcome.error
        (asked,) = storage.seen
        assert asked.path == "/bucket/layer?X-Signature=abc%2F+d"
        assert not {"authorization", "x-key"} & set(asked.headers)
        assert b.server.seen[-1].headers.get("x-key") == "secret-word"
        row = row_of(outcome, content)
        assert (row.status, row.bytes, row.served_by) == (200, len(content), f"{storage.host} age=3")


def test_a_redirect_within_the_registry_keeps_the_authorization_and_may_be_relative() -> None:
    with bench(route={"credentials": "env:EU"}, environ=ENVIRON) as b:
        content = b.image.config

        def guarded(incoming: Incoming) -> None:
            if "authorization" in incoming.headers:
                incoming.send(200, content)
            else:
                incoming.send(401, headers=[("WWW-Authenticate", 'Basic realm="r"')])

        b.server.on("/elsewhere/blob", guarded)
        b.server.on(b.image.blob_path(content), to("/elsewhere/blob"))
        outcome = b.pull()
        assert outcome.ok, outcome.error


def test_one_row_tells_a_redirected_transfer_whole() -> None:
    with another_server() as storage, bench(engine={"layer_concurrency": 1}) as b:
        content = b.image.layers[1]
        storage.on("/x", answer(200, content))
        b.server.on(b.image.blob_path(content), to(f"{storage.url}/x"))
        row = row_of(b.pull(), content)
        assert row.reused is False  # the storage's connection was new
        assert row.connect_s and row.wait_s and row.transfer_s
        assert row.dns_s is not None and row.tls_s == 0.0
        assert row.dns_s + row.connect_s + row.wait_s + row.transfer_s <= (row.total_s or 0)


def test_redirects_that_never_end_are_a_redirect_loop_after_ten() -> None:
    with bench() as b:
        path = b.image.blob_path(b.image.layers[1])
        b.server.on(path, to(path))
        outcome = b.pull()
        assert outcome.error_code is ErrorCode.REDIRECT_LOOP
        assert b.server.paths().count(path) == 11


@pytest.mark.parametrize(
    "location",
    [
        "",
        "file:///etc/passwd",
        "ftp://127.0.0.1/x",
        "http://[::1",
        "http://127.0.0.1:99999/x",
        "http://ann:pw@127.0.0.1:9/x",
    ],
)
def test_a_redirect_that_leads_nowhere_is_not_a_registry(location: str) -> None:
    with bench() as b:
        b.server.on(b.image.blob_path(b.image.layers[1]), to(location))
        outcome = b.pull()
        assert outcome.error_code is ErrorCode.NOT_A_REGISTRY
        assert "pw" not in (outcome.error or "")


def test_a_location_beyond_ascii_is_followed_as_its_bytes() -> None:
    with bench() as b:
        content = b.image.layers[1]
        b.server.on("/caf%E9%20x", answer(200, content))
        b.server.on(b.image.blob_path(content), to("/caf\xe9 x"))
        outcome = b.pull()
        assert outcome.ok, outcome.error


def test_a_signed_url_is_not_told_in_an_error() -> None:
    with bench() as b:
        b.server.on(b.image.blob_path(b.image.layers[1]), to("/gone?X-Amz-Signature=s3cret"))
        outcome = b.pull()
        assert outcome.error_code is ErrorCode.NOT_FOUND
        assert "/gone" in (outcome.error or "") and "s3cret" not in repr(outcome)


def test_a_storage_service_is_quoted_by_its_code_alone() -> None:
    said = b"<Error><Code>SignatureDoesNotMatch</Code><StringToSign>s3cret</StringToSign></Error>"
    with another_server() as storage, bench() as b:
        storage.on("/x", answer(403, said))
        b.server.on(b.image.blob_path(b.image.layers[1]), to(f"{storage.url}/x"))
        outcome = b.pull()
        assert outcome.error_code is ErrorCode.FORBIDDEN
        assert (outcome.error or "").endswith("403 SignatureDoesNotMatch")


@pytest.mark.promise("other hosts", "`wire` answers no challenge of another host")
def test_same_origin_lets_no_other_host_ask_for_a_token() -> None:
    with another_server() as storage, bench(route={"credentials": "env:EU"}, environ=ENVIRON) as b:
        challenge = [("WWW-Authenticate", f'Bearer realm="{storage.url}/token"')]
        storage.on("/x", answer(401, headers=challenge))
        b.server.on(b.image.blob_path(b.image.layers[1]), to(f"{storage.url}/x"))
        assert b.pull().error_code is ErrorCode.UNAUTHORIZED
        assert storage.paths() == ["/x"]


# Proxies and mirrors


def test_proxies_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    with another_server() as proxy, bench() as b:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        assert b.pull().ok
        assert proxy.seen == []


def test_a_forward_proxy_is_used_even_where_the_environment_exempts_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with another_server() as proxy, bench(route={"proxy": "squid", "forward_url": proxy.url}) as b:

        def forward(incoming: Incoming) -> None:
            incoming.path = urlsplit(incoming.path).path
            b.server._answer(incoming)

        proxy._answer = forward  # type: ignore[method-assign]
        outcome = b.pull()
        assert outcome.ok, outcome.error
        assert b.server.connections == 0
        assert outcome.served_by == proxy.host


def test_a_forward_proxys_login_goes_to_it_and_to_nobody_else() -> None:
    route = {"proxy": "squid", "forward_credentials": "env:P"}
    login = {"P_USERNAME": "ann", "P_PASSWORD": "p:é"}
    expected = "Basic " + base64.b64encode("ann:p:é".encode()).decode()
    given: set[str | None] = set()
    with another_server() as proxy, bench(route={**route, "forward_url": proxy.url}, environ=login) as b:

        def forward(incoming: Incoming) -> None:
            given.add(incoming.headers.get("proxy-authorization"))
            incoming.path = urlsplit(incoming.path).path
            b.server._answer(incoming)

        proxy._answer = forward  # type: ignore[method-assign]
        assert b.pull().ok
        assert given == {expected}
    with bench(route=route, environ=login) as b:
        assert b.pull().ok
        assert all("proxy-authorization" not in str(incoming.headers).lower() for incoming in b.server.seen)


@pytest.mark.parametrize("header", [("X-Squid-Error", "ERR_CONNECT_FAIL 111"), ("Proxy-Status", "cache; error=x")])
def test_a_gateway_error_that_the_proxy_calls_its_own_is_proxy(header: tuple[str, str]) -> None:
    with bench() as b:
        b.server.on(b.image.manifest_path(b.image.index), answer(503, headers=[header]))
        assert b.pull().error_code is ErrorCode.PROXY


@pytest.mark.parametrize("refusal", [answer(403), answer(407), answer(503)])
def test_a_refused_connect_is_proxy(refusal: Handler) -> None:
    with another_server() as proxy:
        proxy.on("registry.example:443", refusal)
        route = {"url": "https://registry.example", "proxy": "squid", "forward_url": proxy.url}
        with bench(route=route) as b:
            outcome = b.pull()
            assert outcome.error_code is ErrorCode.PROXY
            assert [incoming.method for incoming in proxy.seen] == ["CONNECT"]
            assert outcome.transfers[0].served_by is None


def test_a_proxy_that_is_not_there_is_proxy() -> None:
    with another_server() as gone:
        url = gone.url
    with bench(route={"proxy": "squid", "forward_url": url}) as b:
        assert b.pull().error_code is ErrorCode.PROXY


def test_a_mirror_is_asked_with_its_prefix_and_headers() -> None:
    with bench(route={"proxy": "cache", "prefix": "hub-proxy", "headers": {"X-Dragonfly-Registry": "eu"}}) as b:
        for path, handlers in list(b.server._handlers.items()):
            b.server.on(path.replace("/v2/", "/v2/hub-proxy/"), handlers[0])
            del b.server._handlers[path]
        assert b.pull().ok
        assert {incoming.headers.get("x-dragonfly-registry") for incoming in b.server.seen} == {"eu"}


def test_a_mirror_of_several_registries_is_told_the_registry_with_each_request() -> None:
    with bench(route={"proxy": "spegel", "namespace": "docker.io"}) as b:
        assert b.pull().ok
        assert {incoming.path.partition("?")[2] for incoming in b.server.seen} == {"ns=docker.io"}


# TLS


@pytest.fixture(scope="module")
def own_ca(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that signs itself, and its key beside it."""
    return certificate(tmp_path_factory.mktemp("tls") / "own.pem", "127.0.0.1", days=1)


def certificate(
    path: Path, address: str, days: int, *, common: str = "test", names: x509.SubjectAlternativeName | None = None
) -> Path:
    """A certificate for an address that signs itself. `names` replace the address; an empty list leaves them out."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common)])
    now = datetime.datetime.now(datetime.UTC)
    if names is None:
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=10))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    )
    made = (builder.add_extension(names, critical=False) if list(names) else builder).sign(key, hashes.SHA256())
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    path.with_suffix(".key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    )
    return path


def server_context(path: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path, path.with_suffix(".key"))
    return context


def test_a_registry_with_its_own_ca_is_pulled_over_tls_and_the_handshake_is_timed(own_ca: Path) -> None:
    with bench(context=server_context(own_ca), route={"ca_file": str(own_ca)}) as b:
        outcome = b.pull()
        assert outcome.ok, outcome.error
        first = outcome.transfers[0]
        assert first.tls_s and first.reused is False
        assert outcome.transfers[1].tls_s == 0.0 and outcome.transfers[1].reused


def test_a_ca_that_is_not_named_is_untrusted(own_ca: Path) -> None:
    with bench(context=server_context(own_ca)) as b:
        outcome = b.pull()
        assert outcome.error_code is ErrorCode.TLS_UNTRUSTED
        assert b.server.seen == []


def test_an_expired_certificate_and_a_foreign_name_are_told_apart(tmp_path: Path) -> None:
    expired = certificate(tmp_path / "expired.pem", "127.0.0.1", days=-1)
    foreign = certificate(tmp_path / "foreign.pem", "127.0.0.9", days=1)
    for path, code in ((expired, ErrorCode.TLS_EXPIRED), (foreign, ErrorCode.TLS_HOSTNAME)):
        with bench(context=server_context(path), route={"ca_file": str(path)}) as b:
            assert b.pull().error_code is code


def test_a_server_of_tls_1_1_is_refused_whatever_openssl_cnf_says(own_ca: Path) -> None:
    context = server_context(own_ca)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore"):  # these versions are deprecated, which is the point
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with bench(context=context, route={"ca_file": str(own_ca)}) as b:
        assert b.pull().error_code is ErrorCode.TLS_UNTRUSTED


def test_a_ca_file_that_is_not_there_is_untrusted_and_named(tmp_path: Path, own_ca: Path) -> None:
    missing = tmp_path / "missing.pem"
    with bench(context=server_context(own_ca), route={"ca_file": str(missing)}) as b:
        outcome = b.pull()
        assert outcome.error_code is ErrorCode.TLS_UNTRUSTED
        assert "missing.pem" in (outcome.error or "")


def test_a_redirect_from_tls_may_go_to_another_host_of_the_same_ca(own_ca: Path) -> None:
    context = server_context(own_ca)
    with another_server(context) as storage, bench(context=context, route={"ca_file": str(own_ca)}) as b:
        content = b.image.layers[1]
        storage.on("/x", answer(200, content))
        b.server.on(b.image.blob_path(content), to(f"{storage.url}/x"))
        outcome = b.pull()
        assert outcome.ok, outcome.error


def test_a_redirect_may_go_from_a_private_ca_to_a_public_one(
    own_ca: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    public = certificate(tmp_path / "public.pem", "127.0.0.1", days=1)
    monkeypatch.setattr("pullbench.engines.wire.engine.public_roots", lambda: str(public))
    context, route = server_context(own_ca), {"ca_file": str(own_ca)}
    with another_server(server_context(public)) as storage, bench(context=context, route=route) as b:
        content = b.image.layers[1]
        storage.on("/x", answer(200, content))
        b.server.on(b.image.blob_path(content), to(f"{storage.url}/x"))
        outcome = b.pull()
        assert outcome.ok, outcome.error


@pytest.mark.promise("plain http", "A redirect from HTTPS to plain HTTP is not followed")
def test_the_destination_of_a_redirect_from_tls_is_not_in_the_clear(own_ca: Path) -> None:
    with another_server() as storage, bench(context=server_context(own_ca), route={"ca_file": str(own_ca)}) as b:
        b.server.on(b.image.blob_path(b.image.layers[1]), to(f"{storage.url}/x"))
        outcome = b.pull()
        assert outcome.error_code is ErrorCode.PLAIN_HTTP and "redirects from https" in (outcome.error or "")
        assert storage.seen == []
