"""Dramatiq's ``process_message`` in two halves, with a body between them that holds no thread.

The first half runs the hooks before the body and starts it on the event loop. The second one *is* Dramatiq's
``process_message``, given a body that has ended: it meets ``_Replay`` in place of the broker, where the hooks before
the body are over and to call the actor is to hear what came of it. So what Dramatiq makes of results and exceptions,
its log lines, ``throws``, the hooks after the body and the acknowledgement are Dramatiq's own.

Both halves, and the body between them, run in one context: what a hook before the body has set in a context variable
is there in the body, and in the hooks after it, whichever threads these are.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context, copy_context
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, cast

import dramatiq
from dramatiq import Broker
from dramatiq.worker import ConsumerThread, WorkerThread

from understudy import clock
from understudy.actors import AsyncActor
from understudy.asking import Asking, asks_by
from understudy.brokers.held import HeldMessage
from understudy.brokers.redis import RedisBroker
from understudy.brokers.settlement import runs_in_context

from .body import Body
from .lane import Lane
from .loop import LoopThread

logger = logging.getLogger(__name__)


@dataclass
class Run:
    """A message between its two halves. ``refused`` is what kept its body from beginning, ``body`` is its body."""

    held: HeldMessage
    context: Context
    refused: BaseException | None = None
    body: Body | None = None


class Beginner:
    """The first halves. ``run_once`` is its step; threads repeat it."""

    def __init__(
        self,
        broker: RedisBroker,
        lane: Lane,
        loop: LoopThread,
        pool: ThreadPoolExecutor,
        ended: SimpleQueue[Run | None],
    ) -> None:
        self._broker = broker
        self._lane = lane
        self._loop = loop
        self._pool = pool
        self._ended = ended
        #: The bodies that run, or are about to.
        self.bodies: set[Body] = set()
        #: Why nothing begins any more, once that is so.
        self.closed: Callable[[], BaseException] | None = None

    def run_once(self, timeout: float) -> bool:
        """Begin the next message; False when there was none, or no place for it."""
        try:
            held: HeldMessage = self._lane.take(timeout).message
        except Empty:
            return False
        run = Run(held, copy_context())
        try:
            run.context.run(self._broker.emit_before, "process_message", held)
        except BaseException as error:  # noqa: BLE001 - Dramatiq decides what it means
            run.refused = error
        if run.refused is not None or held.failed:
            self._ended.put(run)
            return True
        self._broker.detach(held, self._lane.leave)
        self._loop.loop.call_soon_threadsafe(self._start, run)
        return True

    def _start(self, run: Run) -> None:
        """In the thread of the loop."""
        held, execution = run.held, run.held.execution
        if self.closed is not None:
            # It was with the guards, or at the gate, until now. Its body has not begun.
            if execution is not None:
                execution.entered = False
            run.refused = self.closed()
            self._ended.put(run)
            return
        asking = Asking(self._pool)
        run.context.run(asks_by, asking)
        run.context.run(runs_in_context, held)
        actor = cast("AsyncActor[Any, Any]", self._broker.get_actor(held.actor_name))
        limits = None if execution is None else execution.limits
        try:
            coroutine: Any = run.context.run(actor.fn, *held.args, **held.kwargs)
        except BaseException as error:  # noqa: BLE001 - arguments that do not fit: the failure of the message
            run.refused = error
            self._ended.put(run)
            return
        run.body = Body(coroutine, execution, limits, asking, lambda body: self._end(run))
        run.body.name = str(held)
        self.bodies.add(run.body)
        run.body.start(run.context)

    def _end(self, run: Run) -> None:
        """In the thread of the loop, too."""
        assert run.body is not None
        self.bodies.discard(run.body)
        run.held.ended = True
        if run.held.execution is not None:
            run.held.took = clock.monotonic() - run.held.execution.began_at  # what it waits for a settler is not it
        if not run.held.alone:
            self._broker.leave_the_gate(run.held)
        self._ended.put(run)


class Settler:
    """The second halves. ``run_once`` is its step; threads repeat it."""

    def __init__(
        self, broker: RedisBroker, lane: Lane, ended: SimpleQueue[Run | None], consumers: dict[str, ConsumerThread]
    ) -> None:
        self._broker = broker
        self._ended = ended
        self._replay = _Replay(broker)
        self._worker = WorkerThread(  # never started: its method is called
            broker=cast("Broker", self._replay),
            consumers=consumers,
            work_queue=cast("Any", lane.line),
            worker_timeout=1,
        )
        self._lane = lane

    def run_once(self) -> bool:
        """Settle the next message, waiting for one; False when there will be no more."""
        run = self._ended.get()
        if run is None:
            self._ended.put(None)  # for the next one
            return False
        held = run.held
        self._replay.run = run
        # A context is for one thread at a time, and an abandoned body may have its task still.
        context = run.context if run.body is None or run.body.is_over else run.context.copy()
        try:
            context.run(self._worker.process_message, held)
        finally:
            self._replay.run = run.body = None
            if held.place is None:
                self._lane.leave()  # it never began
        if self._ended.empty():
            self._broker.committer.flush()  # outcomes that ended together share a round trip, and none waits for more
        return True


class _Replay:
    """The broker as Dramatiq's worker thread meets it in the second half."""

    def __init__(self, broker: RedisBroker) -> None:
        self._broker = broker
        self.run: Run | None = None

    @property
    def middleware(self) -> list[dramatiq.Middleware]:
        return self._broker.middleware

    def emit_before(self, signal: str, *args: Any, **kwargs: Any) -> None:
        if signal != "process_message":
            self._broker.emit_before(signal, *args, **kwargs)
        elif self.run is not None and self.run.refused is not None:
            raise self.run.refused

    def emit_after(self, signal: str, *args: Any, **kwargs: Any) -> None:
        self._broker.emit_after(signal, *args, **kwargs)

    def get_actor(self, name: str) -> _Ended:
        assert self.run is not None
        return _Ended(self._broker.get_actor(name), self.run)


class _Ended:
    """An actor whose body has run."""

    def __init__(self, actor: dramatiq.Actor[..., Any], run: Run) -> None:
        self.actor_name = actor.actor_name
        self.options = actor.options
        self._run = run

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        assert self._run.body is not None
        return self._run.body.result()
