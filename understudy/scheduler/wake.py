"""How a scheduler sleeps: until something is due, unless it is told something before.

A pipe is waited for, because writing to one is all that a signal handler may do. A thread listens to the server and
writes to it too.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import threading
from types import TracebackType
from typing import Any, Self

from understudy.errors import ServerUnavailable
from understudy.storage.client import Storage

logger = logging.getLogger(__name__)

#: Seconds between two attempts to listen again, and after which a listener looks whether it shall end.
AGAIN, LOOK = 0.5, 0.5


class Waker:
    """``wait`` returns when the time is over, or ``wake`` was called: from a signal handler, or another thread."""

    def __init__(self) -> None:
        self._reads, self._writes = os.pipe()
        for end in (self._reads, self._writes):
            os.set_blocking(end, False)
        self._poll = select.poll()
        self._poll.register(self._reads, select.POLLIN)

    def wake(self) -> None:
        """End the wait, or the next one."""
        with contextlib.suppress(BlockingIOError, OSError):  # full: it is awake anyway; closed: nobody waits
            os.write(self._writes, b"\0")

    def wait(self, seconds: float) -> bool:
        """Wait so long; True when it was woken."""
        if not self._poll.poll(max(0.0, seconds) * 1000):
            return False
        with contextlib.suppress(BlockingIOError):
            while os.read(self._reads, 512):
                pass
        return True

    def close(self) -> None:
        """Let go of the pipe."""
        os.close(self._reads)
        os.close(self._writes)


class Listener:
    """Wakes a scheduler whenever the channel of the schedulers says something, and when it listens again after it could
    not: what was said in between is not known."""

    def __init__(self, storage: Storage, waker: Waker) -> None:
        self._storage, self._waker = storage, waker
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, name="understudy-scheduler-listener", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Waited for, because whoever leaves is about to close the connections under it.
        self._ends.set()
        self._thread.join(2 * LOOK)

    def _run(self) -> None:
        while not self._ends.is_set():
            try:
                subscription = self._storage.subscribe(self._storage.keys.scheduling, confirmed=True)
                with contextlib.closing(subscription) as channel:
                    self._listen(channel)
            except ServerUnavailable:
                self._ends.wait(AGAIN)

    def _listen(self, channel: Any) -> None:
        while not self._ends.is_set():
            with self._storage.exchange("listen"):
                heard = channel.get_message(timeout=LOOK)
            if heard is not None:
                self._waker.wake()
