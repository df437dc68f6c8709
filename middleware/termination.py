"""Ends bodies whose messages were revoked with ``terminate=True`` (V02).

A body in a process of its own is ended with that process. One in a thread gets ``Terminated`` raised, which reaches
Python instructions only: best effort. One that works with ``each`` has ``ITEM`` seconds to end its item first.
"""

from __future__ import annotations

import ctypes
import logging
import threading
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from dramatiq import Broker, Middleware
from dramatiq.middleware.threading import current_platform, raise_thread_exception, supported_platforms

from understudy import clock
from understudy.actors import AsyncActor
from understudy.brokers.settlement import HeldMessage
from understudy.execution import Execution, Terminated
from understudy.plans.place import WORKFLOW, parse_id

from .executions import of, opened

logger = logging.getLogger(__name__)

#: Seconds for the item that is being worked on.
ITEM = 5.0


@dataclass(slots=True)
class _Body:
    held: HeldMessage
    execution: Execution
    thread: int
    interrupted: bool = False
    end_at: float | None = None

    def interrupt(self) -> None:
        # Not one that has ended meanwhile: what comes after a body must not be cut off in the middle.
        if not self.held.ended and current_platform in supported_platforms:
            self.interrupted = True
            raise_thread_exception(self.thread, Terminated)  # type: ignore[no-untyped-call]


class Termination(Middleware):
    """Last in the stack: nothing but a body can be ended."""

    def __init__(self) -> None:
        self._bodies: dict[str, _Body] = {}
        self._lock = threading.Lock()

    def before_process_message(self, broker: Broker, message: Any) -> None:
        held, _ = of(broker, message)
        execution = opened(held)
        body = _Body(held, execution, threading.get_ident())
        if not isinstance(execution.actor, AsyncActor):  # on an event loop, that ends it
            execution.ender = body.interrupt
        with self._lock:
            self._bodies[execution.token] = body

    def after_process_message(
        self, broker: Broker, message: Any, *, result: Any = None, exception: BaseException | None = None
    ) -> None:
        held, _ = of(broker, message)
        if held.execution is None:
            return
        with self._lock:
            body = self._bodies.pop(held.execution.token, None)
        if body is not None and body.interrupted:
            # The body may have ended by itself in this very moment.
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(threading.get_ident()), None)
        held.execution.ender = None

    def after_skip_message(self, broker: Broker, message: Any) -> None:
        self.after_process_message(broker, message)

    def stop(self, messages: Collection[str]) -> None:
        """End the bodies of ``messages``, or of workflows, that run here."""
        with self._lock:
            for body in self._bodies.values():
                if not body.execution.terminated and any(id in messages for id in names_of(body.held)):
                    logger.warning("%s: it is revoked; its body is ended", body.held)
                    body.execution.terminate("terminated")
                    if body.execution.uses_items:
                        body.end_at = clock.monotonic() + ITEM
                    else:
                        body.execution.end_now()

    def run_once(self) -> None:
        """End the bodies that did not come to the end of their item."""
        now = clock.monotonic()
        with self._lock:
            for body in self._bodies.values():
                if body.end_at is not None and now >= body.end_at:
                    body.end_at = None
                    body.execution.end_now()


def names_of(held: HeldMessage) -> tuple[str, ...]:
    """By what a message may be revoked: its id, and its workflow's."""
    found = parse_id(held.message_id) if WORKFLOW in held.options else None
    return (held.message_id,) if found is None else (held.message_id, found[0])
