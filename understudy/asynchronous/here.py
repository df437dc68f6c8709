"""Runs one body in the thread that calls: in tests, in a process of its own, in a thread of a worker."""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from typing import Any

from understudy.actors import AsyncActor
from understudy.asking import Asking, asks_by
from understudy.execution import Execution
from understudy.limits import Limits

from .body import Body


class Here:
    """Stands in for the body of ``execution``. It has an event loop of its own, so it blocks nobody but this thread.

    Args:
      limits: those that the loop keeps; None where something else does.
    """

    def __init__(self, execution: Execution, limits: Limits | None) -> None:
        self.actor: AsyncActor[Any, Any] = execution.actor  # type: ignore[assignment]  # whoever makes this has looked
        self._execution = execution
        self._limits = limits

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
        done = asyncio.Event()
        body = Body(self.actor.fn(*args, **kwargs), self._execution, self._limits, asking, lambda body: done.set())
        body.start(context)
        await done.wait()
        return body.result()
