"""The Redis broker: Dramatiq's own transport, set to recover quickly, with Understudy's outcome.

Recovery rests on Dramatiq's heartbeat: a worker silent for ``UNDERSTUDY_HEARTBEAT_TIMEOUT`` is taken for dead by
the next fetch of any other worker (maintenance runs with every fetch).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable
from typing import Any

import redis
from dramatiq import Message, MessageProxy
from dramatiq.brokers import redis as stock
from dramatiq.common import compute_backoff, current_millis, dq_name
from dramatiq.errors import ConnectionClosed

from understudy.durations import to_millis
from understudy.errors import ServerUnavailable
from understudy.settings import Settings
from understudy.storage.client import Storage

from .held import ENTRY, HeldMessage
from .quarantine import tell
from .settlement import SettlingBroker

logger = logging.getLogger(__name__)

#: Out of a million: maintenance with every command, so that recovery does not depend on chance.
ALWAYS = 1_000_000


class RedisBroker(SettlingBroker, stock.RedisBroker):
    """Messages on the server that ``storage`` talks to."""

    def __init__(self, storage: Storage, settings: Settings, middleware: list[Any] | None = None) -> None:
        self.prepare(storage, settings)
        #: Queue -> entries that a consumer of this process had fetched and can no longer give out: it was closed.
        self.orphans: dict[str, set[str]] = {}
        self.orphans_lock = threading.Lock()
        super().__init__(  # type: ignore[no-untyped-call]
            client=storage.client,
            namespace=f"{storage.keys.namespace}:queue",
            middleware=middleware,
            heartbeat_timeout=to_millis(settings.heartbeat_timeout),
            maintenance_chance=ALWAYS,
        )

    @property
    def consumer_class(self) -> type[_RedisConsumer]:
        return _RedisConsumer

    def transmit(self, message: Message[Any], *, delay: int | None, entry: str) -> Message[Any]:
        """As Dramatiq's ``enqueue``, but an entry that stands on the queue already is not put there twice."""
        queue_name, options = message.queue_name, {ENTRY: entry}
        if delay is not None:
            queue_name = dq_name(queue_name)
            message = message.copy(queue_name=queue_name, options={"eta": current_millis() + delay})
        message = message.copy(options=options)
        self.emit_before("enqueue", message, delay)
        queue = f"{self.namespace}:{queue_name}"
        self.storage.run("enqueue", [queue, f"{queue}.msgs"], [entry, message.encode()])
        self.emit_after("enqueue", message, delay)
        return message


class _RedisConsumer(stock._RedisConsumer):
    """Dramatiq's consumer, which loses nothing when its connection is cut or an entry cannot be read."""

    broker: RedisBroker

    def __init__(self, broker: RedisBroker, queue_name: str, prefetch: int, timeout: int) -> None:
        super().__init__(broker, queue_name, prefetch, timeout)  # type: ignore[no-untyped-call]
        #: The delayed messages that were given out: they wait in the memory of the consumer thread.
        self._waiting: set[str] = set()

    def __next__(self) -> HeldMessage | None:
        try:
            self._adopt()
            while self.message_cache or self._fetch():
                data: bytes | None = self.message_cache.pop(0)
                if data is None:
                    continue  # an entry that was put twice, and is done
                held = self._decode(data)
                if held is not None:
                    self.misses = 0
                    self.queued_message_ids.add(held.message_id)
                    if self._delayed:
                        self._waiting.add(held.entry)
                    return held
        except (redis.ConnectionError, redis.TimeoutError, ServerUnavailable) as error:
            raise ConnectionClosed(error) from None  # type: ignore[no-untyped-call]
        self.misses, pause = compute_backoff(self.misses, max_backoff=self.timeout)
        time.sleep(pause / 1000)
        return None

    def ack(self, message: MessageProxy) -> None:
        assert isinstance(message, HeldMessage)
        self.broker.commit(
            message, ack=lambda: self._transport("ack", message), nack=lambda: self._transport("nack", message)
        )
        self._waiting.discard(message.entry)

    nack = ack

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        """Give back what was fetched and not begun. In an outage it is given back by the next consumer."""
        entries = [message.options[ENTRY] for message in messages]
        try:
            self._requeue(entries)
        except (redis.RedisError, OSError) as error:
            self._orphan([*entries, *self._kept()])
            raise ConnectionClosed(error) from None  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """Give back what this consumer keeps in memory, now or, in an outage, by the next one of its queue."""
        entries = self._kept()
        try:
            self._requeue(entries)
        except (redis.RedisError, OSError):
            self._orphan(entries)

    @property
    def _delayed(self) -> bool:
        return self.queue_name in self.broker.delay_queues

    def _fetch(self) -> bool:
        room = self.prefetch - self.outstanding_message_count
        self.message_cache = self.broker.do_fetch(self.queue_name, room) if room > 0 else []
        return bool(self.message_cache)

    def _decode(self, data: bytes) -> HeldMessage | None:
        try:
            return HeldMessage(Message.decode(data))
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, the others are not to blame
            tell(self.broker, self.queue_name, data, error)
            self._bury(data)
            return None

    def _bury(self, data: bytes) -> None:
        """Move the entry with these bytes to the dead letters; what cannot be read does not say which it is."""
        broker, call = self.broker, self.broker.storage.call
        for entry in call("SMEMBERS", f"{broker.namespace}:__acks__.{broker.broker_id}.{self.queue_name}"):
            if call("HGET", f"{broker.namespace}:{self.queue_name}.msgs", entry) == data:
                with broker.storage.exchange("nack"):
                    broker.do_nack(self.queue_name, entry)

    def _transport(self, name: str, message: HeldMessage) -> None:
        with self.broker.storage.exchange(name):
            act = super().ack if name == "ack" else super().nack
            act(message)  # type: ignore[no-untyped-call]

    def _kept(self) -> list[str]:
        """Takes out of this consumer what only its memory knows."""
        cached = [held for data in self.message_cache if data is not None and (held := _readable(data)) is not None]
        entries = [*self._waiting, *(held.entry for held in cached)]
        self.message_cache, self._waiting = [], set()
        return entries

    def _orphan(self, entries: Iterable[str]) -> None:
        with self.broker.orphans_lock:
            self.broker.orphans.setdefault(self.queue_name, set()).update(entries)

    def _adopt(self) -> None:
        """Give back to the queue what an earlier consumer of it had fetched and lost."""
        if not self.broker.orphans.get(self.queue_name):
            return
        with self.broker.orphans_lock:
            entries = list(self.broker.orphans[self.queue_name])
            self._requeue(entries)
            self.broker.orphans[self.queue_name].difference_update(entries)

    def _requeue(self, entries: list[str]) -> None:
        for start in range(0, len(entries), 500):
            self.broker.do_requeue(self.queue_name, *entries[start : start + 500])


def _readable(data: bytes) -> HeldMessage | None:
    try:
        return HeldMessage(Message.decode(data))
    except Exception:  # noqa: BLE001 - it is delivered again, and found unreadable then
        return None
