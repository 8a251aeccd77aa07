import ssl
from pathlib import Path

import certifi
import pytest

from pullbench.errors import UsageError
from pullbench.registry.trust import public_roots, shared_tls_context, tls_context
from tests.registry.sockets import authority


def test_a_ca_file_is_trusted_and_no_other_root(tmp_path: Path) -> None:
    context = tls_context(str(authority(tmp_path, name="Ours").ca_file))
    assert [entry["subject"] for entry in context.get_ca_certs()] == [((("commonName", "Ours"),),)]


def test_the_public_roots_are_trusted_beside_a_ca_where_a_redirect_leads(tmp_path: Path) -> None:
    ca_file = str(authority(tmp_path, name="Ours").ca_file)
    subjects = [entry["subject"] for entry in tls_context(ca_file, public_too=True).get_ca_certs()]
    assert ((("commonName", "Ours"),),) in subjects
    assert len(subjects) > 50


def test_the_public_roots_are_trusted_where_no_ca_is_named() -> None:
    assert len(tls_context(None).get_ca_certs()) > 50


@pytest.mark.parametrize("ca_file", [None, "own"])
def test_certificate_and_host_name_are_always_verified(tmp_path: Path, ca_file: str | None) -> None:
    context = tls_context(str(authority(tmp_path).ca_file) if ca_file else None)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_a_ca_file_that_is_not_there_or_holds_no_certificate_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"ca_file: .*absent[.]pem cannot be used: No such file"):
        tls_context(str(tmp_path / "absent.pem"))
    empty = tmp_path / "empty.pem"
    empty.write_text("no certificate")
    with pytest.raises(UsageError, match=r"ca_file: .*empty[.]pem cannot be used: no PEM certificate"):
        tls_context(str(empty))


def test_a_ca_that_was_added_to_the_machine_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority(tmp_path, name="Company").ca_file))
    assert [entry["subject"] for entry in tls_context(None).get_ca_certs()] == [((("commonName", "Company"),),)]


def test_a_machine_without_a_bundle_trusts_that_of_certifi(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/roots.pem")
    assert public_roots() == certifi.where()


def test_all_who_trust_the_same_share_a_context_until_the_file_is_written_again(tmp_path: Path) -> None:
    ca_file = str(authority(tmp_path, name="Ours").ca_file)
    shared = shared_tls_context(ca_file)
    assert shared_tls_context(ca_file) is shared
    assert shared_tls_context(ca_file, public_too=True) is not shared
    assert tls_context(ca_file) is not shared, "who asks for one of its own may change it"
    authority(tmp_path, name="The next")
    renewed = shared_tls_context(ca_file).get_ca_certs()
    assert [entry["subject"] for entry in renewed] == [((("commonName", "The next"),),)]


def test_no_file_that_cannot_be_read_is_remembered(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(UsageError, match="No such file"):
            shared_tls_context(str(tmp_path / "ca.pem"))
    assert shared_tls_context(str(authority(tmp_path, name="Ours").ca_file)).get_ca_certs()
