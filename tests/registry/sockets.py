"""Servers of one scripted answer on a real loopback socket, and certificates for them."""

import contextlib
import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

LOOPBACK = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))


@contextlib.contextmanager
def listening(serve: Callable[[socket.socket], None], tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """A loopback port whose connections are given to `serve`, one after the other, and closed after it."""
    listener = socket.create_server(("127.0.0.1", 0))

    def loop() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                if tls is None:
                    serve(connection)
                else:
                    with tls.wrap_socket(connection, server_side=True) as secure:
                        serve(secure)

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def closed_port() -> int:
    """A port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def answering(head: str, body: bytes = b"") -> Callable[[socket.socket], None]:
    """Reads one request's head, answers these bytes, and closes."""

    def serve(connection: socket.socket) -> None:
        received = b""
        while b"\r\n\r\n" not in received:
            chunk = connection.recv(65536)
            if not chunk:
                return
            received += chunk
        connection.sendall(head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body)

    return serve


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """A CA of the test's own, and where its certificate stands as PEM."""

    key: ec.EllipticCurvePrivateKey
    name: x509.Name
    ca_file: Path

    def server(
        self,
        folder: Path,
        *,
        starts: float = -1,
        ends: float = 60,
        host: x509.GeneralName | None = LOOPBACK,
        key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | None = None,
    ) -> ssl.SSLContext:
        """A server's context with a certificate that holds from `starts` to `ends`, in days from now.

        Without `host` it has the common name localhost and no subjectAltName.
        """
        key = key or ec.generate_private_key(ec.SECP256R1())
        common = [x509.NameAttribute(NameOID.COMMON_NAME, "localhost")] if host is None else []
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name(common))
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + datetime.timedelta(days=starts))
            .not_valid_after(now + datetime.timedelta(days=ends))
        )
        if host is not None:
            builder = builder.add_extension(x509.SubjectAlternativeName([host]), critical=True)
        certificate = builder.sign(self.key, hashes.SHA256())
        chain = folder / "server.pem"
        chain.write_bytes(_pem(key) + certificate.public_bytes(serialization.Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if isinstance(key, rsa.RSAPrivateKey):
            context.set_ciphers("DEFAULT:@SECLEVEL=0")
        context.load_cert_chain(chain)
        return context


def authority(folder: Path, name: str = "Test CA") -> Authority:
    """Make a CA and write its certificate to ca.pem."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=400))
        .not_valid_after(now + datetime.timedelta(days=400))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    ca_file = folder / "ca.pem"
    ca_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return Authority(key=key, name=subject, ca_file=ca_file)


def _pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
