"""A page of memory that a worker and its child share: progress that is not written yet.

The child notes every update there at no cost; the worker's heartbeat, or the end of the body whatever way, takes the
last one to the server. So the last progress is known of a body that was killed, too.
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
import tempfile
import zlib

SIZE = 16_384
_HEAD = struct.Struct("!QII")  # number, length, checksum


class Page:
    """One side of the page. ``fileno`` is the descriptor that the other side opens it by."""

    def __init__(self, fileno: int) -> None:
        self.fileno = fileno
        self._memory = mmap.mmap(fileno, SIZE)
        self._number = 0
        self._taken = 0

    def put(self, data: bytes) -> bool:
        """Note ``data``; False when there is no room for it."""
        if len(data) > SIZE - _HEAD.size:
            return False
        self._number += 1
        self._memory[_HEAD.size : _HEAD.size + len(data)] = data
        self._memory[: _HEAD.size] = _HEAD.pack(self._number, len(data), zlib.crc32(data))
        return True

    def clear(self) -> None:
        """Nothing is left to be taken."""
        self.put(b"")

    def take(self) -> bytes | None:
        """What was noted since the last call, if anything. What is being written just now is for the next call."""
        number, size, checksum = _HEAD.unpack_from(self._memory)
        if number == self._taken or size > SIZE - _HEAD.size:
            return None
        data = self._memory[_HEAD.size : _HEAD.size + size]
        if zlib.crc32(data) != checksum:
            return None
        self._taken = number
        return data or None

    def close(self) -> None:
        """Let go of it."""
        self._memory.close()
        os.close(self.fileno)


def nameless_file(name: str) -> int:
    """The descriptor of a file in memory (on Linux) that nobody else can open."""
    if sys.platform == "linux":
        file = os.memfd_create(name)
    else:
        with tempfile.TemporaryFile() as temporary:
            file = os.dup(temporary.fileno())
    return file


def new_page() -> Page:
    """A page that is empty."""
    file = nameless_file("page")
    os.truncate(file, SIZE)
    return Page(file)
