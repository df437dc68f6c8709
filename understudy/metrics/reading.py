"""Reads what was counted, and how queues and workers are: in a few requests, without a search among the keys."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from understudy.brokers.tally import NONE, SUM
from understudy.inspection import Inspection, Queue
from understudy.storage.client import Storage


@dataclass
class Executions:
    """Executions of an actor in a queue that ended alike.

    Attributes:
      count: how many.
      seconds: how long their bodies ran, all together.
      buckets: upper end in seconds (infinity for the rest) -> how many bodies took no longer than that and longer than
        the bucket before; those whose bodies did not run are in none.
    """

    actor: str
    queue: str
    end: str
    count: int = 0
    seconds: float = 0.0
    buckets: dict[float, int] = field(default_factory=dict)

    def cumulated(self) -> Iterator[tuple[float, int]]:
        """Upper ends and how many took no longer, as a histogram has it."""
        total = 0
        for end, count in sorted({**self.buckets, float("inf"): self.buckets.get(float("inf"), 0)}.items()):
            total += count
            yield end, total


@dataclass(frozen=True)
class Reading:
    """What there is at one moment. ``workers`` are the processes that have a lease."""

    executions: list[Executions]
    queues: list[Queue]
    workers: int


def read(storage: Storage) -> Reading:
    """Look once.

    Raises:
      ServerUnavailable: the server cannot be asked.
    """
    inspection = Inspection(storage)
    raw: Any = storage.call("HGETALL", storage.keys.counters)
    executions = gather((name.decode(), int(value)) for name, value in dict(raw).items())
    queues = inspection.queues(set(inspection.actors().values()), search=False)
    return Reading(executions, queues, int(storage.call("HLEN", storage.keys.leases)))


def gather(counters: Iterable[tuple[str, int]]) -> list[Executions]:
    """The counters, put together again. What another version has written under other names is passed over."""
    found: dict[tuple[str, ...], Executions] = {}
    for name, value in counters:
        *label, bucket = name.split("|")
        if len(label) != 3:
            continue
        actor, queue, end = (unquote(part) for part in label)
        one = found.setdefault((actor, queue, end), Executions(actor, queue, end))
        if bucket == SUM:
            one.seconds += value / 1_000_000
            continue
        one.count += value
        if bucket != NONE:
            upper = float(bucket)
            one.buckets[upper] = one.buckets.get(upper, 0) + value
    return [found[key] for key in sorted(found)]
