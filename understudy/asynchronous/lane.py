"""Where messages of ``async def`` actors wait beside those for the worker's threads, and how many of them may run.

::

    Worker --put--> Lines --+--> (its own line) --get--> worker threads
                            '--> Lane ----take (if there is a place)--> Beginners

``Lines`` takes the place of the ``WorkQueue`` in a worker that has such actors, and in no other: a message of any other
actor passes nothing of this where there are none.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence, Set
from queue import Empty
from typing import Any

from understudy.brokers.workqueue import WorkQueue
from understudy.limits import MEMORY


class Lane:
    """The line of the async bodies, and their places.

    Attributes:
      line: those that wait.
      running: how many have a place: their bodies run, are about to, or have ended and are not settled.

    Args:
      places: how many may run at once.
    """

    def __init__(self, places: int) -> None:
        self.line = WorkQueue()
        self.running = 0
        self._places = places
        self._taking = threading.Lock()
        self._lock = threading.Lock()
        self._freed = threading.Condition(self._lock)

    @property
    def full(self) -> bool:
        """Whether no more may begin just now."""
        return self.running >= self._places

    def take(self, timeout: float) -> Any:
        """The next item, with a place for it; ``leave`` gives the place back.

        Raises:
          Empty: there was no place, or no item, for ``timeout`` seconds.
        """
        # One thread at a time: a place is kept for an item, not for a thread that waits for one.
        if not self._taking.acquire(timeout=timeout):
            raise Empty
        try:
            with self._lock:
                if not self._freed.wait_for(lambda: not self.full, timeout):
                    raise Empty
            item = self.line.get(timeout=timeout)
            with self._lock:
                self.running += 1
            return item
        finally:
            self._taking.release()

    def leave(self) -> None:
        """A place is free."""
        with self._lock:
            self.running -= 1
            self._freed.notify_all()

    def wait_until_empty(self, timeout: float) -> bool:
        """Whether nothing runs any more within ``timeout`` seconds."""
        with self._lock:
            return self._freed.wait_for(lambda: not self.running, timeout)


class Lines(WorkQueue):
    """Two lines that are one for the worker that fills them and waits for them."""

    def __init__(self, lane: Lane, awaited: Set[str]) -> None:
        super().__init__()
        self._lane = lane.line
        self._awaited = awaited

    def put_all(self, items: Sequence[Any]) -> None:
        """Put each item in its line, by its actor."""
        mine, others = list[Any](), list[Any]()
        for item in items:
            item.message.on_loop = item.message.actor_name in self._awaited and item.message.options.get(MEMORY) is None
            (mine if item.message.on_loop else others).append(item)
        self._lane.put_all(mine)
        super().put_all(others)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """The next item for a thread of the worker. Without ``block``, of either line: so they are emptied at the end.

        Raises:
          Empty: there is none.
        """
        try:
            return super().get(block, timeout)
        except Empty:
            if block:
                raise
        return self._lane.get(block=False)

    def qsize(self) -> int:
        return super().qsize() + self._lane.qsize()

    def close(self) -> None:
        super().close()
        self._lane.close()

    def join(self) -> None:
        while self.unfinished_tasks or self._lane.unfinished_tasks:
            super().join()
            self._lane.join()

    def nudge(self) -> None:
        super().nudge()
        self._lane.nudge()

    @property
    def waits_for_a_thread(self) -> bool:
        return super().waits_for_a_thread or self._lane.waits_for_a_thread
