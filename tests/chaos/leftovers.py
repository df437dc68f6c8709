"""What a quiet system leaves on its server: what must not be there, and what nobody would ever remove."""

from __future__ import annotations

from typing import Any

from understudy.brokers.redis import RedisBroker
from understudy.holds import GROUP

#: Keys under the namespace that stay for ever, because they do not grow with the number of messages.
LASTING = ("actors", "queues", "leases", "counters")


def leftovers(broker: RedisBroker) -> list[str]:
    """What is left although no message waits, is delayed or held: empty if nothing leaks.

    Streams must be empty with nothing pending, lists of delayed messages gone; whatever else is kept of a message, a
    worker or a sender must have a time at which it goes away.
    """
    storage = broker.storage
    queues = [broker.keys_of(name.decode()) for name in storage.call("SMEMBERS", storage.keys.queues)]
    streams = {stream for queue in queues for stream in queue.streams}
    # Dead letters are looked at by the tests themselves.
    dead = {key for queue in queues for key in (queue.dead, queue.bodies)}
    found: list[str] = []
    lasting = {f"{storage.keys.namespace}:{name}" for name in LASTING}
    for raw in storage.client.scan_iter(match=storage.keys.pattern(), count=1_000):
        key = raw.decode()
        if key in streams:
            found += _in_stream(broker, key)
        elif key not in lasting | dead and storage.call("PTTL", key) == -1:
            found.append(f"{key} has no end: {storage.call('TYPE', key)}")
    return found


def _in_stream(broker: RedisBroker, stream: str) -> list[str]:
    length = int(broker.storage.call("XLEN", stream))
    pending: Any = broker.storage.call("XPENDING", stream, GROUP)
    held = pending["pending"] if isinstance(pending, dict) else pending[0]
    return [f"{stream}: {length} entries, {held} pending"] if length or held else []


def dead_workers(broker: RedisBroker, queue_name: str = "chaos") -> set[str]:
    """The consumers of the queue's streams that have no lease: they should have been buried."""
    names: set[str] = set()
    for stream in broker.keys_of(queue_name).streams:
        rows: Any = broker.storage.call("XINFO", "CONSUMERS", stream, GROUP)
        for row in rows:
            flat = [part for pair in row.items() for part in pair] if isinstance(row, dict) else list(row)
            fields = {_text(name): value for name, value in zip(flat[::2], flat[1::2], strict=True)}
            names.add(_text(fields["name"]))
    leases: Any = broker.storage.call("HKEYS", broker.storage.keys.leases)
    return names - {_text(name) for name in leases}


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
