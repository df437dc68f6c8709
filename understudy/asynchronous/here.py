"""Runs one body in the thread that calls: in tests, in a process of its own, in a thread of a worker."""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from typing import Any

from understudy.actors import AsyncActor
from understudy.asking import Asking, asks_by
from understudy.brokers.settlement import HeldMessage, runs_in_context
from understudy.execution import Execution
from understudy.limits import Limits

from .body import Body


class Here:
    """Stands in for the body of ``execution``. It has an event loop of its own, so it blocks nobody but this thread.

    Args:
      limits: those that the loop keeps; None where something else does.
      held: the message, if its outcome is collected in this process.
    """

    def __init__(self, execution: Execution, limits: Limits | None, held: HeldMessage | None = None) -> None:
        self.actor: AsyncActor[Any, Any] = execution.actor  # type: ignore[assignment]  # whoever makes this has looked
        self._execution = execution
        self._limits = limits
        self._held = held

    def __call__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The result of the body.

        Raises:
          BaseException: what it raised, or why it was ended.
        """
        with asyncio.Runner() as runner:
            return runner.run(self._run(args, kwargs))

    async def _run(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        asking = Asking(None)
        context = copy_context()
        context.run(asks_by, asking)
        if self._held is not None:
            context.run(runs_in_context, self._held)  # also in the threads that the body starts
        done = asyncio.Event()
        body = Body(self.actor.fn(*args, **kwargs), self._execution, self._limits, asking, lambda body: done.set())
        body.start(context)
        await done.wait()
        return body.result()
