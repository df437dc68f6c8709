"""The unit-test broker: Dramatiq's in-memory queues, Understudy's outcome, scripts on an in-memory server.

Messages are encoded and decoded as on a real server, and the same Lua scripts keep the records.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import Empty
from typing import Any

from dramatiq import Consumer, Message, MessageProxy
from dramatiq.brokers import stub
from dramatiq.common import current_millis, dq_name
from dramatiq.errors import QueueNotFound

from understudy.settings import Settings
from understudy.storage.client import Storage

from .held import ENTRY, HeldMessage
from .quarantine import tell
from .settlement import SettlingBroker


class StubBroker(SettlingBroker, stub.StubBroker):
    """``BROKER_URL=stub://``. Nothing leaves the process; ``drain()`` of the testing kit does the work."""

    def __init__(self, storage: Storage, settings: Settings, middleware: list[Any] | None = None) -> None:
        self.prepare(storage, settings)
        #: Entries that cannot be read, with their bytes.
        self.unreadable: list[bytes] = []
        #: What stands on a queue or is being worked on.
        self.entries: set[str] = set()
        super().__init__(middleware=middleware, fail_fast_default=False)

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 100) -> Consumer:
        if queue_name not in self.queues:
            raise QueueNotFound(queue_name)  # type: ignore[no-untyped-call]
        return _StubConsumer(self, queue_name, prefetch, timeout)

    def transmit(self, message: Message[Any], *, delay: int | None, entry: str) -> Message[Any]:
        """As Dramatiq's ``enqueue``, but the same entry is not put twice, and any queue may be sent to."""
        self.declare_queue(message.queue_name)
        queue_name = message.queue_name
        if delay is not None:
            queue_name = dq_name(queue_name)
            message = message.copy(queue_name=queue_name, options={"eta": current_millis() + delay})
        message = message.copy(options={ENTRY: entry})
        self.emit_before("enqueue", message, delay)
        data = message.encode()
        with self.storage.exchange("enqueue"):
            if entry not in self.entries:
                self.entries.add(entry)
                self.queues[queue_name].put(data)
        self.emit_after("enqueue", message, delay)
        return message


class _StubConsumer(stub._StubConsumer):
    def __init__(self, broker: StubBroker, queue_name: str, prefetch: int, timeout: int) -> None:
        dead_letters = broker.dead_letters_by_queue[queue_name]
        super().__init__(broker.queues[queue_name], dead_letters, prefetch, timeout)  # type: ignore[no-untyped-call]
        self.broker = broker
        self.queue_name = queue_name
        #: The delayed messages that were given out: they wait in the memory of the consumer thread.
        self._waiting: dict[str, bytes] = {}

    def __next__(self) -> HeldMessage | None:
        if not self.prefetch_semaphore.acquire(timeout=self.timeout / 1000):
            return None
        while True:
            try:
                data: bytes = self.queue.get(timeout=self.timeout / 1000)
            except Empty:
                self.prefetch_semaphore.release()
                return None
            try:
                held = HeldMessage(Message.decode(data))
                if self.queue_name in self.broker.delay_queues:
                    self._waiting[held.entry] = data
                return held
            except Exception as error:  # noqa: BLE001 - whatever is wrong with it, the others are not to blame
                self.broker.unreadable.append(data)
                self.queue.task_done()
                tell(self.broker, self.queue_name, data, error)

    def ack(self, message: MessageProxy) -> None:
        assert isinstance(message, HeldMessage)
        self.broker.commit(
            message,
            ack=_once(self.broker, "ack", lambda: self._acknowledge("ack", message)),
            nack=_once(self.broker, "nack", lambda: self._acknowledge("nack", message)),
        )
        self._waiting.pop(message.entry, None)

    nack = ack

    def _acknowledge(self, name: str, message: HeldMessage) -> None:
        act = super().ack if name == "ack" else super().nack
        act(message)  # type: ignore[no-untyped-call]
        self.broker.entries.discard(message.entry)

    def close(self) -> None:
        """Give back what only the memory of a consumer thread that has failed knew."""
        for data in self._waiting.values():
            self.queue.put(data)
            self.queue.task_done()
        self._waiting = {}


def _once(broker: StubBroker, name: str, act: Callable[[], None]) -> Callable[[], None]:
    """``act`` as an exchange that is safe to repeat, as on a server."""
    left = [act]

    def exchange() -> None:
        with broker.storage.exchange(name):
            if left:
                left.pop()()

    return exchange
