"""A long-distance link in user space: a TCP proxy with a delay and a rate shared by all its connections.

Every chunk gets the time at which it is due at the far end, and is sent then: so a delay costs no rate, and many
connections cost no accuracy. Limits: the TCP connect is not delayed (the kernel answers it before a proxy sees it), so
connect times are those of loopback, and the first byte of an answer arrives one round trip after the request. There is no
loss and no slow start.

Jitter applies to answers, not to packets: data to the client on an idle connection is delayed by a share of `jitter_s`, and
the following data keeps its distance, so the order of bytes and the rate stay. The shares are uniform on [0, 1), spread
evenly instead of drawn: steps of the golden ratio from a seeded start (Weyl's sequence), so that even about ten answers
have nearly the quartiles of the distribution.
"""

import asyncio
import contextlib
import functools
import itertools
import math
import random
import select
import selectors
import socket
import struct
import threading
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from pullbench.lab.registry import listen

_LOOKAHEAD_S = 0.005
_CHUNK_S = 0.001
_PACKET_BYTES = 1460
_SLEEP_LATE_S = 0.001
"""How late a sleep may end on an idle machine, above all a virtual one."""
_MIN_CHUNK_BYTES, _MAX_CHUNK_BYTES = 1 << 14, 1 << 18
_ACCEPT_PAUSE_S = 0.02
_GOLDEN = (math.sqrt(5) - 1) / 2
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)

_Chunk = tuple[float, float, bytes]
"""The due time, the part of the time before it without sleeping, and the bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkShape:
    """`delay_s` applies to each direction; `rate_bytes_per_s` (None: no limit) and `jitter_s` apply to data for the
    client."""

    delay_s: float = 0.0
    rate_bytes_per_s: float | None = None
    jitter_s: float = 0.0
    seed: int = 1
    """The start of the jitter sequence."""
    exact: bool = False
    """Send an answer's first bytes exactly when due, not when a sleep ends; this costs a millisecond of CPU time."""

    def __post_init__(self) -> None:
        if min(self.delay_s, self.jitter_s) < 0 or (self.rate_bytes_per_s is not None and self.rate_bytes_per_s <= 0):
            raise ValueError("a link needs a delay and a jitter of at least 0 and a rate above 0")

    @property
    def chunk_bytes(self) -> int:
        """About a millisecond of the link's rate: small enough for fair sharing, large enough to be cheap."""
        rate = self.rate_bytes_per_s or math.inf
        return int(min(max(rate * _CHUNK_S, _MIN_CHUNK_BYTES), _MAX_CHUNK_BYTES))


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkEnds:
    """One link: a listening socket for clients, and its target (host, port)."""

    listener: socket.socket
    target: tuple[str, int]
    shape: LinkShape


