"""Where bodies note when they ran: a file shared by the processes of one machine.

A record is (monotonic time, message index). Linux and macOS give all processes one monotonic clock, so a time noted
by a worker can be compared with one noted by a sender. A note costs a microsecond and no round trip.
"""

from __future__ import annotations

import itertools
import mmap
import struct
import time
from pathlib import Path

RECORD = struct.Struct("=dq")


class Tape:
    """``capacity`` records. One process writes (from any thread); any process reads."""

    def __init__(self, path: Path, capacity: int) -> None:
        self.capacity = capacity
        if not path.exists():
            with path.open("xb") as new:
                new.truncate(capacity * RECORD.size)
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), capacity * RECORD.size)
        self._slots = itertools.count()
        self._read = 0

    def hit(self, index: int) -> None:
        """Note that the body of message ``index`` runs now. Beyond the capacity nothing is noted."""
        slot = next(self._slots)  # atomic: two threads never get the same one
        if slot < self.capacity:
            # The index comes last and never as 0: a reader that sees it sees the time too.
            RECORD.pack_into(self._map, slot * RECORD.size, time.monotonic(), index + 1)

    def new(self) -> list[tuple[int, float]]:
        """(index, time) of each record that was noted since the last call, in the order of the slots."""
        found = []
        while self._read < self.capacity:
            at, index = RECORD.unpack_from(self._map, self._read * RECORD.size)
            if index == 0 or at == 0.0:
                break  # a slot that is taken but not written yet: the next call finds it
            found.append((index - 1, at))
            self._read += 1
        return found

    def close(self) -> None:
        """Give the memory back. The file stays."""
        self._map.close()
