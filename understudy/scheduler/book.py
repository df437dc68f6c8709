"""What the server knows of periodic jobs, as the leader writes it: which there are, and which ticks are over."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from understudy import uniqueness
from understudy.brokers.operations import Operations
from understudy.brokers.redis import RedisBroker
from understudy.durations import to_seconds
from understudy.storage.client import Value

from .cron import Cron
from .jobs import STANDS, Job
from .leadership import Leadership

logger = logging.getLogger(__name__)

#: Ticks of a job that are remembered, with what became of them.
RUNS = 100
#: Milliseconds for which the ticks of a job are remembered that no code has any more.
VANISHED = 30 * 86_400_000


@dataclass(frozen=True)
class Place:
    """Where a job has come to: its ticks are counted from ``epoch``, and those up to ``after`` are over."""

    epoch: int
    after: int


@dataclass(frozen=True)
class Request:
    """That a job shall run now, since ``at``."""

    id: str
    job: str
    at: int


@dataclass(frozen=True)
class Page:
    """What the server says when the jobs are registered."""

    places: Mapping[str, Place]
    paused: frozenset[str] = frozenset()
    requests: tuple[Request, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """What became of a tick. ``word`` as in ``tick.lua``; ``at`` in milliseconds, where the server has said when."""

    word: str
    at: int = 0
    standing: str = ""


class Deposed(Exception):
    """Another scheduler leads; this one may do nothing. Never leaves the scheduler."""


@dataclass
class Book:
    """Every write of a leader. All methods raise ``ServerUnavailable`` when the server cannot be asked, and ``Deposed``
    when another scheduler leads."""

    broker: RedisBroker
    leadership: Leadership
    _known: frozenset[str] | None = field(default=None, init=False)

    def register(self, jobs: Mapping[str, Job]) -> Page:
        """Say which jobs there are, and learn where they have come to."""
        storage, keys = self.broker.storage, self.broker.storage.keys
        known = {name.decode() for name in storage.call("HKEYS", keys.schedules)}
        vanished = sorted(known - jobs.keys())
        names = [keys.clock, keys.leader, keys.schedules, keys.paused, keys.requests, *map(keys.job, jobs)]
        for name in vanished:
            names += (keys.job(name), keys.runs(name))
        parts = [part for job in jobs.values() for part in (job.name, str(job.ticks), definition(job))]
        head: list[Value] = [self.leadership.name, self.leadership.term, VANISHED, len(jobs)]
        reply = storage.run("register", names, [*head, *parts, *vanished])
        if reply[0] == b"deposed":
            raise Deposed
        for name in vanished:
            logger.info("periodic job %s is not in the code any more: it fires no more", name)
        _, paused, asked, *places = reply
        return Page(
            places={name: Place(*map(int, place)) for name, place in zip(jobs, places, strict=True)},
            paused=frozenset(name.decode() for name in _names(paused)),
            requests=tuple(sorted(_requests(asked), key=lambda request: (request.at, request.id))),
        )

    def send(self, job: Job, fire: int, *, missed: int = 0, request: Request | None = None) -> Verdict:
        """Claim a fire time and put its message on its queue, in one step.

        Args:
          missed: how many ticks before it were given up; for the history.
          request: somebody asked for it; it is no tick of the schedule.
        """
        broker, keys = self.broker, self.broker.storage.keys
        message = job.message(fire, message_id=None if request is None else f"{job.name}@run-now-{request.id}")
        broker.emit_before("enqueue", message, None)
        uniqueness.mark(message, broker.actors)
        payload = message.encode()
        broker.check_size(payload)
        operations = self._operations(job)
        lock = uniqueness.lock_of(message, broker.actors)
        if job.overlap == "skip":
            name = uniqueness.lock_name(message.actor_name, message.options)
            assert name is not None  # the job has marked the message
            longest = to_seconds(STANDS, field="overlap")
            lock = uniqueness.Lock(name, "done", longest, message.options.get("expires_at"))
        if lock is not None:
            operations.unique(keys, lock, message.message_id, delay=0.0)
        broker.put(operations, message, payload, None)
        found = self._tick(job, fire, message.message_id, operations, 1 + (lock is not None), missed, request)
        if found.word in ("sent", "before"):
            broker.emit_after("enqueue", message, None)
        return found

    def give_up(self, job: Job, fire: int, *, missed: int) -> Verdict:
        """Ticks up to ``fire`` are over, and nothing is sent for them."""
        return self._tick(job, fire, "", self._operations(job), 0, missed, None)

    def _operations(self, job: Job) -> Operations:
        keys = self.broker.storage.keys
        own = (keys.job(job.name), keys.runs(job.name))
        return Operations(keys.clock, keys.leader, *own, keys.paused, keys.requests)

    def _tick(
        self,
        job: Job,
        fire: int,
        message_id: str,
        operations: Operations,
        count: int,
        missed: int,
        request: Request | None,
    ) -> Verdict:
        note = {"fire": fire, "id": message_id, "missed": missed, "term": self.leadership.term}
        if request is not None:
            note["asked"] = request.id
        asked = "" if request is None else request.id
        head: list[Value] = [self.leadership.name, self.leadership.term, fire, message_id, job.name, asked, RUNS]
        args: list[Value] = [*head, json.dumps(note), count, *operations.args]
        word, *rest = self.broker.storage.run("tick", operations.keys, args)
        if word == b"deposed":
            raise Deposed
        at = int(rest[0]) if word in (b"sent", b"overlap", b"missed") else 0
        return Verdict(word.decode(), at, rest[1].decode() if len(rest) > 1 else "")


def definition(job: Job) -> str:
    """What people are shown of a job, and what its next fire times follow from, as JSON."""
    cron = isinstance(job.ticks, Cron)
    found: dict[str, Any] = {
        "actor": job.actor.actor_name,
        "queue": job.actor.queue_name,
        "schedule": str(job.ticks),
        "cron": job.ticks.expression if isinstance(job.ticks, Cron) else None,
        "days": job.ticks.days if isinstance(job.ticks, Cron) else None,
        "every": None if cron else job.ticks.interval,  # type: ignore[union-attr]  # it is one of the two
        "timezone": job.timezone,
        "catch_up": job.catch_up,
        "window": job.window,
        "jitter": job.jitter,
        "overlap": job.overlap,
    }
    return json.dumps(found, sort_keys=True)


def _names(flat: Any) -> list[bytes]:
    return list(flat) if isinstance(flat, dict) else list(flat[::2])


def _requests(flat: Any) -> list[Request]:
    pairs = flat.items() if isinstance(flat, dict) else zip(flat[::2], flat[1::2], strict=True)
    found = []
    for id, value in pairs:
        at, _, job = value.decode().partition(" ")
        found.append(Request(id.decode(), job, int(at)))
    return found
