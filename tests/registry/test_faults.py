"""What really goes wrong on sockets, and the code that it gets."""

import socket
import ssl
import struct
import threading
from pathlib import Path

import httpx
import pytest
from cryptography import x509

from pullbench.errors import ErrorCode, RegistryError
from pullbench.model.route import Route
from pullbench.registry.client import RegistryClient
from pullbench.registry.faults import of_exception
from pullbench.registry.keychain import Keychain
from tests.registry.sockets import answering, authority, closed_port, listening


def ping(url: str, **route: object) -> RegistryError:
    settings = {"registry": "eu", "url": url, **route}
    with (
        RegistryClient(Route(**settings), Keychain(environ={}), connect_timeout_s=2.0, read_timeout_s=0.3) as client,  # type: ignore[arg-type]
        pytest.raises(RegistryError) as caught,
    ):
        client.ping()
    return caught.value


def test_nothing_listens() -> None:
    fault = ping(f"http://127.0.0.1:{closed_port()}")
    assert fault.code is ErrorCode.CONNECT_REFUSED
    assert fault.where.startswith("GET http://127.0.0.1:")


def test_the_name_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(*_args: object, **_options: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    fault = ping("http://no.such.invalid")
    assert (fault.code, fault.detail) == (ErrorCode.DNS, "Name or service not known")


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (113, ErrorCode.UNREACHABLE),
        (101, ErrorCode.UNREACHABLE),
        (110, ErrorCode.CONNECT_TIMEOUT),
        (104, ErrorCode.RESET),
        (32, ErrorCode.RESET),
    ],
)
def test_the_number_of_an_oserror_decides(number: int, code: ErrorCode) -> None:
    error = httpx.ConnectError("All connection attempts failed")
    error.__cause__ = RuntimeError("wrapped")
    error.__cause__.__context__ = OSError(number, "text")
    assert of_exception("GET x", error).code is code


def test_a_circle_of_causes_ends() -> None:
    error = httpx.ConnectError("connection refused")
    error.__cause__ = other = RuntimeError("x")
    other.__cause__ = error
    assert of_exception("GET x", error).code is ErrorCode.CONNECT_REFUSED


def test_a_broken_connection_without_a_cause() -> None:
    assert of_exception("GET x", httpx.ReadError("")).code is ErrorCode.RESET


def test_a_connection_attempt_without_an_answer() -> None:
    error = httpx.ConnectTimeout("timed out")
    assert of_exception("GET x", error).code is ErrorCode.CONNECT_TIMEOUT
    assert of_exception("GET x", error, in_tls=True).code is ErrorCode.TLS_TIMEOUT


def test_a_handshake_without_an_answer_is_no_silent_port() -> None:
    over = threading.Event()
    with listening(lambda connection: over.wait(5) and None) as port:  # type: ignore[func-returns-value]
        route = Route(registry="eu", url=f"https://127.0.0.1:{port}")
        with (
            RegistryClient(route, Keychain(environ={}), connect_timeout_s=0.3) as client,
            pytest.raises(RegistryError) as caught,
        ):
            client.ping()
        over.set()
    assert caught.value.code is ErrorCode.TLS_TIMEOUT


def test_plain_http_where_tls_should_be() -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    with listening(serve) as port:
        assert ping(f"https://127.0.0.1:{port}").code is ErrorCode.PLAIN_HTTP


def test_a_connection_closed_within_the_handshake() -> None:
    with listening(lambda connection: connection.recv(65536) and None) as port:  # type: ignore[func-returns-value]
        assert ping(f"https://127.0.0.1:{port}").code is ErrorCode.RESET


def test_a_connection_closed_before_an_answer() -> None:
    with listening(lambda connection: connection.recv(65536) and None) as port:  # type: ignore[func-returns-value]
        assert ping(f"http://127.0.0.1:{port}").code is ErrorCode.RESET


def test_a_connection_reset_before_an_answer() -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with listening(serve) as port:
        assert ping(f"http://127.0.0.1:{port}").code is ErrorCode.RESET


def test_a_body_that_ends_early() -> None:
    with listening(answering("HTTP/1.1 200 OK\nContent-Length: 100", b"{}")) as port:
        assert ping(f"http://127.0.0.1:{port}").code is ErrorCode.TRUNCATED


def test_a_body_that_stops_coming() -> None:
    over = threading.Event()

    def serve(connection: socket.socket) -> None:
        answering("HTTP/1.1 200 OK\nContent-Length: 100", b"{}")(connection)
        over.wait(5)

    with listening(serve) as port:
        assert ping(f"http://127.0.0.1:{port}").code is ErrorCode.STALLED
        over.set()


