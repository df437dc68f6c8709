"""What the tests of the brokers share."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dramatiq
import msgspec

from understudy.brokers.redis import RedisBroker
from understudy.holds import GROUP, MAX_DEATHS, MOST_DEATHS
from understudy.runtime import build_storage
from understudy.storage.client import Storage

#: Seconds within which a thread must be done; none of these tests waits so long unless it fails.
SOON = 20.0


@contextmanager
def working(broker: RedisBroker, threads: int = 2) -> Iterator[dramatiq.Worker]:
    """Dramatiq's own worker with its threads on ``broker``, with blocking reads if there is a server."""
    broker.storage.can_wait = True
    broker.pause = time.sleep
    if not broker.settings.is_stub and broker.reader is None:
        broker.reader = build_storage(broker.settings, blocking=True)
    running = dramatiq.Worker(broker, worker_threads=threads, worker_timeout=100)
    running.start()
    try:
        yield running
    finally:
        running.stop()
        if broker.reader is not None:
            broker.reader.close()
            broker.reader = None


def dead_letters(broker: RedisBroker, queue: str = "default") -> list[dict[str, Any]]:
    """The dead letters of a queue, decoded, the oldest first."""
    keys, storage = broker.keys_of(queue), broker.storage
    members = storage.call("ZRANGE", keys.dead, 0, -1)
    return [msgspec.json.decode(storage.call("HGET", keys.bodies, member)) for member in members]


def put(broker: RedisBroker, data: bytes, queue: str = "default") -> None:
    """An entry with any bytes, as a sender of another version might make it."""
    broker.storage.call("XADD", broker.keys_of(queue).streams[1], "*", "m", data, "d", "0", "w", "")


def take_away(broker: RedisBroker, worker: str | None = None) -> int:
    """What another worker's reaper does when it has found this one dead. Returns how many entries moved."""
    storage, keys = broker.storage, broker.storage.keys
    name = broker.worker_id if worker is None else worker
    count = (storage.call("HGET", keys.leases, name) or b"").decode()
    moved = 0
    for queue in sorted(broker.queues):
        for stream in broker.keys_of(queue).streams:
            if pending(storage, stream) == 0:
                continue
            arguments = [name, count, 100, GROUP, MAX_DEATHS, MOST_DEATHS]
            moved += storage.run("reap", [keys.leases, keys.started(name), stream], arguments)[1]
    return moved


def pending(storage: Storage, stream: str) -> int:
    """How many entries of a stream are held by anybody."""
    if not storage.call("EXISTS", stream):
        return 0
    summary = storage.call("XPENDING", stream, GROUP)
    return int(summary["pending"] if isinstance(summary, dict) else summary[0])
