"""The reaper: gives back what dead workers held.

A worker is dead when its lease was seen unrenewed for the lease's whole length *while the server was answering*. So a
reaper measures with its own clock how long it has seen the same count, and forgets what it measured whenever it could
not look: after an outage everybody is observed for a full lease before anything is taken.

::

    count seen --same count for a lease--> dead --entries given back, page by page--> buried
        ^  |
        '--' count changed, or the reaper could not look

What is given back is never lost on the way: ``reap.lua`` makes the new entry and removes the old one in one step, and
only while the lease is still as it was observed. Any number of reapers may be at it.
"""

from __future__ import annotations

import logging
import math

from understudy import clock
from understudy.errors import ServerUnavailable
from understudy.holds import GROUP, MAX_DEATHS, MOST_DEATHS
from understudy.turns import Turns

from . import poison
from .names import QueueKeys
from .transport import Transport

logger = logging.getLogger(__name__)

#: Entries given back, or streams looked at, in one request, so that no request holds up the server.
PAGE = 100


class Reaper:
    """Observes the leases of all workers.

    Attributes:
      longest_gap: seconds between two looks after which what was observed no longer counts.
    """

    def __init__(self, broker: Transport) -> None:
        self.broker = broker
        self.longest_gap = broker.settings.heartbeat_timeout / 2
        self._seen: dict[str, tuple[str, float]] = {}
        #: Where each worker that was seen may hold something.
        self._streams: dict[str, list[tuple[QueueKeys, str]]] = {}
        self._looked = -math.inf

    def run_once(self) -> list[str]:
        """Look once; give back what the dead held. Returns who was found dead.

        Raises:
          ServerUnavailable: it could not look; what was observed so far is forgotten.
        """
        # Before looking: who enrolls in between is not missing.
        mine = self.broker.worker_id if self.broker.is_enrolled else ""
        try:
            counts = self._counts()
        except ServerUnavailable:
            self._seen.clear()
            raise
        now = clock.monotonic()
        if now - self._looked > self.longest_gap:
            self._seen.clear()
        self._looked = now
        if mine and not counts.get(mine):
            self.broker.lease_lost()
        counts.pop(self.broker.worker_id, None)
        counts.pop(mine, None)
        seen = {}
        for worker, count in counts.items():
            before = self._seen.get(worker)
            seen[worker] = before if before is not None and before[0] == count else (count, now)
        self._seen = seen
        lease = self.broker.settings.heartbeat_timeout
        dead = [worker for worker, (_, since) in seen.items() if now - since >= lease]
        moved = sum(self._reap(worker, seen[worker][0]) for worker in dead)
        if moved:
            self._free_places()
        return dead

    def _counts(self) -> dict[str, str]:
        """Every worker's beat count; empty for one that has entries and no lease."""
        storage = self.broker.storage
        raw = storage.call("HGETALL", storage.keys.leases)
        flat = [part for pair in raw.items() for part in pair] if isinstance(raw, dict) else raw
        counts = {k.decode(): v.decode() for k, v in zip(flat[::2], flat[1::2], strict=True)}
        self._streams = {}
        places = [(queue, stream) for queue in self._queues() for stream in queue.streams]
        for start in range(0, len(places), PAGE):
            page = places[start : start + PAGE]
            found = storage.run("consumers", [stream for _, stream in page], [GROUP])
            for place, names in zip(page, found, strict=True):
                for worker in map(bytes.decode, names):
                    counts.setdefault(worker, "")
                    self._streams.setdefault(worker, []).append(place)
        return counts

    def _queues(self) -> list[QueueKeys]:
        storage = self.broker.storage
        names = {name.decode() for name in storage.call("SMEMBERS", storage.keys.queues)}
        return [self.broker.keys_of(name) for name in sorted(names)]

    def _free_places(self) -> None:
        """The places under limits that the dead held are for the first in line."""
        turns = Turns(self.broker.storage)
        for name in turns.names():
            turns.wake(name, self.broker.lines())

    def _reap(self, worker: str, count: str) -> int:
        """Give back what one held; returns how many messages that were."""
        storage, held_in = self.broker.storage, self._streams.get(worker, [])
        moved = 0
        for queue, stream in held_in:
            while True:
                reply = storage.run(
                    "reap",
                    [storage.keys.leases, storage.keys.started(worker), stream],
                    [worker, count, PAGE, GROUP, MAX_DEATHS, MOST_DEATHS],
                )
                if reply[0] == b"alive":
                    return moved
                for entry, payload, deaths in reply[2:]:
                    poison.bury(self.broker, queue, stream, worker, entry.decode(), payload, deaths.decode())
                moved += reply[1]
                if reply[1] + len(reply) - 2 < PAGE:
                    break
        storage.run(
            "bury",
            [
                storage.keys.leases,
                storage.keys.started(worker),
                storage.keys.batch(worker),
                *(stream for _, stream in held_in),
            ],
            [worker, count, GROUP],
        )
        self._seen.pop(worker, None)
        if moved:
            logger.warning("worker %s is dead; %d messages that it held are back in their queues", worker, moved)
        return moved
