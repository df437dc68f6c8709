"""The event loop that the async bodies of a worker process share. It is Dramatiq's, so that what asks Dramatiq for the
loop of this process (an actor that was declared with ``dramatiq.actor``) finds the same one."""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from dramatiq.asyncio import EventLoopThread

from understudy.asking import asking_here

logger = logging.getLogger(__name__)

#: Threads in which bodies do what blocks (``asyncio.to_thread``). They are made when they are needed.
THREADS = 32
#: Seconds in which it starts, and in which it stops.
SOON = 5.0


def made(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
    """A task. It is remembered which body has started it."""
    task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, **options)
    asking = asking_here()
    if asking is not None:
        asking.tasks.add(task)
    return task


class LoopThread(EventLoopThread):
    """Dramatiq's thread, but that a process may end while a body blocks it."""

    def __init__(self) -> None:
        super().__init__(logger)
        self.daemon = True
        self.name = "event loop"
        self.loop.set_task_factory(made)
        self._blocking = ThreadPoolExecutor(THREADS, thread_name_prefix="blocking")
        self.loop.set_default_executor(self._blocking)

    def begin(self) -> None:
        """Start it, and wait until it runs."""
        self.start(timeout=SOON)

    def finish(self) -> None:
        """Stop it. One that a body blocks is left behind."""
        self._blocking.shutdown(wait=False, cancel_futures=True)
        if not self.loop.is_running():
            return
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.join(SOON)
        if self.is_alive():
            logger.error("the event loop does not stop: a body blocks it")

    @property
    def is_current(self) -> bool:
        """Whether this is called in it."""
        return threading.get_ident() == self.ident
