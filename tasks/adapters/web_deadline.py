"""A time by which a connection is over, whatever is still said on it.

The time-outs of sockets are about silence: who sends a byte now and then keeps them waiting for ever.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import urllib3

from understudy import clock


class Deadline:
    """A context that lasts for so many ``seconds`` at the most: then the connections of its pools are cut, and who
    reads from one finds its end.

    Attributes:
      over: the time was over before the block was.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.over = False
        self._ends_at = clock.monotonic() + seconds
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._timer: threading.Timer | None = None

    def __enter__(self) -> Self:
        self._timer = threading.Timer(self.left, self._cut)
        self._timer.daemon = True
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        assert self._timer is not None
        self._timer.cancel()
        with self._lock:
            for connection in self._sockets:
                connection.close()
            self._sockets.clear()

    @property
    def left(self) -> float:
        """Seconds that are left; a little more than none, because none would mean for ever to a socket."""
        return max(self._ends_at - clock.monotonic(), 0.001)

    def watch(self, connection: socket.socket) -> None:
        """Cut this one too. It may be wrapped afterwards: it is held by a name of its own."""
        with self._lock:
            self._sockets.append(connection.dup())
            if self.over:
                _end(self._sockets[-1])

    def pool(self, kind: type[urllib3.HTTPConnectionPool], host: str, port: int, **options: Any) -> Any:
        """A pool of urllib3 whose connections are watched."""
        made = kind(host, port, timeout=urllib3.Timeout(total=self.left), **options)
        made.ConnectionCls = _watched(made.ConnectionCls, self)
        return made

    def _cut(self) -> None:
        with self._lock:
            self.over = True
            for connection in self._sockets:
                _end(connection)


def _end(connection: socket.socket) -> None:
    with suppress(OSError):  # the other side may have been faster
        connection.shutdown(socket.SHUT_RDWR)


def _watched(kind: Any, deadline: Deadline) -> Any:
    """A class of connections that tells ``deadline`` of each before a byte is read, also of a handshake."""

    class Watched(kind):  # type: ignore[misc]
        def _new_conn(self) -> socket.socket:
            made: socket.socket = super()._new_conn()
            deadline.watch(made)
            return made

    return Watched
