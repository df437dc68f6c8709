"""How many messages a worker process may hold, and a place to wait until it holds fewer.

Held too few, threads wait for the server; held too many, messages wait here that another worker could run. What is
right depends on how long the bodies take, so it is measured: as many as are worked off in ``HORIZON`` seconds. Bodies
of seconds give the number that the worker asks for, twice its threads; no-ops some hundreds.

Those whose bodies are over and that wait for the server alone do not count: else the threads would stand still while it
works, and it while they do. But there may be no more of them than of the others. Were the process killed, they would
run again: above ``UNSETTLED`` of them the fewer are fetched the more they are, and at twice that nothing is.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from dramatiq.worker import QUEUE_PREFETCH

from understudy import clock

#: Seconds of work that may wait in the process, and the most messages that this may be.
HORIZON, MOST = 0.2, 2048
#: Bodies that may be over without a thought of it.
UNSETTLED = 1024
#: Seconds that are a moment: what is said of a message in it still holds when its body begins.
MOMENT = 0.1
#: A read is worth its round trip for this part of them. If it were for half of them, what is left here would be worked
#: off before the next ones are claimed: who reads and claims has to wait for the interpreter while bodies run.
SHARE = 4
#: Seconds over which the rate is measured: at least, and at the most. What is settled goes by the hundred, and between
#: two settlements nothing does: a short look would see the one or the other.
INTERVAL, WINDOW = 0.01, 0.25


class Room:
    """Counts what is held, queue by queue.

    Args:
      said: how many messages of a queue may be held beyond those in the threads; None if nobody has said.
      threads: how many threads work in this process.
    """

    def __init__(
        self, *, said: Callable[[str], int | None] = lambda queue: None, threads: Callable[[], int] = lambda: 1
    ) -> None:
        self._said = said
        self._threads = threads
        self._held: dict[str, int] = {}
        #: Queue -> how many of those that are held wait for their settlement alone.
        self._over: dict[str, int] = {}
        self._gone: dict[str, int] = {}
        #: Queue -> when it was looked at in the last moments, and how many had gone by then; how many went in a second.
        self._looks: dict[str, deque[tuple[float, int]]] = {}
        self._rates: dict[str, float] = {}
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._waiting = 0
        #: Queue -> how many may be held at the most for whoever waits to go on.
        self._awaited: dict[str, int] = {}

    def add(self, queue: str, count: int = 1) -> None:
        """So many more are held."""
        with self._lock:
            self._held[queue] = self._held.get(queue, 0) + count

    def over(self, queue: str) -> None:
        """The body of one of them is over."""
        with self._lock:
            self._over[queue] = self._over.get(queue, 0) + 1
            self._tell(queue)

    def remove(self, queue: str, *, over: bool = False) -> None:
        """One less, of which was said before that it is ``over`` or not."""
        with self._lock:
            self._held[queue] -= 1
            self._over[queue] = self._over.get(queue, 0) - over
            self._gone[queue] = self._gone.get(queue, 0) + 1
            self._tell(queue)

    def _tell(self, queue: str) -> None:
        # Whoever waits is not woken a hundred times to see that there is not room enough yet.
        if self._waiting and self._held[queue] - self._over.get(queue, 0) <= self._awaited.get(queue, MOST):
            self._changed.notify_all()

    def limit(self, queue: str, asked: int) -> int:
        """How many may be held, when the worker asks for ``asked``."""
        said = self._said(queue)
        if said is not None:
            return max(1, self._threads()) + said
        if QUEUE_PREFETCH:
            return asked  # Dramatiq's own variable, which somebody has set
        return max(asked, min(MOST, int(self._rate(queue) * HORIZON)))

    @property
    def most(self) -> int:
        """How many may be held, however short the bodies are."""
        return MOST

    def soon(self, queue: str) -> int:
        """How many are worked off in a moment, as it was measured last."""
        return int(self._rates.get(queue, 0.0) * MOMENT)

    def wait(self, queue: str, asked: int, timeout: float) -> int:
        """How many more may be fetched; waits ``timeout`` seconds until a read is worth its round trip.

        It is when a quarter of them may. Where somebody has said how many, one is enough: no thread shall wait.
        """
        limit = self.limit(queue, asked)
        exact = self._said(queue) is not None
        enough = 1 if exact else max(1, limit // SHARE)

        def room() -> int:
            over = self._over.get(queue, 0)
            discount = 0 if exact else min(over, limit, max(0, 2 * UNSETTLED - over))
            return limit - self._held.get(queue, 0) + discount

        with self._lock:
            self._waiting += 1
            self._awaited[queue] = limit - enough
            try:
                self._changed.wait_for(lambda: room() >= enough, timeout)
            finally:
                self._waiting -= 1
            return room()

    def _rate(self, queue: str) -> float:
        now, gone = clock.monotonic(), self._gone.get(queue, 0)
        looks = self._looks.setdefault(queue, deque(((now, gone),)))
        if now - looks[-1][0] >= INTERVAL:
            while len(looks) > 1 and now - looks[0][0] > WINDOW:
                looks.popleft()
            then, before = looks[0]
            self._rates[queue] = (gone - before) / (now - then)
            looks.append((now, gone))
        return self._rates.get(queue, 0.0)
