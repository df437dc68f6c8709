"""Looks whether somebody blocks the event loop, and says who, where and for how long.

A body that computes for seconds between two ``await``, or calls something that blocks, stops all others on the loop:
they neither go on nor meet their limits. Nothing can end it from outside; it is named in the log while it does that.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Callable, Iterable
from traceback import StackSummary, format_list, walk_stack

from understudy import clock

from .body import Body

logger = logging.getLogger(__name__)

#: Seconds for which a loop may be busy with one step before that is said, and again whenever it has doubled.
LATE = 1.0
#: Seconds between two looks.
INTERVAL = 0.25


class Watchdog:
    """``run_once`` is its step; a thread repeats it.

    Args:
      thread: the identity of the thread of ``loop``.
      bodies: those that run there.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, thread: Callable[[], int | None], bodies: Callable[[], Iterable[Body]]
    ) -> None:
        self._loop = loop
        self._thread = thread
        self._bodies = bodies
        self._asked_at: float | None = None
        self._say_after = LATE
        self._lock = threading.Lock()

    def run_once(self) -> None:
        """Ask the loop for a sign, and see whether it gave the last one."""
        now = clock.monotonic()
        with self._lock:
            asked = self._asked_at
            if asked is None:
                self._asked_at = now
        if asked is None:
            try:
                self._loop.call_soon_threadsafe(self._heard)
            except RuntimeError:
                return  # it is closed
        elif now - asked >= self._say_after:
            self._say_after *= 2
            self._say(now - asked)

    def run(self, stop: threading.Event) -> None:
        """Repeat the step until ``stop`` is set."""
        while not stop.wait(INTERVAL):
            try:
                self.run_once()
            except Exception:
                logger.exception("watchdog: unexpected error; going on")

    def _heard(self) -> None:
        with self._lock:
            asked, self._asked_at = self._asked_at, None
        if self._say_after > LATE and asked is not None:
            logger.warning("the event loop goes on after %.1f s", clock.monotonic() - asked)
        self._say_after = LATE

    def _say(self, seconds: float) -> None:
        bodies = list(self._bodies())
        blocking = [body.name for body in bodies if body.steered.stepping]
        standing = len(bodies) - len(blocking)
        if not blocking and (task := asyncio.current_task(self._loop)) is not None:
            blocking = [f"a task of {body.name}" for body in bodies if task in body.asking.tasks]
        frame = sys._current_frames().get(self._thread() or 0)
        stack = "" if frame is None else "".join(format_list(StackSummary.extract(reversed(list(walk_stack(frame))))))
        logger.error(
            "the event loop is blocked for %.1f s by %s, and %d other bodies stand still with it, limits or not; "
            "let it await, or run in a process of its own (isolation='process'). It is at:\n%s",
            seconds,
            ", ".join(blocking) or "something that is no body",
            standing,
            stack,
        )
