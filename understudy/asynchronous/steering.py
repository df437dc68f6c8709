"""A coroutine between a body and its task: it raises in the body what the task alone could not.

``Task.cancel`` raises ``CancelledError`` and nothing else. Here the soft limit arrives as an exception that is both: an
``except SoftTimeLimitExceeded`` of the body catches it, and the library code on the way (``TaskGroup``, ``wait_for``,
locks) cleans up after it as after any cancellation. And nothing that a body raises reaches the task: ``SystemExit``
would end the event loop with all its neighbours.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from traceback import FrameSummary, StackSummary
from types import CoroutineType, FrameType
from typing import Any

from understudy.errors import SoftTimeLimitExceeded

#: Bodies that caught even their end. Were they let go, they would be closed, and go on, wherever that happens.
_stubborn: list[Coroutine[Any, Any, Any]] = []


class SoftCancellation(SoftTimeLimitExceeded, asyncio.CancelledError):
    """The soft time limit as it is met at an ``await``. ``SoftTimeLimitExceeded`` in everything but its bases."""


class Steered(Coroutine[Any, Any, None]):
    """Drives ``body``. Its task ends with None, whatever the body does.

    Attributes:
      task: what runs it; set by whoever made that.
      value: what the body returned.
      error: what it raised.
      ended: it has returned, raised, or was abandoned.
      steps: how many steps it has made; while ``stepping`` it is in the middle of one.
    """

    def __init__(self, body: Coroutine[Any, Any, Any]) -> None:
        self.task: asyncio.Task[None] | None = None
        self.value: Any = None
        self.error: BaseException | None = None
        self.ended = False
        self.steps = 0
        self.stepping = False
        self._body = body
        #: What the body meets at its next step.
        self._due: BaseException | None = None

    def interrupt(self, error: BaseException) -> None:
        """Raise ``error`` at the ``await`` where the body stands. In the thread of the loop, between two steps."""
        if self.ended:
            return
        self._due = error
        if self.task is not None:
            self.task.cancel()

    def abandon(self) -> None:
        """The body goes no step further, whatever it caught. Its ``finally`` blocks run as far as they do not wait."""
        if self.ended:
            return
        self.ended = True
        try:
            self._body.close()
        except BaseException as error:  # noqa: BLE001 - also "coroutine ignored GeneratorExit"
            self.error = error
            if self.where():
                _stubborn.append(self._body)
        if self.task is not None:
            self.task.cancel()

    def where(self) -> list[FrameSummary]:
        """The places where the body waits, the outermost first."""
        frames: list[tuple[FrameType, int]] = []
        at: Any = self._body
        while isinstance(at, CoroutineType) and at.cr_frame is not None:
            frames.append((at.cr_frame, at.cr_frame.f_lineno))
            at = at.cr_await
        return list(StackSummary.extract(iter(frames)))

    # -- what a task asks of a coroutine -----------------------------------------------------------------

    def send(self, value: Any) -> Any:
        if self._due is not None:  # a task that it waited for has swallowed the cancellation
            return self.throw(self._due)
        if self.ended:
            raise StopIteration
        self.stepping = True
        try:
            return self._body.send(value)
        except BaseException as error:  # noqa: BLE001 - the task must not meet it
            raise self._end(error) from None
        finally:
            self.stepping = False
            self.steps += 1

    def throw(self, kind: Any, value: Any = None, traceback: Any = None) -> Any:
        if self.ended:
            raise StopIteration
        error: BaseException = kind if isinstance(kind, BaseException) else value if value is not None else kind()
        if self._due is not None and isinstance(error, asyncio.CancelledError):
            error, self._due = self._due, None
            if isinstance(error, SoftCancellation) and self.task is not None:
                self.task.uncancel()  # what the body waits for next is not cancelled
        self.stepping = True
        try:
            return self._body.throw(error)
        except BaseException as raised:  # noqa: BLE001 - as above
            raise self._end(raised) from None
        finally:
            self.stepping = False
            self.steps += 1

    def close(self) -> None:
        self.abandon()

    def __await__(self) -> Generator[Any, None, None]:
        raise TypeError("it is driven by a task")

    def _end(self, error: BaseException) -> StopIteration:
        self.ended = True
        if isinstance(error, StopIteration):
            self.value = error.value
        else:
            if error.__traceback__ is not None:
                error.__traceback__ = error.__traceback__.tb_next  # without the frame of this file
            self.error = error
        return StopIteration()
