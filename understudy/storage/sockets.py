"""Connections that let go of the interpreter as seldom as possible.

In a busy process a thread that lets go of it gets it back up to five milliseconds later (``sys.getswitchinterval``). A
socket of Python's with a time-out lets go twice at every call: while it polls, and while it reads or writes. redis-py
polls once more before every command. With a large reply, which comes in pieces, that adds up to more than the server
takes. Here the kernel minds the time-out, and only a connection that was not used for a while is looked at before.

A time-out is that of one call here, and begins anew with a signal that the main thread handles meanwhile.
"""

from __future__ import annotations

import _socket
import errno
import math
import os
import socket
import struct
import time
from typing import Any

import redis

#: Seconds after its last use for which a connection is taken to be alive without a look.
FRESH = 0.5
#: Bytes that are read at once, at the most, where replies are large. A connection has so much memory for it.
READ_SIZE = 1 << 20


class KernelTimed(socket.socket):
    """A socket whose time-out the kernel minds, instead of a poll before each call."""

    @classmethod
    def of(cls, plain: socket.socket) -> KernelTimed:
        """Takes over what ``plain`` is."""
        seconds = plain.gettimeout()
        timed = cls(plain.family, plain.type, plain.proto, fileno=plain.detach())
        super(KernelTimed, timed).settimeout(None)  # one with a time-out did not block
        timed.settimeout(seconds)
        return timed

    def settimeout(self, value: float | None) -> None:
        """As for any socket. What blocks goes on blocking: another thread may be reading."""
        if value == 0 or self.gettimeout() is not None:
            super().settimeout(0 if value == 0 else None)
        if value == 0:
            return
        micros = math.ceil((value or 0.0) * 1e6)  # to the kernel 0 is for ever
        span = struct.pack("ll", micros // 1_000_000, micros % 1_000_000)
        self.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, span)
        self.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, span)

    def recv_into(self, *args: Any) -> int:
        try:
            return super().recv_into(*args)
        except BlockingIOError:
            raise self._over() from None

    def recv(self, *args: Any) -> bytes:
        try:
            return super().recv(*args)
        except BlockingIOError:
            raise self._over() from None

    def sendall(self, *args: Any) -> None:
        try:
            super().sendall(*args)
        except BlockingIOError:
            raise self._over() from None

    def _over(self) -> OSError:
        if self.gettimeout() is None:
            return TimeoutError("timed out")
        return BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))


class Quiet(redis.connection.AbstractConnection):
    """A connection whose socket is ``KernelTimed``, and that its pool need not look at when it is in use."""

    #: It lies in its pool, whole.
    at_rest = False
    #: Replies that were not read yet.
    owes = 0
    _packed = 0
    _used_at = float("-inf")

    def _connect(self) -> Any:
        plain: socket.socket = super()._connect()  # type: ignore[no-untyped-call,safe-super]  # a mixin
        # gevent's sockets are none of the kernel's: they never block.
        return KernelTimed.of(plain) if isinstance(plain, _socket.socket) else plain

    def disconnect(self, *args: Any, **more: Any) -> None:
        self.owes = 0
        super().disconnect(*args, **more)  # type: ignore[no-untyped-call]

    def can_read(self, timeout: float = 0) -> bool:
        wire: Any = self._sock
        if self.at_rest and wire is not None and time.monotonic() - self._used_at < FRESH:
            return False
        return bool(super().can_read(timeout))

    def pack_commands(self, commands: Any) -> Any:
        found = list(commands)
        self._packed = len(found)
        return super().pack_commands(found)  # type: ignore[no-untyped-call]

    def send_packed_command(self, *args: Any, **more: Any) -> None:
        self.owes += max(1, self._packed)
        self._packed = 0
        super().send_packed_command(*args, **more)  # type: ignore[no-untyped-call]

    def read_response(self, *args: Any, **more: Any) -> Any:
        try:
            response = super().read_response(*args, **more)
        except redis.ResponseError:
            self.owes = max(0, self.owes - 1)  # it is the reply
            raise
        self.owes = max(0, self.owes - 1)
        self._used_at = time.monotonic()
        return response


class TcpConnection(Quiet, redis.Connection):
    """To a host and a port."""


class UnixConnection(Quiet, redis.UnixDomainSocketConnection):
    """To a socket in the file system."""


class Pool(redis.ConnectionPool):
    """Lends connections without a look at those that were used a moment ago: a dead one says so when it is used, and
    what is sent is safe to send again. One on which a reply is still to come is closed: an exception that comes from
    outside, as that of a time limit does, may come between a command and its reply."""

    def get_connection(self, *args: Any, **more: Any) -> Any:
        connection: Any = super().get_connection(*args, **more)
        connection.at_rest = False
        return connection

    def release(self, connection: Any) -> None:
        if getattr(connection, "owes", 0):
            connection.disconnect()
        connection.at_rest = True
        super().release(connection)


#: By the scheme of a url. Over TLS there are more calls to one exchange, whoever minds the time.
KINDS: dict[str, Any] = {"redis": TcpConnection, "unix": UnixConnection}
