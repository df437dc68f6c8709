"""Connections that let go of the interpreter as seldom as possible.

In a busy process a thread that lets go of it gets it back up to five milliseconds later (``sys.getswitchinterval``). A
socket of Python's with a time-out lets go twice at every call: while it polls, and while it reads or writes. redis-py
polls once more before every command. With a large reply, which comes in pieces, that adds up to more than the server
takes. Here the kernel minds the time-out, and only a connection that was not used for a while is looked at before.
"""

from __future__ import annotations

import socket
import struct
import time
from typing import Any

import redis

#: Seconds after its last use for which a connection is taken to be alive without a look.
FRESH = 0.5
#: Bytes that are read at once, at the most.
READ_SIZE = 1 << 20


class KernelTimed(socket.socket):
    """A socket whose time-out the kernel minds, instead of a poll before each call."""

    _seconds: float | None = None

    @classmethod
    def of(cls, plain: socket.socket) -> KernelTimed:
        """Takes over what ``plain`` is."""
        seconds = plain.gettimeout()
        timed = cls(plain.family, plain.type, plain.proto, fileno=plain.detach())
        timed._seconds = seconds
        whole, part = divmod(seconds or 0.0, 1)
        span = struct.pack("ll", int(whole), int(part * 1e6))
        timed.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, span)
        timed.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, span)
        timed.settimeout(seconds)
        return timed

    def settimeout(self, value: float | None) -> None:
        super().settimeout(None if value == self._seconds else value)

    def recv_into(self, *args: Any) -> int:
        try:
            return super().recv_into(*args)
        except BlockingIOError:
            if self.gettimeout() is None:
                raise TimeoutError("timed out") from None
            raise

    def sendall(self, *args: Any) -> None:
        try:
            super().sendall(*args)
        except BlockingIOError:
            raise TimeoutError("timed out") from None


class Quiet(redis.connection.AbstractConnection):
    """A connection whose socket is ``KernelTimed``, and that its pool need not look at when it is in use."""

    #: It lies in its pool, whole.
    at_rest = False
    _used_at = float("-inf")

    def _connect(self) -> Any:
        return KernelTimed.of(super()._connect())  # type: ignore[no-untyped-call,safe-super]  # a mixin

    def can_read(self, timeout: float = 0) -> bool:
        wire: Any = self._sock
        if self.at_rest and wire is not None and time.monotonic() - self._used_at < FRESH:
            return False
        return bool(super().can_read(timeout))

    def read_response(self, *args: Any, **more: Any) -> Any:
        response = super().read_response(*args, **more)
        self._used_at = time.monotonic()
        return response


class TcpConnection(Quiet, redis.Connection):
    """To a host and a port."""


class UnixConnection(Quiet, redis.UnixDomainSocketConnection):
    """To a socket in the file system."""


class Pool(redis.ConnectionPool):
    """Lends connections without a look at those that were used a moment ago: a dead one says so when it is used, and
    what is sent is safe to send again."""

    def get_connection(self, *args: Any, **more: Any) -> Any:
        connection: Any = super().get_connection(*args, **more)
        connection.at_rest = False
        return connection

    def release(self, connection: Any) -> None:
        connection.at_rest = True
        super().release(connection)


#: By the scheme of a url. Over TLS there are more calls to one exchange, whoever minds the time.
KINDS: dict[str, Any] = {"redis": TcpConnection, "unix": UnixConnection}
