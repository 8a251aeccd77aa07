"""A token service as docker-registry 2.8 wants it: Basic credentials in, an RS256 JWT out, and a log of who asked.

Source: the distribution project's "Token Authentication Specification" and "Token Scope Documentation". The key is named
by `kid` as libtrust does it: base32 of the first 30 bytes of SHA-256 over the DER of the public key, in fours.
"""

import base64
import datetime
import hashlib
import json
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from tests.integration.real_registry import PASSWORD, USERNAME

LEEWAY_S = 60
"""docker-registry takes a token for so long after its end."""
_ISSUER, _SERVICE = "token.test", "registry.test"
_REFUSED = json.dumps(
    {"errors": [{"code": "UNAUTHORIZED", "message": "incorrect username or password", "detail": None}]}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One line of the log: who asked for what, when it was answered, and how."""

    at: datetime.datetime
    account: str
    scope: str
    status: int


class TokenServer:
    """Listens on loopback while its `with` block lasts. Its one user may pull all, but for what is under `closed/`."""

    def __init__(self, folder: Path) -> None:
        self.holds_s = 600
        """How long the registry takes a token; whole seconds, two at least."""
        self.told_s = 600
        """How long the answer says that it holds."""
        self._log: list[Exchange] = []
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        folder.mkdir(parents=True, exist_ok=True)
        self._bundle = folder / "token.crt"
        self._bundle.write_bytes(self._certificate().public_bytes(serialization.Encoding.PEM))
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/token"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def settings(self) -> dict[str, object]:
        """The section `auth` of a registry's configuration that asks for this server's tokens."""
        realm = {"realm": self.url, "service": _SERVICE, "issuer": _ISSUER, "rootcertbundle": str(self._bundle)}
        return {"token": realm}

    def log(self) -> list[Exchange]:
        """Every exchange so far."""
        return list(self._log)

    def token(self, account: str, access: list[dict[str, object]]) -> str:
        """A signed token (RFC 7519, RFC 7515) for what `access` lists."""
        now = int(time.time())
        header = {"typ": "JWT", "alg": "RS256", "kid": self._key_id()}
        claims = {
            "iss": _ISSUER,
            "sub": account,
            "aud": _SERVICE,
            "nbf": now - 2 * LEEWAY_S,
            "iat": now,
            "exp": now + self.holds_s - LEEWAY_S,
            "jti": f"{time.monotonic_ns()}",
            "access": access,
        }
        signed = f"{_encoded(json.dumps(header).encode())}.{_encoded(json.dumps(claims).encode())}"
        signature = self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{_encoded(signature)}"

    def token_to_push(self, repository: str) -> str:
        """What a test fills a repository with."""
        return self.token(USERNAME, [{"type": "repository", "name": repository, "actions": ["pull", "push"]}])

    def answer(self, account: str, password: str, scopes: list[str]) -> tuple[int, str]:
        """Status and body for one exchange; it goes into the log."""
        known = (account, password) == (USERNAME, PASSWORD)
        self._log.append(
            Exchange(
                at=datetime.datetime.now(datetime.UTC),
                account=account,
                scope=" ".join(scopes),
                status=200 if known else 401,
            )
        )
        if not known:
            return 401, _REFUSED
        access = [_access(scope) for scope in scopes if not scope.startswith("repository:closed/")]
        token = self.token(account, access)
        return 200, json.dumps({"token": token, "access_token": token, "expires_in": self.told_s})

    def _certificate(self) -> x509.Certificate:
        now, name = datetime.datetime.now(datetime.UTC), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _ISSUER)])
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .sign(self._key, hashes.SHA256())
        )

    def _key_id(self) -> str:
        der = self._key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        text = base64.b32encode(hashlib.sha256(der).digest()[:30]).decode()
        return ":".join(text[start : start + 4] for start in range(0, len(text), 4))


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def _handler(tokens: TokenServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            scopes = parse_qs(urlsplit(self.path).query).get("scope", [])
            self._send(*tokens.answer(*_credentials(self.headers.get("Authorization", "")), scopes))

        def do_POST(self) -> None:
            """As containerd asks (the OAuth2 part of the specification)."""
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            account, password, scope = (form.get(key, [""])[0] for key in ("username", "password", "scope"))
            self._send(*tokens.answer(account, password, scope.split()))

        def _send(self, status: int, text: str) -> None:
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler


def _credentials(authorization: str) -> tuple[str, str]:
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    account, _, password = base64.b64decode(encoded).decode().partition(":")
    return account, password


def _access(scope: str) -> dict[str, object]:
    kind, _, rest = scope.partition(":")
    name, _, actions = rest.rpartition(":")
    return {"type": kind, "name": name, "actions": [action for action in actions.split(",") if action == "pull"]}


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
