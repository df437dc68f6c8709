"""What every side can do, and the bodies that all of them run. Standard library only."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

#: Seconds that a body of kind ``io`` waits.
IO_SECONDS = 0.005
QUEUE = "bench"


class Bodies:
    """The work itself: the same functions on every side. ``hit`` notes that message ``index`` runs now."""

    def __init__(self, hit: Callable[[int], None], *, hold: bool) -> None:
        self._hit = hit
        self._hold = hold

    def noop(self, index: int) -> int:
        self._hit(index)
        return index

    def io(self, index: int) -> int:
        time.sleep(IO_SECONDS)
        self._hit(index)
        return index

    def hold(self, index: int) -> int:
        self._hit(index)
        if self._hold:
            threading.Event().wait()  # until this process is killed
        return index

    def hop(self, index: int) -> int:
        """A step of a chain: what it returns is the index of the next one."""
        self._hit(index)
        return index + 1

    def gather(self, indices: Sequence[int]) -> int:
        """The body of a chord: its own index comes after those of the members, which are no-ops."""
        return self.noop(max(indices) + 1)


class Side(Protocol):
    """A system under measurement, in one process. ``kind`` names a body."""

    def start_worker(self, threads: int) -> None:
        """Begin to consume, in threads of this process; returns at once."""

    def send(self, kind: str, index: int) -> None:
        """Send one message, as a user would."""

    def send_many(self, kind: str, indices: Sequence[int], delay: float | None) -> None:
        """Send many in the side's best way of doing so, due ``delay`` seconds from now (None: at once)."""

    def send_delayed(self, kind: str, index: int, delay: float) -> None:
        """Send one message that is due ``delay`` seconds from now."""

    def send_and_wait(self, kind: str, index: int, timeout: float) -> None:
        """Send one message and wait for its result, ``timeout`` seconds at the most."""

    def run_chain(self, first: int, steps: int) -> None:
        """Run a chain of ``hop``: from ``first`` on, each with what the one before it returned."""

    def run_chord(self, first: int, members: int) -> None:
        """Run no-ops from ``first`` on, and when all have ended the message of the index that follows theirs."""

    def versions(self) -> dict[str, str]:
        """Names and versions of the libraries that do the work."""
