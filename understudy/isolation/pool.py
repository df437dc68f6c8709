"""The children of this worker process: one for each thread that has run a body in one, kept for the next."""

from __future__ import annotations

import atexit
import contextlib
import logging
import random
import sys
import threading
import weakref

from understudy.settings import Settings

from .jobs import Boot
from .process import Process

logger = logging.getLogger(__name__)

#: Children that started together would all be replaced together: each is up to this share earlier.
SPREAD = 0.1


class Pool:
    """Children by thread. A thread takes its own; ``close`` ends all.

    Attributes:
      closed: they were ended, so the death of one means nothing; until a thread takes one again.
    """

    def __init__(self) -> None:
        self.closed = False
        self._children: dict[int, tuple[Process, int]] = {}
        self._lock = threading.Lock()
        _pools.add(self)

    def take(self, settings: Settings) -> Process:
        """The child of this thread, a new one if there is none, or if it has had its messages.

        Raises:
          CannotStart: no process can be made now.
          IsolationError: it cannot be set up.
        """
        self.closed = False
        thread = threading.get_ident()
        kept = self._children.get(thread)
        if kept is not None:
            child, most = kept
            if child.alive and child.boot.settings is settings and not 0 < most <= child.jobs:
                return child
            self.drop(child)
        modules = [name for name in settings.modules if name in sys.modules]
        child = Process(Boot(settings, modules, list(sys.path)), threading.current_thread().name)
        most = 0 if settings.child_max_messages is None else _spread(settings.child_max_messages)
        with self._lock:
            self._children[thread] = (child, most)
        logger.debug("process %d runs the bodies of this thread", child.pid)
        return child

    def drop(self, child: Process) -> None:
        """End a child of this thread, however it is."""
        with self._lock:
            self._children.pop(threading.get_ident(), None)
        child.end()

    def close(self) -> None:
        """End them all."""
        self.closed = True
        with self._lock:
            children, self._children = list(self._children.values()), {}
        for child, _ in children:
            child.hang_up()
        for child, _ in children:
            with contextlib.suppress(OSError):
                child.end()


def _spread(limit: int) -> int:
    return max(1, limit - int(limit * SPREAD * random.random()))


_pools: weakref.WeakSet[Pool] = weakref.WeakSet()


def close_all() -> None:
    """End every child of this process. Also called when the interpreter ends."""
    for pool in list(_pools):
        pool.close()


atexit.register(close_all)
