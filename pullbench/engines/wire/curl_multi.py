"""Many exchanges in one thread: libcurl's multi interface, driven by its own thread.

With HTTP/2 every exchange is a stream on one connection per host. With HTTP/1.1, or if a server supports only that, libcurl
opens one connection per running exchange, as separate handles would.
"""

import os
import selectors
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Event
from typing import Any

import pycurl

from pullbench.engines.wire.curl import Handle, Handles, HttpRequest, Receiver

_LOOK_S = 0.05  # how often to check for a stop or a stall while no data arrives
_LOOK_EACH_S = 0.00025  # per exchange: a thousand are checked every quarter of a second, because each check is a call
_KEPT_EACH = 4  # libcurl's default: an exchange may use several hosts
_EVENTS = {
    pycurl.POLL_IN: selectors.EVENT_READ,
    pycurl.POLL_OUT: selectors.EVENT_WRITE,
    pycurl.POLL_INOUT: selectors.EVENT_READ | selectors.EVENT_WRITE,
}


@dataclass(slots=True, eq=False)
class _PendingExchange:
    """One running exchange, and its result."""

    curl: pycurl.Curl
    receiver: Receiver
    done: Event = field(default_factory=Event)
    number: int = 0
    message: str = ""


class Stream(Handle):
    """A handle whose exchanges run on a multiplexer's connection; its caller waits for them."""

    def __init__(self, multiplexer: "Multiplexer", monotonic: Callable[[], float]) -> None:
        super().__init__(monotonic)
        self._multiplexer = multiplexer

    def _set(self, request: HttpRequest, receiver: Receiver) -> None:
        super()._set(request, receiver)
        if request.http_version == "2":
            self._curl.setopt(pycurl.PIPEWAIT, 1)  # wait for the connection instead of opening another
        self._curl.setopt(pycurl.NOPROGRESS, 1)  # the multiplexer checks the progress itself

    def _perform(self, receiver: Receiver) -> tuple[int, str]:
        return self._multiplexer.run(self._curl, receiver)


class Multiplexer:
    """Drives exchanges that share connections; many threads may call `run`. `close` ends its thread.

    `crowd` is the number of concurrent exchanges in this process. It limits the kept connections, because libcurl's own limit
    would shrink with the running ones; and the more there are, the less often each is checked.
    """

    def __init__(self, executor: Executor, monotonic: Callable[[], float], crowd: int = 1) -> None:
        self.handles = Handles(lambda: Stream(self, monotonic))
        self._monotonic = monotonic
        self._joining: deque[_PendingExchange] = deque()
        self._running: dict[pycurl.Curl, _PendingExchange] = {}
        self._due_s: float | None = None
        self._look_s = 0.0
        self._pause_s = max(_LOOK_S, crowd * _LOOK_EACH_S)
        self._is_closing = False
        self._selector = selectors.DefaultSelector()
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._wake, False)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_PIPELINING, pycurl.PIPE_MULTIPLEX)
        self._multi.setopt(pycurl.M_MAXCONNECTS, _KEPT_EACH * crowd)
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._set_timer)
        self._thread = executor.submit(self._drive)

    def run(self, curl: pycurl.Curl, receiver: Receiver) -> tuple[int, str]:
        """Make one exchange and wait for its end: libcurl's error number, 0 for none, and its message."""
        exchange = _PendingExchange(curl, receiver)
        self._joining.append(exchange)
        if self._is_closing:
            raise RuntimeError("run() after the multiplexer was closed")
        self._wake_up()
        exchange.done.wait()
        return exchange.number, exchange.message

    def close(self) -> None:
        """End the thread and the connections; no exchange may be running."""
        self._is_closing = True
        self._wake_up()
        try:
            self._thread.result()  # an error in the thread is a bug and must be visible
        finally:
            self.handles.close()
            self._multi.close()
            self._selector.close()
            os.close(self._woken)
            os.close(self._wake)

    def _wake_up(self) -> None:
        with suppress(BlockingIOError):  # the pipe is full of wake-ups already
            os.write(self._wake, b".")

    # The methods below run in the multiplexer's own thread.

    def _drive(self) -> None:
        try:
            while not self._is_closing:
                self._turn()
        finally:
            self._is_closing = True
            for exchange in (*self._running.values(), *self._joining):  # empty unless a turn failed
                self._end(exchange, pycurl.E_ABORTED_BY_CALLBACK, "the multiplexer ended")

    def _turn(self) -> None:
        for key, events in self._selector.select(self._patience_s()):
            if key.fd == self._woken:
                os.read(self._woken, 4096)
                continue
            ready = pycurl.CSELECT_IN if events & selectors.EVENT_READ else 0
            self._multi.socket_action(key.fd, ready | (pycurl.CSELECT_OUT if events & selectors.EVENT_WRITE else 0))
        while self._joining:
            exchange = self._joining.popleft()
            self._running[exchange.curl] = exchange
            self._multi.add_handle(exchange.curl)
        now = self._monotonic()
        if self._due_s is not None and now >= self._due_s:
            self._due_s = None
            self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
        self._collect()
        if now >= self._look_s:
            self._look_s = now + self._pause_s
            self._look()

    def _patience_s(self) -> float | None:
        if not self._running:
            return None
        now = self._monotonic()
        return max(0.0, min(self._look_s if self._due_s is None else self._due_s, self._look_s) - now)

    def _collect(self) -> None:
        """End the exchanges that libcurl has finished."""
        left = 1
        while left:
            left, succeeded, failed = self._multi.info_read()
            for curl in succeeded:
                self._end(self._running[curl], 0, "")
            for curl, number, message in failed:
                self._end(self._running[curl], number, message)

    def _look(self) -> None:
        """End stopped or stalled exchanges; only their streams, the shared connection stays."""
        for exchange in list(self._running.values()):
            if not exchange.receiver.may_go_on(exchange.receiver.received_bytes):
                self._end(exchange, pycurl.E_ABORTED_BY_CALLBACK, "")

    def _end(self, exchange: _PendingExchange, number: int, message: str) -> None:
        if self._running.pop(exchange.curl, None) is not None:
            self._multi.remove_handle(exchange.curl)
        exchange.number, exchange.message = number, message
        exchange.done.set()

    def _watch(self, event: int, socket: int, _multi: object, _data: Any) -> None:
        """libcurl's socket callback: the socket to watch, and the event."""
        known = socket in self._selector.get_map()
        if event == pycurl.POLL_REMOVE:
            if known:
                self._selector.unregister(socket)
        elif known:
            self._selector.modify(socket, _EVENTS[event])
        else:
            self._selector.register(socket, _EVENTS[event])

    def _set_timer(self, timeout_ms: int) -> None:
        """libcurl's timer callback: when to call it without a ready socket; -1 for never."""
        self._due_s = None if timeout_ms < 0 else self._monotonic() + timeout_ms / 1000
