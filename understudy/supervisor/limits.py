"""When a worker process has worked enough and is replaced by a fresh one: after so many messages, or above so much
memory. Running work is finished first; nothing is killed and no attempt is burned."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dramatiq import Broker, MessageProxy, Middleware

from understudy.errors import HandBack

#: Processes that started together would all be replaced together: each stops up to this share earlier.
SPREAD = 0.1

#: Seconds that a message waits at the most for a worker that leaves to stop, before it goes back all the same.
LONGEST_WAIT = 5.0

STATM = Path("/proc/self/statm")


def resident_memory() -> int:
    """Bytes of memory that this process has in use (RSS).

    Raises:
      OSError: this system has no /proc.
    """
    return int(STATM.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def can_measure_memory() -> bool:
    """Whether ``resident_memory`` works on this system."""
    return STATM.exists()


def spread(limit: int, roll: Callable[[], float] = random.random) -> int:
    """``limit``, or up to a tenth less, never less than 1."""
    return max(1, limit - int(limit * SPREAD * roll()))


class Meter(Middleware):
    """Counts what this process works on. Outermost, so that a message counts as running while any hook of it runs.

    ``enough(reason)`` is called once, by the thread that reached a limit. From then on no body begins here: what is
    fetched waits until the worker stops, and goes back.
    """

    def __init__(
        self,
        enough: Callable[[str], None],
        *,
        max_messages: int | None = None,
        max_memory: int | None = None,
        memory: Callable[[], int] = resident_memory,
    ) -> None:
        self.done = 0
        #: Not the threads: an async body has none of its own.
        self._running: set[int] = set()
        self._enough = enough
        self._max_messages = max_messages
        self._max_memory = max_memory
        self._memory = memory
        self._lock = threading.Lock()
        self._leaving = False
        self._stopping = threading.Event()

    @property
    def running(self) -> int:
        """How many messages are being worked on."""
        return len(self._running)

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:
        if self._leaving:
            self._stopping.wait(LONGEST_WAIT)
            raise HandBack("this process has worked enough, and leaves")
        self._running.add(id(message))

    def before_worker_shutdown(self, broker: Broker, worker: Any) -> None:
        self._stopping.set()

    def after_process_message(
        self, broker: Broker, message: MessageProxy, *, result: Any = None, exception: BaseException | None = None
    ) -> None:
        self._ended(message)

    def after_skip_message(self, broker: Broker, message: MessageProxy) -> None:
        self._ended(message)

    def check_memory(self) -> None:
        """Call it now and then. Says nothing before the first message is done: a process must be of some use."""
        if self._max_memory is None or not self.done:
            return
        used = self._memory()
        if used > self._max_memory:
            self._max_memory = None
            self._leaving = True
            self._enough(f"it uses {mebibytes(used)} of memory after {self.done:,} messages")

    def _ended(self, message: MessageProxy) -> None:
        if id(message) not in self._running:
            return  # it did not begin here
        self._running.discard(id(message))
        with self._lock:
            self.done += 1
            reached = self.done == self._max_messages
            self._leaving = self._leaving or reached
        if reached:
            self._enough(f"it has done {self.done:,} messages")


def mebibytes(size: int) -> str:
    """``size`` (bytes) for people."""
    return f"{size / 2**20:,.0f} MiB"
