"""Where messages wait: putting them on their queues, counting them, dropping them.

The first half of the Redis broker. What is held, and how it ends, is the second (``redis.py``).
"""

from __future__ import annotations

import itertools
import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from dramatiq import Message

from understudy import uniqueness
from understudy.errors import AlreadyEnqueued
from understudy.holds import Hold
from understudy.settings import Settings
from understudy.storage.client import Storage, Value

from .names import QueueKeys, level_of
from .operations import Operations
from .settlement import SettlingBroker

#: Messages that share a round trip in ``transmit_many``, and their size in bytes.
BATCH, BATCH_SIZE = 500, 4 * 1024 * 1024


class QueueingBroker(SettlingBroker):
    """A broker whose queues lie on a Redis server."""

    """

    Attributes:
      worker_id: names this process on the server.
    """

    queues: set[str]
    worker_id: str

    def prepare(self, storage: Storage, settings: Settings) -> None:
        super().prepare(storage, settings)
        self.worker_id = new_name()
        self._queue_keys: dict[str, QueueKeys] = {}
        self._lines: dict[str, tuple[str, ...]] = {}
        self._calls = itertools.count()
        self._producer = storage.keys.producer(self.worker_id)

    def forked(self) -> None:
        """In a child after a fork: two processes of one name would take each other's replies for their own."""
        self.worker_id = new_name()
        self._producer = self.storage.keys.producer(self.worker_id)

    def declare_queue(self, queue_name: str) -> None:
        """Declare a queue; nothing happens on the server before the first message or read."""
        if queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues.add(queue_name)
            self.emit_after("declare_queue", queue_name)

    def get_declared_queues(self) -> set[str]:
        return set(self.queues)

    def keys_of(self, queue_name: str) -> QueueKeys:
        """Where a queue lies on the server."""
        keys = self._queue_keys.get(queue_name)
        if keys is None:
            keys = self._queue_keys[queue_name] = QueueKeys(self.storage.keys.namespace, queue_name)
        return keys

    def transmit(self, message: Message[Any], *, delay: int | None) -> Message[Any]:
        """Put one message on its queue, in ``delay`` milliseconds.

        Raises:
          AlreadyEnqueued: another message stands under its unique key; it was not put.
          ServerUnavailable: it may or may not have been put; nothing is known.
        """
        standing: list[str] = []
        batches = self.transmit_in_batches(
            [(message, None if delay is None else delay / 1000)], refused=lambda _, other: standing.append(other)
        )
        for _ in batches:
            pass
        if standing:
            raise AlreadyEnqueued(message.actor_name, standing[0])
        return message

    def lines(self) -> dict[str, tuple[str, ...]]:
        """Every queue that is known here: its streams, delayed messages and their ids, where holders and waiting
        messages are looked for."""
        if len(self._lines) != len(self.queues):  # none is ever taken away
            found: dict[str, tuple[str, ...]] = {}
            for name in tuple(self.queues):
                keys = self.keys_of(name)
                found[name] = (*keys.streams, keys.delayed, keys.ids)
            self._lines = found
        return self._lines

    def begin_soon(self, queue_name: str) -> int:
        """How many of the messages of a queue that are fetched now begin at once, or in a moment."""
        raise NotImplementedError

    def streams_of(self, queue_name: str) -> tuple[str, ...]:
        return self.keys_of(queue_name).streams

    def transmit_many(self, messages: Iterable[tuple[Message[Any], float | None]]) -> None:
        """Put messages (with a delay in seconds or None) on their queues, many in a round trip; those whose unique key
        another message stands under are left out."""
        for _ in self.transmit_in_batches(messages):
            pass

    def transmit_in_batches(
        self,
        messages: Iterable[tuple[Message[Any], float | None]],
        *,
        refused: Callable[[Message[Any], str], object] = lambda message, standing: None,
    ) -> Iterator[list[Message[Any]]]:
        """Put messages as ``transmit_many`` does; yields of every batch what was accepted.

        Args:
          refused: told of each message that was left out, with the id of the one that stands.

        Raises:
          MessageTooLarge: nothing of this batch was put; the batches before it were.
          ServerUnavailable: the same, but that this batch may have been put.
        """
        batch: list[tuple[Message[Any], bytes, float | None]] = []
        size = 0
        for message, delay in messages:
            uniqueness.mark(message, self.actors)
            payload = message.encode()
            self.check_size(payload)
            if batch and (len(batch) >= BATCH or size + len(payload) > BATCH_SIZE):
                yield self._enqueue(batch, refused)
                batch, size = [], 0
            batch.append((message, payload, delay))
            size += len(payload)
        if batch:
            yield self._enqueue(batch, refused)

    def put(
        self,
        operations: Operations,
        message: Message[Any],
        payload: bytes,
        delay: float | None,
        *,
        hold: Hold | None = None,
        due: float | None = None,
    ) -> None:
        """Add the operation that puts ``message`` on its queue; ``hold`` keeps what is known of its deaths, ``due`` is
        what the delay means exactly, in ms by the server's clock."""
        queue = self.keys_of(message.queue_name)
        level = self.level_of(message)
        deaths, worker = ("0", "") if hold is None else (hold.counted, hold.worker)
        if delay is not None and delay > 0:
            wake = self.storage.keys.wake
            operations.later(
                queue,
                wake,
                message.message_id,
                payload,
                delay=delay,
                level=level,
                deaths=deaths,
                worker=worker,
                due=due,
            )
        else:
            operations.add(queue.streams[level - 1], payload, deaths=deaths, worker=worker)

    def stand(self, operations: Operations, message: Message[Any], delay: float | None) -> int:
        """Add the operation by which ``message`` sets the lock of its unique key, if it has one; ``put`` comes next.
        Returns the number by which a reply names it, else 0."""
        lock = uniqueness.lock_of(message, self.actors)
        if lock is None:
            return 0
        return operations.unique(self.storage.keys, lock, message.message_id, delay=delay or 0.0)

    def level_of(self, message: Message[Any]) -> int:
        """The stream for a message, by its own priority or its actor's."""
        actor = self.actors.get(message.actor_name)
        return level_of(message.options.get("priority", 0 if actor is None else actor.priority))

    def _enqueue(
        self, batch: list[tuple[Message[Any], bytes, float | None]], refused: Callable[[Message[Any], str], object]
    ) -> list[Message[Any]]:
        messages = [message for message, _, _ in batch]
        stream = self._one_stream(batch)
        if stream is not None:
            call: list[Value] = [threading.get_ident(), next(self._calls), *(payload for _, payload, _ in batch)]
            self.storage.run("send", [self._producer, stream], call, called="enqueue")
            return messages
        operations = Operations(self.storage.keys.clock, self._producer)
        numbers = []
        for message, payload, delay in batch:
            numbers.append(self.stand(operations, message, delay))
            self.put(operations, message, payload, delay)
        count = len(batch) + sum(number > 0 for number in numbers)
        head: list[Value] = [threading.get_ident(), next(self._calls), count]
        reply = self.storage.run("enqueue", operations.keys, [*head, *operations.args])
        if not isinstance(reply, bytes):
            return messages
        left_out = uniqueness.refusals(reply)
        for number, message in zip(numbers, messages, strict=True):
            if number in left_out:
                refused(message, left_out[number])
        return [message for number, message in zip(numbers, messages, strict=True) if number not in left_out]

    def _one_stream(self, batch: list[tuple[Message[Any], bytes, float | None]]) -> str | None:
        """The stream on which all of these messages are put, at once and whatever else stands, if it is one."""
        found: str | None = None
        for message, _, delay in batch:
            if delay or uniqueness.OPTION in message.options:
                return None
            stream = self.keys_of(message.queue_name).streams[self.level_of(message) - 1]
            if stream != (found := found or stream):
                return None
        return found

    def flush(self, queue_name: str) -> None:
        """Drop all messages of a queue, waiting, delayed and dead; those being worked on end as ever. The unique keys
        of what is dropped are free when their time is over."""
        keys = self.keys_of(queue_name)
        for stream in keys.streams:
            self.storage.call("XTRIM", stream, "MAXLEN", 0)
        self.storage.call("UNLINK", keys.delayed, keys.payloads, keys.ids, keys.dead, keys.bodies)

    def flush_all(self) -> None:
        for queue_name in self.queues:
            self.flush(queue_name)

    def size(self, queue_name: str) -> int:
        """How many messages of a queue wait, are delayed, or are being worked on."""
        keys = self.keys_of(queue_name)
        return int(self.storage.run("size", [keys.delayed, *keys.streams]))


def new_name() -> str:
    """A name for this process that no other has, which says where it runs."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