class FineSelector(selectors.DefaultSelector):
    """Waits as exactly as the kernel. epoll, the default on Linux, rounds up to milliseconds: a sleep would end half of one late."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout > 0:
            select.select([self], [], [], timeout)
            timeout = 0
        return super().select(timeout)


class Links:
    """Running links on one event loop in one thread; a context manager. The listeners are closed with it."""

    def __init__(self, ends: Sequence[LinkEnds]) -> None:
        self._loop = asyncio.SelectorEventLoop(FineSelector())
        self._stop = asyncio.Event()
        self._ends = tuple(ends)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening, close open connections, and wait for the thread."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        accepting = [asyncio.create_task(_Link(ends).accept()) for ends in self._ends]
        await self._stop.wait()
        for task in accepting:
            task.cancel()
        await asyncio.wait(accepting)


def link(target: tuple[str, int], shape: LinkShape) -> tuple[Links, str]:
    """One link to `target` on a free port, and its URL."""
    listener = listen()
    host, port = listener.getsockname()
    return Links([LinkEnds(listener=listener, target=target, shape=shape)]), f"http://{host}:{port}"


def _close(client: socket.socket, _task: asyncio.Task[None]) -> None:
    client.close()


class _Line:
    """The shared rate: each sender takes a turn, and learns when the last of its bytes will have left.

    Turns follow the order of requests, and each connection requests one chunk at a time, so sharing is fair. Turns are granted
    a few milliseconds ahead, as in a router's queue, so a late wake-up leaves no gap on the link.
    """

    def __init__(self, rate_bytes_per_s: float | None) -> None:
        self._rate = rate_bytes_per_s
        self._free_at = 0.0
        self._turn = asyncio.Lock()

    async def departure(self, size_bytes: int) -> float:
        loop = asyncio.get_running_loop()
        if self._rate is None:
            return loop.time()
        async with self._turn:
            ahead_s = self._free_at - loop.time() - _LOOKAHEAD_S
            if ahead_s > 0:
                await asyncio.sleep(ahead_s)
            self._free_at = max(self._free_at, loop.time()) + size_bytes / self._rate
            return self._free_at


def jitters(jitter_s: float, seed: int) -> Iterator[float]:
    """An endless sequence of seconds between 0 and `jitter_s`, evenly spread; equal for equal seeds."""
    share = random.Random(seed).random()
    while True:
        yield share * jitter_s
        share = (share + _GOLDEN) % 1.0


class _Link:
    def __init__(self, ends: LinkEnds) -> None:
        self._ends = ends
        self._jitters = jitters(ends.shape.jitter_s, ends.shape.seed)
        self._to_client = _Line(ends.shape.rate_bytes_per_s)
        self._to_server = _Line(None)
        self._open: set[asyncio.Task[None]] = set()

    async def accept(self) -> None:
        loop, listener = asyncio.get_running_loop(), self._ends.listener
        listener.setblocking(False)
        try:
            while True:
                try:
                    client, _ = await loop.sock_accept(listener)
                except OSError:
                    # Out of file descriptors, or the client has gone: try the next one.
                    await asyncio.sleep(_ACCEPT_PAUSE_S)
                    continue
                task = asyncio.create_task(self._serve_connection(client))
                self._open.add(task)
                task.add_done_callback(self._open.discard)
                # A task that is cancelled before it starts closes nothing itself.
                task.add_done_callback(functools.partial(_close, client))
        finally:
            listener.close()
            for task in self._open:
                task.cancel()
            await asyncio.gather(*self._open, return_exceptions=True)

    async def _serve_connection(self, client: socket.socket) -> None:
        """One connection, until both directions have ended, or one failed: then both sides are reset."""
        server = socket.socket(self._ends.listener.family, socket.SOCK_STREAM)
        with client, server:
            # A small receive buffer keeps the sender at the link's pace, as on a real link.
            server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * self._ends.shape.chunk_bytes)
            for end in (client, server):
                end.setblocking(False)
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                await asyncio.get_running_loop().sock_connect(server, self._ends.target)
                async with asyncio.TaskGroup() as group:
                    for journey in (
                        *self._direction(client, server, self._to_server),
                        *self._direction(server, client, self._to_client),
                    ):
                        group.create_task(journey)
            except* OSError:
                for end in (client, server):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)

    def _direction(
        self, source: socket.socket, sink: socket.socket, line: _Line
    ) -> Sequence[Coroutine[Any, Any, None]]:
        """Both ends of one direction; the queue between them is the link's length, so a slow reader slows the sender."""
        shape = self._ends.shape
        on_the_way_bytes = 4 * shape.delay_s * (shape.rate_bytes_per_s or 0)
        chunks: asyncio.Queue[_Chunk] = asyncio.Queue(64 + int(on_the_way_bytes / shape.chunk_bytes))
        late = self._jitters if line is self._to_client else itertools.repeat(0.0)
        return self._enter(source, line, chunks, late), self._leave(sink, chunks)

    async def _enter(
        self, source: socket.socket, line: _Line, chunks: asyncio.Queue[_Chunk], late: Iterator[float]
    ) -> None:
        loop = asyncio.get_running_loop()
        chunk, due, late_s = b"-", 0.0, 0.0
        while chunk:
            chunk = await loop.sock_recv(source, self._ends.shape.chunk_bytes)
            pieces, unslept_s = [chunk], 0.0
            if due <= loop.time():
                late_s, unslept_s = next(late), _SLEEP_LATE_S if self._ends.shape.exact else 0.0
                # On a real link the first byte waits for the rest of its packet, not for a millisecond of data.
                pieces = [chunk[:_PACKET_BYTES], chunk[_PACKET_BYTES:]] if len(chunk) > _PACKET_BYTES else pieces
            for piece in pieces:
                departure = await line.departure(len(piece))
                due = max(due, departure + self._ends.shape.delay_s + late_s)
                await chunks.put((due, unslept_s, piece))
                unslept_s = 0.0

    async def _leave(self, sink: socket.socket, chunks: asyncio.Queue[_Chunk]) -> None:
        """Send each chunk when it is due; the empty one is the end of the stream, and closes only this half."""
        loop = asyncio.get_running_loop()
        while True:
            due, unslept_s, chunk = await chunks.get()
            if (wait_s := due - unslept_s - loop.time()) > 0:
                await asyncio.sleep(wait_s)
            while unslept_s and loop.time() < due:
                await asyncio.sleep(0)
            if not chunk:
                with contextlib.suppress(OSError):
                    sink.shutdown(socket.SHUT_WR)
                return
            await loop.sock_sendall(sink, chunk)
