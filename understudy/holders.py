"""Who holds a message, whether that worker lives, and at how many deaths its body was running: what no record says.

Part of the read model: it only reads, for the command line, and the hot path never imports it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .brokers.names import QueueKeys
from .errors import ServerUnavailable
from .holds import GROUP, counts
from .records import Record
from .storage.client import Storage

#: Seconds between two looks at leases.
LOOK_AGAIN = 0.1
#: The part of a lease after which a worker that lives has renewed it: it does so four times in one.
A_BEAT = 0.4


@dataclass(frozen=True)
class Holder:
    """Attributes:
    worker: the worker process that holds the message; None when nobody does, so that it waits to run again.
    alive: whether it renewed its lease while we watched.
    silent: seconds since it last asked for messages, at the most so long ago it died if it did; None when it lives.
    deaths: at how many deaths of a process the body was running so far.
    """

    worker: str | None
    alive: bool = False
    silent: float | None = None
    deaths: int = 0


def holders(
    storage: Storage,
    records: Mapping[str, Record],
    *,
    lease: float,
    pause: Callable[[float], object] = time.sleep,
) -> dict[str, Holder]:
    """For each message that has begun and not ended, by its id, who holds it. Watches for a beat of their leases, of
    all at once.

    Args:
      lease: after how many seconds a silent worker is taken for dead.

    Raises:
      ServerUnavailable: the server cannot be asked.
    """
    found: dict[str, tuple[str, str, int]] = {}
    free: dict[str, Holder] = {}
    for id, record in records.items():
        by = record.text("by")
        if record.state.terminal or by is None or by.count("/") < 2:
            continue
        stream, held = _held(storage, by)
        if held is None:
            free[id] = Holder(None)
        else:
            found[id] = (stream, *held)
    living = _living(storage, {worker for _, worker, _ in found.values()}, lease * A_BEAT, pause)
    idle = {stream: _idle(storage, stream) for stream, worker, _ in found.values() if worker not in living}
    return free | {
        id: Holder(
            worker, worker in living, None if worker in living else idle.get(stream, {}).get(worker), deaths=deaths
        )
        for id, (stream, worker, deaths) in found.items()
    }


def _held(storage: Storage, by: str) -> tuple[str, tuple[str, int] | None]:
    """The stream of a delivery, and who holds it, with the deaths before; None when nobody does."""
    queue, level, entry = by.rsplit("/", 2)
    streams = QueueKeys(storage.keys.namespace, queue).streams
    if not level.isdecimal() or not 1 <= int(level) <= len(streams):
        return "", None  # it ended in no stream: it was cancelled, or a dead letter was made of it
    stream = streams[int(level) - 1]
    try:
        with storage.exchange("xpending"):
            rows: Any = storage.client.xpending_range(stream, GROUP, min=entry, max=entry, count=1)
    except ServerUnavailable as error:
        if "NOGROUP" in str(error):
            return stream, None
        raise
    if not rows:
        return stream, None
    entries: Any = storage.call("XRANGE", stream, entry, entry)
    fields = {_text(name): _text(value) for name, value in _pairs(entries[0][1])} if entries else {}
    return stream, (_text(rows[0]["consumer"]), counts(fields.get("d", ""))[1])


def _living(storage: Storage, workers: set[str], patience: float, pause: Callable[[float], object]) -> set[str]:
    """Those whose lease is renewed while we watch."""
    living: set[str] = set()
    first = _beats(storage)
    watched = {worker for worker in workers if worker in first}
    waited = 0.0
    while watched - living and waited < patience:
        pause(LOOK_AGAIN)
        waited += LOOK_AGAIN
        beats = _beats(storage)
        living |= {worker for worker in watched if beats.get(worker) != first[worker]}
    return living


def _beats(storage: Storage) -> dict[str, str]:
    raw: Any = storage.call("HGETALL", storage.keys.leases)
    return {_text(name): _text(count) for name, count in _pairs(raw)}


def _idle(storage: Storage, stream: str) -> dict[str, float]:
    """Seconds since each consumer last talked to a stream."""
    with storage.exchange("xinfo"):
        rows: Any = storage.client.xinfo_consumers(stream, GROUP)
    return {_text(row["name"]): int(row["idle"]) / 1000 for row in rows}


def _pairs(reply: Any) -> list[tuple[Any, Any]]:
    """Names and values of a reply that is a dict, or both in turn, as the client pleases."""
    return list(reply.items()) if isinstance(reply, dict) else list(zip(reply[::2], reply[1::2], strict=True))


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode()
