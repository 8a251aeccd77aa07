"""A real CNCF distribution registry (`docker-registry`) on a free port of loopback, as tests need it."""

import datetime
import ipaddress
import json
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.integration.ports import free_port

USERNAME, PASSWORD = "tester", "right-password"
HTPASSWD = f"{USERNAME}:$2b$05$abcdefghijklmnopqrstuuBO.kmgTJhdt40M5ZyHgFmcpBdUb9aS.\n"  # bcrypt of PASSWORD
_START_S = 60.0

ANY_ADDRESS = "0.0.0.0"
"""Leads to loopback too, and is none of those addresses for which programs written in Go pass a proxy by."""

REQUESTS_LOGGED = {"log": {"level": "info", "formatter": "json", "accesslog": {"disabled": True}}}
"""For `changes`: a log with a line a request, with times of more than the access log's whole seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One request that a registry has answered, as its log has it."""

    at: datetime.datetime
    """The end of the answer."""
    agent: str
    method: str
    path: str
    status: int
    sent_bytes: int

    @property
    def repository(self) -> str:
        """Of a request for a blob or a manifest; else the path."""
        return self.path.removeprefix("/v2/").partition("/blobs/")[0].partition("/manifests/")[0]

    @property
    def name(self) -> str:
        """The last part of the path: a digest or a tag."""
        return self.path.rpartition("/")[2]


@dataclass(slots=True, kw_only=True)
class RealRegistry:
    """A registry that runs. `username` and `password` are what it wants, where it wants any; `ca_file` signed it."""

    url: str
    folder: Path
    process: subprocess.Popen[bytes]
    username: str | None = None
    password: str | None = None
    ca_file: Path | None = None
    counters: str = ""
    """The URL of its Prometheus metrics, if it was started with them."""

    @property
    def host(self) -> str:
        return self.url.partition("://")[2]

    def served(self) -> list[Served]:
        """Every request so far, in the order of their ends; it takes REQUESTS_LOGGED among the changes."""
        lines = (self.folder / "log").read_text().splitlines()
        entries = [json.loads(line) for line in lines if line.startswith("{")]
        return [
            Served(
                at=datetime.datetime.fromisoformat(entry["time"]),
                agent=entry.get("http.request.useragent", ""),
                method=entry["http.request.method"],
                path=entry["http.request.uri"].partition("?")[0],
                status=entry["http.response.status"],
                sent_bytes=entry["http.response.written"],
            )
            for entry in entries
            if entry["msg"].startswith("response completed")
        ]

    def client(self) -> httpx.Client:
        """A client that may push."""
        auth = None if self.username is None else httpx.BasicAuth(self.username, self.password or "")
        verify: object = True if self.ca_file is None else _context(self.ca_file)
        return httpx.Client(base_url=self.url, auth=auth, verify=verify, timeout=60, trust_env=False)  # type: ignore[arg-type]

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start_registry(
    folder: Path,
    *,
    htpasswd: bool = False,
    tls: bool = False,
    certificate: Mapping[str, Any] | None = None,
    changes: Mapping[str, object] | None = None,
    counters: bool = False,
) -> RealRegistry:
    """Start one with its own configuration and storage under `folder`, and wait until it answers.

    `changes` stand in place of whole sections of its configuration, such as `log` or `proxy`. It logs to `folder/log`.
    `certificate` says what is unusual about its certificate, as `write_certificates` takes it.
    With `counters` it has metrics on an address of their own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    http: dict[str, object] = {"addr": f"127.0.0.1:{port}", "secret": "of-a-test"}
    config: dict[str, object] = {
        "version": "0.1",
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}},
        "http": http,
    }
    debug = f"127.0.0.1:{free_port()}" if counters else ""
    if counters:
        http["debug"] = {"addr": debug, "prometheus": {"enabled": True, "path": "/metrics"}}
    if htpasswd:
        (folder / "htpasswd").write_text(HTPASSWD)
        config["auth"] = {"htpasswd": {"realm": "pullbench-test", "path": str(folder / "htpasswd")}}
    if tls:
        write_certificates(folder, **(certificate or {}))
        http["tls"] = {"certificate": str(folder / "server.crt"), "key": str(folder / "server.key")}
    (folder / "config.yml").write_text(yaml.safe_dump(config | dict(changes or {})))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            ["docker-registry", "serve", str(folder / "config.yml")],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    registry = RealRegistry(
        url=f"{'https' if tls else 'http'}://127.0.0.1:{port}",
        folder=folder,
        process=process,
        username=USERNAME if htpasswd else None,
        password=PASSWORD if htpasswd else None,
        ca_file=folder / "ca.crt" if tls else None,
        counters=f"http://{debug}/metrics" if counters else "",
    )
    try:
        _wait_until_it_answers(registry, folder / "log")
    except BaseException:
        registry.stop()
        raise
    return registry


def write_certificates(folder: Path, *, ends_in_days: float = 90, host: str | None = None) -> None:
    """A CA of its own (`ca.crt`) and what it signed for this machine's own names (`server.crt`, `server.key`).

    `host` stands in place of this machine's names. Preflight warns of fewer than 30 days.
    """
    now = datetime.datetime.now(datetime.UTC)
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pullbench test CA")])
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    addresses = [x509.IPAddress(ipaddress.ip_address(address)) for address in ("127.0.0.1", ANY_ADDRESS)]
    spoken_for = [x509.DNSName("localhost"), *addresses] if host is None else [x509.DNSName(host)]
    ends_at = now + datetime.timedelta(days=ends_in_days)

    def begin(subject: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(ca_name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(min(now, ends_at) - datetime.timedelta(hours=1))
            .not_valid_after(ends_at if subject is name else now + datetime.timedelta(days=90))
        )

    authority = begin(ca_name, ca_key.public_key()).add_extension(
        x509.BasicConstraints(ca=True, path_length=None), critical=True
    )
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    key_id = x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key())  # RFC 5280 (4.2.1.2): a CA must have one
    ca = (
        authority.add_extension(usage, critical=True)
        .add_extension(key_id, critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    server = (
        begin(name, key.public_key())
        .add_extension(x509.SubjectAlternativeName(spoken_for), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    (folder / "ca.crt").write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    (folder / "server.crt").write_bytes(server.public_bytes(serialization.Encoding.PEM))
    (folder / "server.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def _context(ca_file: Path) -> object:
    import ssl

    return ssl.create_default_context(cafile=str(ca_file))


def _wait_until_it_answers(registry: RealRegistry, log: Path) -> None:
    until = time.monotonic() + _START_S
    # Whether it is up is asked here; its certificate may be what a test is about.
    with httpx.Client(base_url=registry.url, verify=False, timeout=60, trust_env=False) as client:
        while True:
            try:
                answer = client.get("/v2/")
                if answer.status_code != httpx.codes.UNAUTHORIZED:  # it asks for a token, which is an answer
                    answer.raise_for_status()
            except (httpx.TransportError, httpx.HTTPStatusError):
                if registry.process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(f"docker-registry does not answer: {log.read_text()[-500:]}") from None
                time.sleep(0.05)
            else:
                return
