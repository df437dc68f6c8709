"""The shared event loop under a test: the tests begin and settle, the loop runs by itself."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any, Literal, cast

from dramatiq.worker import _WorkQueueItem

from understudy import actor
from understudy.actors import Actor, AsyncActor
from understudy.asking import THREADS
from understudy.asynchronous.halves import Beginner, Run, Settler
from understudy.asynchronous.lane import Lane
from understudy.asynchronous.loop import LoopThread
from understudy.brokers.held import HeldMessage
from understudy.brokers.redis import RedisBroker
from understudy.testing.worker import StepWorker

#: How a body runs: ``def``; ``async def`` on a loop of its own, as in ``drain()``; ``async def`` on the shared loop.
How = Literal["def", "async def", "on the loop"]
HOW: tuple[How, ...] = ("def", "async def", "on the loop")


class Halves:
    """A beginner, a settler, and the loop between them. ``broker`` is one that stands on a real server."""

    def __init__(self, broker: RedisBroker, worker: StepWorker, places: int = 10) -> None:
        broker.settings = broker.settings.model_copy(update={"isolation": "process"})
        self.broker = broker
        self.worker = worker
        self.lane = Lane(places)
        self.loop = LoopThread()
        self.loop.begin()
        self.pool = ThreadPoolExecutor(THREADS)
        self.ended: SimpleQueue[Run | None] = SimpleQueue()
        self.beginner = Beginner(broker, self.lane, self.loop, self.pool, self.ended)
        self.settler = Settler(broker, self.lane, self.ended, worker._by_queue)  # type: ignore[arg-type]

    def fetch(self) -> list[HeldMessage]:
        """Fetch what is due: bodies of the loop stand in the lane then. Returns the others."""
        others: list[HeldMessage] = []
        self.worker._upkeep()
        for consumer in self.worker._consumers():
            while (message := cast("HeldMessage | None", next(consumer.source))) is not None:
                if isinstance(self.broker.actors.get(message.actor_name), AsyncActor):
                    message.on_loop = True  # as Lines does it
                    self.lane.line.put(_WorkQueueItem(0, message))
                else:
                    others.append(message)
        return others

    def begin(self) -> int:
        """Fetch, and begin what there are places for."""
        self.fetch()
        return self.begin_fetched()

    def begin_fetched(self) -> int:
        """Begin what there are places for; returns how many left the line."""
        count = 0
        while self.beginner.run_once(0):
            count += 1
        return count

    def settle(self, count: int = 1) -> None:
        """Settle so many, waiting for them."""
        for _ in range(count):
            assert self.settler.run_once()

    def drain(self) -> int:
        """Process what is due and what follows from it, as ``drain()`` does: bodies of the loop all at once."""
        executed = 0
        while True:
            others = self.fetch()
            for message in others:
                self.worker._work.put(_WorkQueueItem(0, message))
                self.worker._thread.process_message(self.worker._work.get().message)
            begun = self.begin_fetched()
            self.settle(begun)
            if not others and not begun:
                return executed
            executed += len(others) + begun

    def close(self) -> None:
        """End the loop and the threads."""
        self.loop.finish()
        self.pool.shutdown()


class Bodies:
    """Declares the same body as ``def`` or ``async def``, and runs it where such a body runs.

    Attributes:
      halves: the shared loop; None where the bodies do not run there.
    """

    def __init__(self, how: How, broker: RedisBroker, worker: StepWorker) -> None:
        self.how = how
        self.halves = Halves(broker, worker, places=2_000) if how == "on the loop" else None
        self.drain: Callable[[], int] = worker.drain if self.halves is None else self.halves.drain

    def actor(self, **options: Any) -> Callable[[Callable[..., Any]], Actor[..., Any]]:
        """As ``@actor(**options)`` on a plain function. As an async body it runs behind an ``await``."""

        def declare(fn: Callable[..., Any]) -> Actor[..., Any]:
            if self.how == "def":
                return actor(**options)(fn)

            @functools.wraps(fn)
            async def body(*args: Any, **kwargs: Any) -> Any:
                await asyncio.sleep(0)
                return fn(*args, **kwargs)

            return actor(**options)(body)

        return declare

    def close(self) -> None:
        """End the loop, if there is one."""
        if self.halves is not None:
            self.halves.close()
