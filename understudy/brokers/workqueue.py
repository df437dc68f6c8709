"""The queue between the consumers and the worker threads: hands work over without waking everybody.

Dramatiq puts a ``queue.PriorityQueue`` there. Each ``put`` wakes one more thread, and for short bodies the threads then
spend their time waking each other and waiting for the interpreter's lock: half of the CPU, measured. Here a thread is
woken only if nobody who is awake will come by soon: when all of them run *long* bodies, wait for the server, or sleep.
A thread that works off short bodies takes the next one itself; who finds another one at quick ones goes back to sleep.

Whether a body is long is known from how long those of its actor took; one that was not seen yet counts as long. If that
is wrong once, ``nudge``, which the upkeep calls every few milliseconds while work waits, wakes the next thread.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from queue import Empty
from time import monotonic
from typing import Any, NamedTuple

#: Seconds that a message may take, on average, for its thread to count as back soon.
SHORT = 0.001
#: ... and for it to do little else than hold the interpreter, so that a second thread would only be in the way.
QUICK = 0.0002
#: Seconds after which one that was to be back soon is not waited for.
LATE = 0.005
#: The weight of the latest one in that average.
WEIGHT = 0.1


class Item(NamedTuple):
    """A message in line."""

    priority: int
    message: Any


class _Seat:
    """A worker thread, as the queue sees it."""

    __slots__ = ("actor", "bell", "since")

    def __init__(self) -> None:
        self.bell = threading.Lock()
        self.bell.acquire()
        #: Whose message it works on, and since when.
        self.actor = ""
        self.since = 0.0


class WorkQueue:
    """Takes the place of ``Worker.work_queue``; the methods are those of ``queue.Queue`` that Dramatiq uses."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._finished = threading.Condition(self._lock)
        self._lines: dict[int, deque[Any]] = {}
        self._order: list[int] = []
        self._size = 0
        self._seats = threading.local()
        self._parked: list[_Seat] = []
        #: The threads that are awake and back soon.
        self._near: set[_Seat] = set()
        self._took: dict[str, float] = {}
        #: The same while no other thread is near, which would only make it longer.
        self._took_alone: dict[str, float] = {}
        self._taken = self._taken_before = 0
        self._closed = False
        self.unfinished_tasks = 0

    def qsize(self) -> int:
        """How many wait."""
        return self._size

    @property
    def waits_for_a_thread(self) -> bool:
        """Whether something waits while a thread sleeps."""
        return self._size > 0 and bool(self._parked)

    def put(self, item: Any) -> None:
        """Put one item in line, by its priority."""
        self.put_all((item,))

    def put_all(self, items: Sequence[Any]) -> None:
        """Put items in line that came together."""
        if not items:
            return
        with self._lock:
            for item in items:
                line = self._lines.get(item.priority)
                if line is None:
                    line = self._lines[item.priority] = deque()
                    self._order = sorted(self._lines)
                line.append(item)
            self._size += len(items)
            self.unfinished_tasks += len(items)
            if not self._near:
                self._wake()

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """The next item.

        Raises:
          Empty: there was none for ``timeout`` seconds.
        """
        seat: _Seat | None = getattr(self._seats, "mine", None)
        if seat is None:
            seat = self._seats.mine = _Seat()
        with self._lock:
            is_quick = self._back(seat)
            if self._size and not (block and (self._closed or (is_quick and self._another_is_at_it(seat)))):
                return self._take(seat)
            if not block:
                self._away(seat)
                raise Empty
            self._park(seat)
        if not seat.bell.acquire(timeout=-1 if timeout is None else timeout):
            with self._lock:
                if seat in self._parked:
                    self._parked.remove(seat)
                    raise Empty
            seat.bell.acquire()  # rung just now
        with self._lock:
            if self._size and not self._closed:
                return self._take(seat)
            self._away(seat)
        raise Empty

    def get_nowait(self) -> Any:
        """The next item, if there is one.

        Raises:
          Empty: there is none.
        """
        return self.get(block=False)

    def close(self) -> None:
        """Nothing more is begun: who waits for work waits in vain. What is in line can still be taken out at once."""
        with self._lock:
            self._closed = True
            while self._parked:
                self._wake()

    def task_done(self) -> None:
        """An item that was taken is finished."""
        with self._lock:
            self.unfinished_tasks -= 1
            if not self.unfinished_tasks:
                self._finished.notify_all()

    def join(self) -> None:
        """Wait until every item is finished."""
        with self._lock:
            while self.unfinished_tasks:
                self._finished.wait()

    def nudge(self) -> None:
        """Wake a thread if something waits and nothing was taken since the last nudge."""
        with self._lock:
            if self._size and self._taken == self._taken_before:
                self._wake()
            self._taken_before = self._taken

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Around what makes a worker thread wait for the server: another may take its place meanwhile."""
        seat: _Seat | None = getattr(self._seats, "mine", None)
        if seat is None:
            yield
            return
        began = monotonic()
        with self._lock:
            was_near = seat in self._near
            self._away(seat)
            if self._size and not self._near:
                self._wake()
        try:
            yield
        finally:
            with self._lock:
                if was_near:
                    self._near.add(seat)
                seat.since += monotonic() - began  # it says nothing about the body

    # -- under the lock ----------------------------------------------------------------------------------

    def _take(self, seat: _Seat) -> Any:
        for priority in self._order:
            line = self._lines[priority]
            if line:
                break
        item = line.popleft()
        self._size -= 1
        self._taken += 1
        seat.actor = actor = item.message.actor_name
        seat.since = monotonic()
        if self._took.get(actor, 1.0) > SHORT:
            self._away(seat)
            if self._size and not self._near:
                self._wake()
        return item

    def _back(self, seat: _Seat) -> bool:
        """The body of a seat is over. Whether it was one of those that are quick."""
        actor, seat.actor = seat.actor, ""
        if actor:
            took = monotonic() - seat.since
            before = self._took.get(actor, took)
            self._took[actor] = before + WEIGHT * (took - before)
            before = self._took_alone.get(actor, took)
            is_alone = len(self._near) <= (seat in self._near)
            self._took_alone[actor] = before + WEIGHT * (took - before) if is_alone else min(before, took)
        self._near.add(seat)
        return self._is_quick(actor)

    def _is_quick(self, actor: str) -> bool:
        return self._took_alone.get(actor, 1.0) < QUICK

    def _away(self, seat: _Seat) -> None:
        self._near.discard(seat)

    def _another_is_at_it(self, seat: _Seat) -> bool:
        """Whether another thread takes the next one in a moment: two of them would get into each other's way at each
        message. A body that is long for once does not count any more."""
        if len(self._near) > 1:
            now = monotonic()
            for other in tuple(self._near):
                if other is seat:
                    continue
                if other.actor and now - other.since >= LATE:
                    self._away(other)
                elif not other.actor or self._is_quick(other.actor):
                    return True
        return False

    def _park(self, seat: _Seat) -> None:
        self._away(seat)
        self._parked.append(seat)

    def _wake(self) -> None:
        # The one that fell asleep last: what it needs is still in the caches.
        if self._parked:
            seat = self._parked.pop()
            self._near.add(seat)
            seat.bell.release()
