"""The gate that every body passes: together with others, or alone if it is suspected of killing its process."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Gate:
    """Bodies pass it together; a suspect passes alone.

    Attributes:
      inside: how many bodies run.

    ``enter(alone=True)`` waits until every body in the process has ended, and keeps new ones out until ``leave``.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._condition = threading.Condition(self._lock)
        self.inside = 0
        self._alone = False
        self._waiting = 0

    def enter(self, *, alone: bool) -> None:
        """Wait for the way to be free, and go in."""
        with self._lock:
            if not (alone or self._alone or self._waiting):
                self.inside += 1  # as nearly always
                return
            if alone:
                self._waiting += 1
                try:
                    self._wait(lambda: self.inside == 0 and not self._alone)
                except BaseException:
                    self._condition.notify_all()  # whoever waits behind it need not any more
                    raise
                finally:
                    self._waiting -= 1  # also when a time limit ends the waiting: or the gate stays shut
                self._alone = True
            else:
                # A waiting suspect goes first, or it would wait for ever on a busy worker.
                self._wait(lambda: not self._alone and self._waiting == 0)
            self.inside += 1

    def leave(self, *, alone: bool) -> None:
        """Come out."""
        with self._lock:
            self.inside -= 1
            if alone:
                self._alone = False
            if self._waiting or alone:
                self._condition.notify_all()

    def _wait(self, free: Callable[[], bool]) -> None:
        self._condition.wait_for(free)
