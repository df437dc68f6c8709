"""The event loop that the async bodies of a worker process share. It is Dramatiq's, so that what asks Dramatiq for the
loop of this process (an actor that was declared with ``dramatiq.actor``) finds the same one."""

from __future__ import annotations

import logging
import threading

from dramatiq.asyncio import EventLoopThread

logger = logging.getLogger(__name__)

#: Seconds in which it starts, and in which it stops.
SOON = 5.0


class LoopThread(EventLoopThread):
    """Dramatiq's thread, but that a process may end while a body blocks it."""

    def __init__(self) -> None:
        super().__init__(logger)
        self.daemon = True
        self.name = "event loop"

    def begin(self) -> None:
        """Start it, and wait until it runs."""
        self.start(timeout=SOON)

    def finish(self) -> None:
        """Stop it. One that a body blocks is left behind."""
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
