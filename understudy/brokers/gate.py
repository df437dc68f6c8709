"""The gate that every body passes: with all others, or apart from them if it is suspected of killing its process."""

from __future__ import annotations

import threading
from collections.abc import Callable

from understudy.holds import SUSPECT_AFTER

#: By how much fewer suspects run together after each further death.
DIVISOR = 4


def together(deaths: int, places: int) -> int:
    """How many suspects with so many deaths run together, in a process with ``places`` for bodies.

    With a thousand bodies in one process as many are suspected at once. One by one they would take a thousand times as
    long as a body; so they run in groups that become smaller by every death, down to one.
    """
    parts: int = DIVISOR ** (deaths + 1 - SUSPECT_AFTER)
    return max(1, places // parts)


class Gate:
    """Bodies pass it together; a suspect passes alone, or with a few other suspects.

    Attributes:
      inside: how many bodies run.

    ``enter(alone=True)`` waits until every body in the process has ended, and keeps new ones out until ``leave``.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._condition = threading.Condition(self._lock)
        self.inside = 0
        #: How many may be inside while suspects are; 0 while none is.
        self._most = 0
        self._waiting = 0

    def enter(self, *, alone: bool, most: int = 1, patience: float | None = None) -> bool:
        """Wait for the way to be free, and go in: apart from all that are no suspects, if ``alone``, and with less than
        ``most`` of those that are. A suspect waits for so many seconds of ``patience``; False: it did not go in."""
        with self._lock:
            if not (alone or self._most or self._waiting):
                self.inside += 1  # as nearly always
                return True
            if alone:
                self._waiting += 1
                free = False
                try:
                    free = self._wait(lambda: self.inside == 0 or self.inside < min(most, self._most), patience)
                finally:
                    self._waiting -= 1  # also when a time limit ends the waiting: or the gate stays shut
                    if not free:
                        self._condition.notify_all()  # whoever waits behind it need not any more
                if not free:
                    return False
                self._most = min(most, self._most or most)
            else:
                # A waiting suspect goes first, or it would wait for ever on a busy worker.
                self._wait(lambda: not self._most and self._waiting == 0)
            self.inside += 1
            return True

    def leave(self) -> None:
        """Come out."""
        with self._lock:
            self.inside -= 1
            apart = self._most
            if self.inside == 0:
                self._most = 0
            if self._waiting or apart:
                self._condition.notify_all()

    def _wait(self, free: Callable[[], bool], patience: float | None = None) -> bool:
        return self._condition.wait_for(free, patience)
