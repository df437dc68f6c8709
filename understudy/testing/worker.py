"""``drain``: Dramatiq's own worker, one step at a time, in the test's thread.

Dramatiq's consumer and worker threads are never started: their methods are called in turn. So the real consumer,
the real middleware and the real commit run, frozen time applies, and an assertion stands right behind its cause.
"""

from __future__ import annotations

from queue import PriorityQueue
from typing import Any

from dramatiq import Broker, Message
from dramatiq.brokers.stub import StubBroker
from dramatiq.errors import BrokerConnectionError
from dramatiq.worker import _ConsumerThread, _WorkerThread

from understudy.errors import ServerUnavailable

from .faults import Faults, SimulatedKill

#: More executions than this in one drain mean that a message comes back for ever.
LIMIT = 10_000


class StepWorker:
    """A worker for ``broker`` whose time passes only when it is asked to."""

    def __init__(self, broker: Broker, faults: Faults) -> None:
        self.broker = broker
        self.faults = faults
        self._start()

    def drain(self, *, limit: int = LIMIT) -> int:
        """Process every message that is due, and what follows from it, until nothing is due.

        Returns how many executions there were. A worker that dies on the way (``faults``) is replaced: what it
        held is delivered again, as soon as the broker takes it for dead.

        Raises:
          AssertionError: when there were more than ``limit``.
        """
        executed = 0
        while self.run_once():
            executed += 1
            if executed > limit:
                raise AssertionError(f"drain() ran more than {limit} executions: does a message come back for ever?")
        return executed

    def run_once(self) -> bool:
        """Fetch what is due and process one message; False when there was none."""
        try:
            for consumer in self._consumers():
                try:
                    self._fetch(consumer)
                except (BrokerConnectionError, ServerUnavailable):
                    self._restart(consumer)
            if self._work.empty():
                return False
            self._thread.process_message(self._work.get().message)
        except SimulatedKill:
            self._die()
        return True

    def _start(self) -> None:
        self._work: PriorityQueue[Any] = PriorityQueue()
        self._by_queue: dict[str, _Consumer] = {}
        self._thread = _WorkerThread(
            broker=self.broker,
            consumers=self._by_queue,  # type: ignore[arg-type]  # a dict of the subclass
            work_queue=self._work,
            worker_timeout=1,
        )

    def _consumers(self) -> list[_Consumer]:
        delay_queues = self.broker.get_declared_delay_queues()
        for delayed, names in ((False, self.broker.get_declared_queues() - delay_queues), (True, delay_queues)):
            for name in names - self._by_queue.keys():
                self._by_queue[name] = _Consumer(self.broker, name, delayed=delayed, work=self._work)
        # The delayed ones first: what has come due moves to its queue and is fetched from there in the same step.
        return sorted(self._by_queue.values(), key=lambda consumer: (not consumer.delayed, consumer.queue_name))

    def _fetch(self, consumer: _Consumer) -> None:
        while not self._is_empty(consumer.queue_name):
            message = next(consumer.source)
            if message is None:
                break
            consumer.unacked[id(message)] = (message, message.copy())
            consumer.handle_message(message)
        consumer.handle_delayed_messages()

    def _restart(self, consumer: _Consumer) -> None:
        """What Dramatiq's consumer thread does when its connection is cut, without the pause."""
        consumer.delay_queue = PriorityQueue()
        consumer.close()
        following = _Consumer(self.broker, consumer.queue_name, delayed=consumer.delayed, work=self._work)
        if not consumer.delayed:
            following.unacked = consumer.unacked
        self._by_queue[consumer.queue_name] = following

    def _is_empty(self, queue_name: str) -> bool:
        # Asking the stub for a message that is not there costs its timeout.
        return isinstance(self.broker, StubBroker) and self.broker.queues[queue_name].empty()

    def _die(self) -> None:
        """What a dead process held is unacknowledged. A server notices by itself; the stub has to be told."""
        held = [(c.queue_name, kept) for c in self._by_queue.values() for _, kept in c.unacked.values()]
        self.faults.revive()
        if isinstance(self.broker, StubBroker):
            for queue_name, message in held:
                self.broker.queues[queue_name].put(message.encode())
        else:
            self.broker.broker_id = f"{self.broker.broker_id}+"  # type: ignore[attr-defined]
        self._start()


class _Consumer(_ConsumerThread):
    """Dramatiq's consumer, never started; remembers what it has not acknowledged."""

    def __init__(self, broker: Broker, queue_name: str, *, delayed: bool, work: PriorityQueue[Any]) -> None:
        prefetch = 1_000 if delayed else 1
        super().__init__(broker=broker, queue_name=queue_name, prefetch=prefetch, work_queue=work, worker_timeout=1)
        self.delayed = delayed
        self.source = self.consumer = broker.consume(queue_name, prefetch=prefetch, timeout=1)
        self.unacked: dict[int, tuple[Any, Message[Any]]] = {}

    def post_process_message(self, message: Any) -> None:
        super().post_process_message(message)
        self.unacked.pop(id(message), None)
