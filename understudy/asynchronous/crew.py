"""What a worker process has for its async bodies: the loop, the threads of both halves, those that ask, the watchdog.

Made when a worker boots that has such actors; ended with it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Set
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any

from dramatiq import Worker
from dramatiq.asyncio import set_event_loop_thread

from understudy import clock
from understudy.asking import THREADS
from understudy.brokers.redis import RedisBroker
from understudy.errors import HandBack

from .body import GRACE
from .halves import Beginner, Run, Settler
from .lane import Lane, Lines
from .loop import LoopThread
from .watchdog import Watchdog

logger = logging.getLogger(__name__)

#: Threads for each half. One waits for the server while the other one works.
HALVES = 2
#: Seconds between two looks whether there is something to begin, or whether all have ended.
TIMEOUT = 1.0
LOOK_AGAIN = 0.05
#: Seconds in which the loop takes what it was given last, if nobody blocks it.
LAST = 0.5
#: Seconds in which bodies that were cut off have ended, and in which at least one more of them is settled.
CUT_OFF = GRACE + 1.0


class Crew:
    """For ``worker``, whose actors in ``awaited`` have async bodies.

    Attributes:
      loop: the thread of the event loop.
      lane: what waits and runs.
    """

    def __init__(self, broker: RedisBroker, worker: Worker, awaited: Set[str]) -> None:
        self.loop = LoopThread()
        self.lane = Lane(broker.settings.async_concurrency)
        self._broker = broker
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="asking")
        self._ended: SimpleQueue[Run | None] = SimpleQueue()
        self._beginner = Beginner(broker, self.lane, self.loop, self._pool, self._ended)
        self._settlers = [Settler(broker, self.lane, self._ended, worker.consumers) for _ in range(HALVES)]
        self._watchdog = Watchdog(self.loop.loop, lambda: self.loop.ident, lambda: list(self._beginner.bodies))
        self._stop = threading.Event()
        #: Set when nothing more is begun.
        self._enough = threading.Event()
        self._threads: list[threading.Thread] = []
        broker.work = worker.work_queue = Lines(self.lane, awaited)  # type: ignore[assignment]  # as the broker's own

    def start(self) -> None:
        """Start everything."""
        self.loop.begin()
        set_event_loop_thread(self.loop)
        for _ in range(HALVES):
            self._thread("beginner", self._begin)
        for settler in self._settlers:
            self._thread("settler", self._settle, settler)
        self._thread("watchdog", self._watchdog.run, self._stop)

    def drain(self) -> None:
        """Let what runs end, for as long as the broker gives it; then cut it off."""
        self._enough.set()
        end = clock.monotonic() + self._broker.grace
        while not self._broker.grace_over.is_set() and clock.monotonic() < end:
            if self.lane.wait_until_empty(LOOK_AGAIN):
                break
        self.cut_off()

    def cut_off(self) -> None:
        """Cancel what runs: it goes back to its queues, and no attempt is burned."""
        self._beginner.closed = lambda: HandBack("the worker stopped before the body began")
        bodies = list(self._beginner.bodies)
        if bodies:
            logger.warning("%d async bodies were still running when the time was up; they go back", len(bodies))
        for body in bodies:
            body.end_soon(HandBack("the worker stopped before the body ended"))
        if not self._settled() and (stubborn := len(self._beginner.bodies)):
            # Of the others the outcomes are not committed: with the server away, the broker waits that out.
            logger.error("%d async bodies do not end; their messages run again elsewhere", stubborn)

    def _settled(self) -> bool:
        """Wait until nothing runs. A thousand outcomes take their time, so not until a fixed moment."""
        left = -1
        while left != self.lane.running:
            left = self.lane.running
            if self.lane.wait_until_empty(CUT_OFF):
                return True
        return False

    def close(self) -> None:
        """End everything."""
        self._enough.set()
        self._stop.set()
        passed = threading.Event()
        if self.loop.loop.is_running():
            # Behind what was given to it last, which goes back.
            self.loop.loop.call_soon_threadsafe(passed.set)
            passed.wait(LAST)
        self._ended.put(None)
        for thread in self._threads:
            thread.join(2 * TIMEOUT + 1)
        self.loop.finish()
        set_event_loop_thread(None)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _thread(self, name: str, target: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=target, args=args, name=name, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _begin(self) -> None:
        while not self._enough.is_set():
            try:
                self._beginner.run_once(TIMEOUT)
            except Exception:
                logger.exception("beginner: unexpected error; going on")

    def _settle(self, settler: Settler) -> None:
        while True:
            try:
                if not settler.run_once():
                    return
            except Exception:
                logger.exception("settler: unexpected error; going on")
