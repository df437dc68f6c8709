"""Frames over a socket between a worker and its child: a length and a pickle each.

The socket is a pair that only these two hold, so what is unpickled was written by our own process.
"""

from __future__ import annotations

import math
import pickle
import select
import socket
import struct
from typing import Any

from understudy import clock

_LENGTH = struct.Struct("!Q")
_PIECE = 1 << 16
#: Seconds that the system waits at a time: it takes no more than 24 days.
LONGEST = 86_400.0


class Closed(Exception):
    """The other side is gone."""


class Channel:
    """One end. Not for two threads at a time."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._poll = select.poll()
        self._poll.register(end, select.POLLIN)
        self._rest = b""

    def send(self, value: Any) -> None:
        """Send a value; nothing is sent of one that cannot be pickled.

        Raises:
          Closed: the other side is gone.
          Exception: whatever pickle raises.
        """
        data = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
        try:
            self._socket.sendall(_LENGTH.pack(len(data)) + data)
        except OSError as error:
            raise Closed from error

    def receive(self, deadline: float = math.inf) -> Any:
        """The next value.

        Raises:
          Closed: the other side is gone.
          TimeoutError: it has not come completely by ``deadline`` (of the clock that measures); what came is kept.
        """
        while len(self._rest) < _LENGTH.size:
            self._rest += self._read(deadline)
        (size,) = _LENGTH.unpack_from(self._rest)
        end = _LENGTH.size + size
        if len(self._rest) < end:
            self._rest = self._gather(end, deadline)
        data, self._rest = self._rest[_LENGTH.size : end], self._rest[end:]
        return pickle.loads(data)

    def close(self) -> None:
        """Close this end; the other one learns it."""
        self._socket.close()

    def _gather(self, end: int, deadline: float) -> bytes:
        pieces, size = [self._rest], len(self._rest)
        try:
            while size < end:
                pieces.append(self._read(deadline))
                size += len(pieces[-1])
        except TimeoutError:
            self._rest = b"".join(pieces)
            raise
        return b"".join(pieces)

    def _read(self, deadline: float) -> bytes:
        while deadline != math.inf:
            left = max(0.0, deadline - clock.monotonic())
            if self._poll.poll(math.ceil(min(left, LONGEST) * 1000)):
                break
            if left <= LONGEST:
                raise TimeoutError
        try:
            piece = self._socket.recv(_PIECE)
        except OSError as error:
            raise Closed from error
        if not piece:
            raise Closed
        return piece
