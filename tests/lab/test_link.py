"""Lower bounds only: bytes cannot come sooner than the delay, nor faster than the rate. Both are certain; a clock is not."""

import contextlib
import itertools
import runpy
import select
import selectors
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from pullbench.lab import link as lab_link
from pullbench.lab.link import FineSelector, LinkShape, jitters, link
from pullbench.lab.registry import listen


@contextmanager
def server(answer: Callable[[socket.socket], None]) -> Iterator[tuple[str, int]]:
    """A TCP server that gives each connection to `answer`, in a thread of its own."""
    listener, threads = listen(), []

    def one(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            answer(connection)

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threads.append(threading.Thread(target=one, args=(connection,)))
            threads[-1].start()

    accepting = threading.Thread(target=serve)
    accepting.start()
    try:
        yield listener.getsockname()
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        accepting.join()
        for thread in threads:
            thread.join()


@contextmanager
def linked(answer: Callable[[socket.socket], None], shape: LinkShape) -> Iterator[tuple[str, int]]:
    with server(answer) as target:
        links, url = link(target, shape)
        with links:
            parts = urlsplit(url)
            assert parts.hostname is not None and parts.port is not None
            yield parts.hostname, parts.port


def read_all(connection: socket.socket) -> bytes:
    received = b""
    while piece := connection.recv(65536):
        received += piece
    return received


def echo(connection: socket.socket) -> None:
    while piece := connection.recv(65536):
        connection.sendall(piece)


def test_an_answer_takes_at_least_the_delay_both_ways() -> None:
    with (
        linked(echo, LinkShape(delay_s=0.015)) as address,
        socket.create_connection(address, timeout=10) as client,
    ):
        for _ in range(2):
            started = time.monotonic()
            client.sendall(b"ping")
            assert client.recv(10) == b"ping"
            assert time.monotonic() - started >= 0.03


@pytest.mark.parametrize("exact", [False, True])
def test_an_exact_answer_comes_no_sooner_either(exact: bool) -> None:
    shape = LinkShape(delay_s=0.002, exact=exact)
    with linked(echo, shape) as address, socket.create_connection(address, timeout=10) as client:
        for _ in range(10):
            started = time.monotonic()
            client.sendall(b"ping")
            assert client.recv(10) == b"ping"
            assert time.monotonic() - started >= 0.004


def test_all_connections_together_are_no_faster_than_the_rate() -> None:
    size, rate = 100_000, 2e6
    received: list[bytes] = []

    def fetch(address: tuple[str, int]) -> None:
        with socket.create_connection(address, timeout=10) as client:
            received.append(read_all(client))

    with linked(lambda connection: connection.sendall(bytes(size)), LinkShape(rate_bytes_per_s=rate)) as address:
        clients = [threading.Thread(target=fetch, args=(address,)) for _ in range(2)]
        started = time.monotonic()
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        assert time.monotonic() - started >= 2 * size / rate
    assert [len(got) for got in received] == [size, size]


def test_connections_take_turns_so_a_small_answer_overtakes_a_large_one() -> None:
    large, small, shape = 20_000_000, 1_000, LinkShape(rate_bytes_per_s=200e3)

    def answer(connection: socket.socket) -> None:
        connection.sendall(bytes(int(connection.recv(100))))

    with (
        linked(answer, shape) as address,
        socket.create_connection(address, timeout=10) as first,
        socket.create_connection(address, timeout=10) as second,
    ):
        first.sendall(str(large).encode())
        got = len(first.recv(1000))
        second.sendall(str(small).encode())
        assert len(read_all(second)) == small
        first.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while piece := first.recv(65536):
                got += len(piece)
        # Behind all that the first connection may have on the line, it would have been 64 chunks.
        assert got < 50 * shape.chunk_bytes


def test_the_rate_holds_towards_the_client_only() -> None:
    def swallow(connection: socket.socket) -> None:
        connection.sendall(str(len(read_all(connection))).encode())

    with (
        linked(swallow, LinkShape(rate_bytes_per_s=1000.0)) as address,
        socket.create_connection(address, timeout=10) as client,
    ):
        client.sendall(bytes(1_000_000))
        client.shutdown(socket.SHUT_WR)
        assert read_all(client) == b"1000000"


def test_a_half_closed_connection_still_carries_the_answer() -> None:
    def answer(connection: socket.socket) -> None:
        connection.sendall(read_all(connection)[::-1])

    with (
        linked(answer, LinkShape(delay_s=0.005)) as address,
        socket.create_connection(address, timeout=10) as client,
    ):
        client.sendall(b"abc")
        client.shutdown(socket.SHUT_WR)
        assert read_all(client) == b"cba"


def test_bytes_come_unchanged_and_in_order() -> None:
    content = bytes(range(256)) * 8_000
    with (
        linked(
            lambda connection: connection.sendall(content), LinkShape(delay_s=0.002, rate_bytes_per_s=50e6)
        ) as address,
        socket.create_connection(address, timeout=10) as client,
    ):
        assert read_all(client) == content


def test_jitter_is_spread_evenly_and_the_same_for_a_seed() -> None:
    def drawn(seed: int, n: int) -> list[float]:
        return list(itertools.islice(jitters(0.04, seed), n))

    assert drawn(1, 20) == drawn(1, 20) != drawn(2, 20)
    for seed in range(20):
        low, middle, high = statistics.quantiles(drawn(seed, 16), method="inclusive")
        assert (low, middle, high) == pytest.approx((0.01, 0.02, 0.03), abs=0.003)


def test_bytes_keep_their_order_whatever_the_jitter() -> None:
    pieces = [bytes([number]) * 3_000 for number in range(20)]

    def trickle(connection: socket.socket) -> None:
        for piece in pieces:
            connection.sendall(piece)
            connection.recv(1)

    with (
        linked(trickle, LinkShape(delay_s=0.001, jitter_s=0.01)) as address,
        socket.create_connection(address, timeout=10) as client,
    ):
        received = b""
        for piece in pieces:
            while len(received) % 3_000 or not received.endswith(piece):
                received += client.recv(65536)
            client.sendall(b"x")
        assert received == b"".join(pieces)


def test_an_answer_comes_no_sooner_than_its_own_jitter() -> None:
    shape = LinkShape(delay_s=0.005, jitter_s=0.02, seed=3)
    with linked(echo, shape) as address, socket.create_connection(address, timeout=10) as client:
        for late_s in itertools.islice(jitters(shape.jitter_s, shape.seed), 4):
            started = time.monotonic()
            client.sendall(b"ping")
            assert client.recv(10) == b"ping"
            assert time.monotonic() - started >= 0.01 + late_s


def test_a_wait_of_a_fraction_of_a_millisecond_is_asked_of_the_kernel_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []
    monkeypatch.setattr(select, "select", lambda _r, _w, _x, timeout_s: asked.append(timeout_s))
    with FineSelector() as selector, socket.socket() as ready:
        selector.register(ready, selectors.EVENT_WRITE)
        assert [key.fileobj for key, _ in selector.select(0.0003)] == [ready], "what is ready is told"
        selector.select(0)
    assert asked == [0.0003], "and not a whole millisecond, which is the least that epoll knows"


def test_the_lab_needs_no_epoll_which_is_linuxs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(selectors, "EpollSelector")
    runpy.run_path(str(Path(lab_link.__file__)))


def test_a_server_that_resets_is_a_reset_for_the_client() -> None:
    def reset(connection: socket.socket) -> None:
        connection.recv(10)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")

    with (
        linked(reset, LinkShape()) as address,
        socket.create_connection(address, timeout=10) as client,
    ):
        client.sendall(b"x")
        with pytest.raises(ConnectionResetError):
            client.recv(10)


def test_a_client_that_goes_away_is_gone_for_the_server_too() -> None:
    gone = threading.Event()

    def stream(connection: socket.socket) -> None:
        try:
            while True:
                connection.sendall(bytes(65536))
        except OSError:
            gone.set()

    with linked(stream, LinkShape(rate_bytes_per_s=50e6)) as address:
        with socket.create_connection(address, timeout=10) as client:
            assert client.recv(1000)
        assert gone.wait(10)


def test_a_target_that_is_not_there_resets_the_client() -> None:
    with listen() as unused:
        target = unused.getsockname()
    links, url = link(target, LinkShape())
    address = (urlsplit(url).hostname, urlsplit(url).port)
    with (
        links,
        pytest.raises(ConnectionResetError),
        socket.create_connection(address, timeout=10) as client,
    ):
        client.recv(10)


def test_closing_cuts_open_connections_and_frees_the_port() -> None:
    with server(echo) as target:
        links, url = link(target, LinkShape())
        address = (urlsplit(url).hostname, urlsplit(url).port)
        with socket.create_connection(address, timeout=10) as client:
            client.sendall(b"x")
            assert client.recv(10) == b"x"
            links.close()
            assert client.recv(10) == b""
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, timeout=10)


@pytest.mark.parametrize("shape", [{"delay_s": -1.0}, {"rate_bytes_per_s": 0.0}])
def test_an_impossible_line_cannot_be_made(shape: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="a link needs"):
        LinkShape(**shape)


def test_chunks_are_a_millisecond_of_the_line_within_bounds() -> None:
    rates = {1e3: 1 << 14, 25e6: 25_000, 1e12: 1 << 18, None: 1 << 18}
    assert {rate: LinkShape(rate_bytes_per_s=rate).chunk_bytes for rate in rates} == rates
