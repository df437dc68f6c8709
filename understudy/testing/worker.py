"""``drain``: Dramatiq's own worker, one step at a time, in the test's thread.

Dramatiq's consumer and worker threads are never started: their methods are called in turn. So the real consumer,
the real middleware and the real commit run, frozen time applies, and an assertion stands right behind its cause.
"""

from __future__ import annotations

import math
from queue import PriorityQueue
from typing import Any

from dramatiq.worker import _ConsumerThread, _WorkerThread

from understudy.brokers.names import QueueKeys
from understudy.brokers.redis import RedisBroker
from understudy.errors import ServerUnavailable
from understudy.options import Isolation
from understudy.settings import Settings

from .faults import Faults, SimulatedKill

#: Messages of a queue that are fetched at a time: what waits in the worker is part of what is tested.
PREFETCH = 16
#: More executions than this in one drain mean that a message comes back for ever.
LIMIT = 10_000


class StepWorker:
    """A worker for ``broker`` whose time passes only when it is asked to."""

    def __init__(self, broker: RedisBroker, faults: Faults) -> None:
        self.broker = broker
        self.faults = faults
        # Time passes in jumps here; what was observed before a jump counts after it.
        broker.upkeep.reaper.longest_gap = math.inf
        self._settings: dict[Isolation, Settings] = {}
        self._start()

    def drain(self, *, limit: int = LIMIT, isolation: Isolation | None = None) -> int:
        """Process every message that is due, and what follows from it, until nothing is due.

        Returns how many executions there were. A worker that dies on the way (``faults``) is replaced: what it
        held is delivered again, as soon as the broker takes it for dead.

        Args:
          isolation: ``"process"`` runs bodies with a time limit in a process of their own, as a worker does: real time
            counts, and only what stands at the top of an importable module reaches them. By default they run here,
            where patches, fixtures and frozen time are, and limits are measured.

        Raises:
          AssertionError: when there were more than ``limit``.
        """
        if isolation is not None:
            self.broker.settings = self._isolated(isolation)
        executed = 0
        while self.run_once():
            executed += 1
            if executed > limit:
                raise AssertionError(f"drain() ran more than {limit} executions: does a message come back for ever?")
        return executed

    def run_once(self) -> bool:
        """Fetch what is due and process one message; False when there was none."""
        try:
            self._upkeep()
            for consumer in self._consumers():
                self._fetch(consumer)
            if self._work.empty():
                return False
            self._thread.process_message(self._work.get().message)
        except SimulatedKill:
            self._die()
        return True

    def _isolated(self, isolation: Isolation) -> Settings:
        # The same object every time: a child goes on only under the settings that it was started with.
        if isolation not in self._settings:
            self._settings[isolation] = self.broker.settings.model_copy(update={"isolation": isolation})
        return self._settings[isolation]

    def _start(self) -> None:
        self._work: PriorityQueue[Any] = PriorityQueue()
        self._by_queue: dict[str, _Consumer] = {}
        self._thread = _WorkerThread(
            broker=self.broker,
            consumers=self._by_queue,  # type: ignore[arg-type]  # a dict of the subclass
            work_queue=self._work,
            worker_timeout=1,
        )

    def _upkeep(self) -> None:
        """What a worker's own threads do beside the messages."""
        try:
            self.broker.upkeep.run_once()
            self.broker.upkeep.promote_once()
        except ServerUnavailable:
            return  # as in a worker: the next round tries again

    def _consumers(self) -> list[_Consumer]:
        """Of every queue that anything was put into. A worker has one of each; to ask the others would tell nothing."""
        others = [self.broker.keys_of(name) for name in self.broker.get_declared_queues() - self._by_queue.keys()]
        if self._is_anything_in(*others):
            for keys in others:
                if self._is_anything_in(keys):
                    self._by_queue[keys.queue] = _Consumer(self.broker, keys.queue, self._work)
        return sorted(self._by_queue.values(), key=lambda consumer: consumer.queue_name)

    def _is_anything_in(self, *queues: QueueKeys) -> bool:
        names = [name for keys in queues for name in (*keys.streams, keys.delayed)]
        return bool(names) and bool(self.broker.storage.client.exists(*names))

    def _fetch(self, consumer: _Consumer) -> None:
        while (message := next(consumer.source)) is not None:
            consumer.handle_message(message)

    def _die(self) -> None:
        """What a dead process held stays pending under its name, until a reaper finds it."""
        self.faults.revive()
        self.broker.abandon()
        self._start()


class _Consumer(_ConsumerThread):
    """Dramatiq's consumer, never started."""

    def __init__(self, broker: RedisBroker, queue_name: str, work: PriorityQueue[Any]) -> None:
        super().__init__(broker=broker, queue_name=queue_name, prefetch=PREFETCH, work_queue=work, worker_timeout=1)
        self.source = self.consumer = broker.consume(queue_name, prefetch=PREFETCH, timeout=1)
