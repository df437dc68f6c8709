"""Gives a worker that has ``async def`` actors what runs them: an event loop, beside its threads.

In place of Dramatiq's ``AsyncIO``, whose loop it provides to whoever asks Dramatiq for it. There a thread of the worker
waits for each body; here none does (``understudy.asynchronous``). A worker without such actors gets nothing.
"""

from __future__ import annotations

import inspect
from typing import Any

from dramatiq import Broker, Middleware, Worker

from understudy.actors import AsyncActor, declared
from understudy.asynchronous.crew import Crew
from understudy.brokers.redis import RedisBroker
from understudy.limits import runs_apart


class Coroutines(Middleware):
    """Behind ``Lifecycle``: bodies know that the worker stops when this begins to wait for them."""

    def __init__(self) -> None:
        self._crew: Crew | None = None

    def before_worker_boot(self, broker: Broker, worker: Any) -> None:
        if not isinstance(broker, RedisBroker) or not isinstance(worker, Worker):
            return
        awaited = {
            name
            for name, actor in broker.actors.items()
            if isinstance(actor, AsyncActor) and not runs_apart({}, declared(actor), broker.settings)
        }
        # One that was declared with Dramatiq's own decorator asks for the loop, and holds a thread.
        blocking = any(inspect.iscoroutinefunction(inspect.unwrap(actor.fn)) for actor in broker.actors.values())
        if awaited or blocking:
            self._crew = Crew(broker, worker, awaited)
            self._crew.start()

    def before_worker_shutdown(self, broker: Broker, worker: Any) -> None:
        if self._crew is not None:
            self._crew.drain()

    def after_worker_shutdown(self, broker: Broker, worker: Any) -> None:
        crew, self._crew = self._crew, None
        if crew is not None:
            crew.close()