def test_an_answer_that_is_no_http() -> None:
    with listening(answering("SSH-2.0-OpenSSH_9.2")) as port:
        assert ping(f"http://127.0.0.1:{port}").code is ErrorCode.NOT_A_REGISTRY


def test_https_where_the_url_says_http_is_told_in_words() -> None:
    head = "HTTP/1.1 400 Bad Request\nConnection: close"
    with listening(answering(head, b"Client sent an HTTP request to an HTTPS server.\n")) as port:
        assert "write https://" in ping(f"http://127.0.0.1:{port}").detail


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"ends": -1, "starts": -5}, ErrorCode.TLS_EXPIRED),
        ({"starts": 1}, ErrorCode.TLS_EXPIRED),
        ({"host": x509.DNSName("other.example")}, ErrorCode.TLS_HOSTNAME),
    ],
)
def test_a_certificate_that_does_not_hold(tmp_path: Path, options: dict[str, object], code: ErrorCode) -> None:
    ca = authority(tmp_path)
    with listening(answering("HTTP/1.1 200 OK"), ca.server(tmp_path, **options)) as port:  # type: ignore[arg-type]
        assert ping(f"https://127.0.0.1:{port}", ca_file=str(ca.ca_file)).code is code


def test_a_certificate_of_an_unknown_authority(tmp_path: Path) -> None:
    ca = authority(tmp_path)
    with listening(answering("HTTP/1.1 200 OK"), ca.server(tmp_path)) as port:
        assert ping(f"https://127.0.0.1:{port}").code is ErrorCode.TLS_UNTRUSTED


def test_a_registry_is_reached_over_tls_with_its_own_ca(tmp_path: Path) -> None:
    ca = authority(tmp_path)
    serve = answering("HTTP/1.1 200 OK\nContent-Length: 2\nConnection: close", b"{}")
    with listening(serve, ca.server(tmp_path)) as port:
        route = Route(registry="eu", url=f"https://127.0.0.1:{port}", ca_file=str(ca.ca_file))
        with RegistryClient(route, Keychain(environ={})) as client:
            assert client.ping().status == 200


def test_a_forward_proxy_that_is_down_is_the_proxys_failure() -> None:
    proxy = f"http://127.0.0.1:{closed_port()}"
    fault = ping("http://registry.example.com", forward_url=proxy)
    assert fault.code is ErrorCode.PROXY
    assert "Connection refused" in fault.detail


def test_a_forward_proxy_that_refuses_to_connect_is_the_proxys_failure() -> None:
    with listening(answering("HTTP/1.1 503 Service Unavailable\nContent-Length: 0")) as port:
        fault = ping("https://registry.example.com", forward_url=f"http://127.0.0.1:{port}")
    assert fault.code is ErrorCode.PROXY
    assert "503" in fault.detail


def test_the_environments_proxies_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port()}")
    serve = answering("HTTP/1.1 200 OK\nContent-Length: 2\nConnection: close", b"{}")
    with (
        listening(serve) as port,
        RegistryClient(Route(registry="eu", url=f"http://127.0.0.1:{port}"), Keychain(environ={})) as client,
    ):
        assert client.ping().status == 200


def test_an_error_of_tls_that_nobody_foresaw_keeps_its_text() -> None:
    fault = of_exception("GET x", ssl.SSLError(1, "[SSL: SOMETHING_NEW] something new"))
    assert fault.code is ErrorCode.UNKNOWN
    assert "SOMETHING_NEW" in fault.detail


def test_the_registrys_own_ca_is_trusted_beside_the_public_ones_where_a_redirect_leads(tmp_path: Path) -> None:
    ca = authority(tmp_path)
    stored = answering("HTTP/1.1 200 OK\nContent-Length: 2\nConnection: close", b"{}")
    with listening(stored, ca.server(tmp_path)) as storage:
        head = f"HTTP/1.1 307 Temporary Redirect\nLocation: https://127.0.0.1:{storage}/\nContent-Length: 0"
        with listening(answering(head), ca.server(tmp_path)) as port:
            route = Route(registry="eu", url=f"https://127.0.0.1:{port}", ca_file=str(ca.ca_file))
            with RegistryClient(route, Keychain(environ={})) as client:
                assert client.ping().url == f"https://127.0.0.1:{storage}/"
