"""One body on an event loop: its clocks, its end, and what came of it. All of it in the thread of the loop.

::

    start --> runs --returns, raises------------------------------------> done
                |--soft limit: SoftTimeLimitExceeded at its await, once      ^
                '--end(why): CancelledError at its await --it ends-----------|
                                  '--- it has not ended after GRACE: abandoned
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Coroutine
from contextvars import Context
from traceback import format_list
from typing import Any

from understudy import clock
from understudy.asking import Asking
from understudy.errors import SoftTimeLimitExceeded, TimeLimitExceeded
from understudy.exception_groups import deciding
from understudy.exceptions import remember_traceback
from understudy.execution import Execution, Terminated
from understudy.limits import Limits

from .steering import SoftCancellation, Steered

logger = logging.getLogger(__name__)

#: Seconds in which a body that is cancelled cleans up.
GRACE = 1.0
#: How many of the tasks that a body has left behind are named.
TOLD = 5
#: Seconds after which tasks that a body has left behind are told of.
LINGER = 1.0
#: Seconds between two looks whether the threads that ask for a body are back.
LOOK_AGAIN = 0.05


class Body:
    """A body. ``then`` is called once, in the thread of the loop, when it is done.

    Attributes:
      name: as it is said in the log.

    Args:
      limits: None where nobody keeps any.
    """

    name = "a body"

    def __init__(
        self,
        coroutine: Coroutine[Any, Any, Any],
        execution: Execution | None,
        limits: Limits | None,
        asking: Asking,
        then: Callable[[Body], None],
    ) -> None:
        self.steered = Steered(coroutine)
        self.execution = execution
        self.asking = asking
        self.done = False
        self._limits = limits
        self._then = then
        self._why: BaseException | None = None
        self._timers: list[asyncio.TimerHandle] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def is_over(self) -> bool:
        """Whether its task has ended, too."""
        return self.steered.task is None or self.steered.task.done()

    def start(self, context: Context) -> asyncio.Task[None]:
        """Begin, in ``context``."""
        loop = self._loop = asyncio.get_running_loop()
        task = self.steered.task = loop.create_task(self.steered, context=context, name=self.name)
        task.add_done_callback(self._on_end)
        execution, limits = self.execution, self._limits
        if limits is not None:
            if limits.hard < math.inf:
                self._timers.append(loop.call_later(limits.hard, self._hard, limits.hard))
            if limits.soft is not None:
                self._timers.append(loop.call_later(limits.soft, self._soft, limits.soft))
        if execution is not None:
            execution.began_at = clock.monotonic()
            execution.ender = self.terminate
            if execution.terminated:
                self.end(Terminated())  # while the guards were asked
        return task

    def terminate(self) -> None:
        """End it, because its message is revoked. For any thread."""
        self.end_soon(Terminated())

    def end_soon(self, why: BaseException) -> None:
        """``end`` for any thread."""
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(self.end, why)
        except RuntimeError:
            return  # the loop is closed, and every body with it

    def end(self, why: BaseException) -> None:
        """Cancel it. Whatever it makes of that, its outcome is ``why``; the first reason counts. One that has come to
        its end has the outcome that this is."""
        if self.done or self._why is not None or self.steered.ended:
            return
        self._why = self._told(why)
        if self.execution is not None:
            self.execution.cut_off = True
        self.steered.interrupt(asyncio.CancelledError(str(why)))
        assert self._loop is not None
        self._timers.append(self._loop.call_later(GRACE, self._abandon))

    def result(self) -> Any:
        """What the body returned.

        Raises:
          BaseException: what it raised, or why it was ended.
        """
        error = self.steered.error
        if self._why is not None:
            if error is not None and not isinstance(error, asyncio.CancelledError):
                raise self._why from error
            raise self._why
        if isinstance(error, SoftCancellation):
            raise SoftTimeLimitExceeded(str(error)).with_traceback(error.__traceback__) from error.__cause__
        if error is not None:
            raise deciding(error)  # here, so that Dramatiq's worker does not log as a failure what is none
        return self.steered.value

    def _soft(self, seconds: float) -> None:
        if self._why is None:
            self.steered.interrupt(
                SoftCancellation(f"the soft time limit of {seconds:g} s is over; end soon, before the hard one")
            )

    def _hard(self, seconds: float) -> None:
        frames = self.steered.where()
        place = f"; it was at {frames[-1].filename}:{frames[-1].lineno} in {frames[-1].name}" if frames else ""
        self.end(TimeLimitExceeded(f"the body was stopped at its time limit of {seconds:g} s{place}"))

    def _told(self, why: BaseException) -> BaseException:
        """``why``, with the place where the body waits for its traceback."""
        frames = self.steered.where()
        if frames and isinstance(why, Exception):
            said = "".join(format_list(frames))
            remember_traceback(why, f"Traceback (most recent call last):\n{said}{type(why).__name__}: {why}")
        return why

    def _abandon(self) -> None:
        if self.done:
            return
        if self.asking.open:
            # What a thread is writing for it must not come after its outcome.
            assert self._loop is not None
            self._timers.append(self._loop.call_later(LOOK_AGAIN, self._abandon))
            return
        logger.error("%s: it does not end after %g s, and is left where it stands", self.name, GRACE)
        self.steered.abandon()
        assert self._loop is not None
        # Its task has one more step to make, unless what it waits for does not end either.
        self._timers.append(self._loop.call_later(LOOK_AGAIN, self._finish))

    def _on_end(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            task.exception()  # none: all of it was kept away from the task
        self._finish()

    def _finish(self) -> None:
        if self.done:
            return
        if self.asking.open and self._loop is not None and not self._loop.is_closed():
            self._timers.append(self._loop.call_later(LOOK_AGAIN, self._finish))
            return
        self.done = True
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        if self.execution is not None:
            self.execution.ender = None
        self._look_for_tasks(LINGER)
        self._then(self)

    def _look_for_tasks(self, seconds: float) -> None:
        """What a body starts must end with it. In so many seconds; those of a generator that is closed end soon."""
        left = [task for task in self.asking.tasks if not task.done() and task is not self.steered.task]
        if left and self._loop is not None and not self._loop.is_closed():
            self._loop.call_later(seconds, self._tell_of, left)

    def _tell_of(self, tasks: list[asyncio.Task[Any]]) -> None:
        # Not the names of tasks, which bodies may make of arguments.
        names = [getattr(task.get_coro(), "__qualname__", "?") for task in tasks if not task.done()]
        if names:
            logger.warning(
                "%s: it has ended, and tasks that it started go on: %s; they are lost when the worker stops, and what "
                "they report is refused: let the body wait for them (asyncio.TaskGroup)",
                self.name,
                ", ".join(names[:TOLD]) + (f" and {len(names) - TOLD} more" if len(names) > TOLD else ""),
            )
