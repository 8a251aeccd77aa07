"""wire refuses a certificate without names, as Go's clients and the control plane do; libcurl alone reads its common name."""

import ipaddress
from pathlib import Path

import pytest
from cryptography import x509

from pullbench.engines.wire.server_names import ServerNames
from pullbench.errors import ErrorCode, RegistryError
from pullbench.registry.client import RegistryClient
from pullbench.registry.keychain import Keychain
from tests.engines.scripted_server import answer
from tests.engines.test_wire_routes import another_server, certificate, server_context, to
from tests.engines.wire_bench import bench

HOST = "127.0.0.1"
ADDRESS = x509.IPAddress(ipaddress.ip_address(HOST))
NAMES: dict[str, list[x509.GeneralName]] = {
    "none": [],
    "another kind": [x509.RFC822Name("registry@example.com")],
    "an address": [ADDRESS],
    "an address among others": [x509.DNSName("registry.example.com"), ADDRESS],
}


@pytest.mark.parametrize("version", ["1.1", "2"])
@pytest.mark.parametrize(
    ("names", "code"),
    [
        ("none", ErrorCode.TLS_HOSTNAME),
        ("another kind", ErrorCode.TLS_HOSTNAME),
        ("an address", None),
        ("an address among others", None),
    ],
)
def test_both_planes_read_names_and_no_common_name(
    tmp_path: Path, names: str, code: ErrorCode | None, version: str
) -> None:
    own = certificate(tmp_path / "own.pem", HOST, days=1, common=HOST, names=x509.SubjectAlternativeName(NAMES[names]))
    with bench(context=server_context(own), route={"ca_file": str(own)}, engine={"http_version": version}) as b:
        b.server.on("/v2/", answer(200, b"{}"))
        assert b.pull().error_code is code
        with RegistryClient(b.request.route, Keychain(environ={})) as client:
            try:
                client.ping()
            except RegistryError as error:
                assert error.code is code
            else:
                assert code is None


def nameless(tmp_path: Path) -> Path:
    return certificate(tmp_path / "own.pem", HOST, days=1, common=HOST, names=x509.SubjectAlternativeName([]))


@pytest.mark.parametrize("auth", ["persisted", "per-pull"])
def test_each_pull_is_refused_also_on_a_kept_connection(tmp_path: Path, auth: str) -> None:
    own = nameless(tmp_path)
    with bench(context=server_context(own), route={"ca_file": str(own)}, auth=auth) as b:
        outcomes = [b.pull() for _ in range(3)]
    assert [outcome.error_code for outcome in outcomes] == [ErrorCode.TLS_HOSTNAME] * 3
    assert [row.error_code for outcome in outcomes for row in outcome.transfers] == [ErrorCode.TLS_HOSTNAME] * 3
    assert "docker" in (outcomes[0].error or "") and "subjectAltName" in (outcomes[0].error or "")


def test_a_storage_without_a_name_is_refused_where_the_registry_has_one(tmp_path: Path) -> None:
    own = certificate(tmp_path / "named.pem", HOST, days=1)
    bare = nameless(tmp_path)
    both = tmp_path / "both.pem"
    both.write_bytes(own.read_bytes() + bare.read_bytes())
    with (
        another_server(server_context(bare)) as storage,
        bench(context=server_context(own), route={"ca_file": str(both)}) as b,
    ):
        content = b.image.layers[1]
        storage.on("/x", answer(200, content))
        b.server.on(b.image.blob_path(content), to(f"{storage.url}/x"))
        outcome = b.pull()
    assert outcome.error_code is ErrorCode.TLS_HOSTNAME
    refused = [row for row in outcome.transfers if row.error_code is ErrorCode.TLS_HOSTNAME]
    assert refused and all(row.kind == "layer" for row in refused)


@pytest.mark.parametrize("common", ["Régistre", "名前", HOST])
def test_a_certificate_of_any_characters_is_read(tmp_path: Path, common: str) -> None:
    own = certificate(tmp_path / "own.pem", HOST, days=1, common=common)
    with bench(context=server_context(own), route={"ca_file": str(own)}) as b:
        assert b.pull().ok


def test_a_certificate_is_read_once_and_in_no_kept_handshake() -> None:
    names = ServerNames()
    assert names.is_due("r.io:443") and not names.is_nameless("r.io:443")
    names.note("r.io:443", ())
    assert names.is_due("r.io:443"), "a kept connection shows no certificate"
    names.note("r.io:443", (("X509v3 Subject Alternative Name", "DNS:r.io"),))
    assert not names.is_due("r.io:443") and not names.is_nameless("r.io:443")
    names.note("s.io:443", (("Subject", "CN=s.io"),))
    assert names.is_nameless("s.io:443") and not names.is_nameless("s.io:8443")
