"""The read model: which jobs there are, what they did, when they fire next, who leads. And what a person may want of
one.

What is shown is what the schedulers know: the leader writes down the jobs of its code. Nothing is imported.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from understudy.inspection import server_now
from understudy.records import Records
from understudy.storage.client import Storage, Value

from .cron import Cron
from .every import Every
from .firing import at

Verb = Literal["pause", "resume", "run-now"]
Done = Literal["done", "already", "unknown"]

#: Entries of the audit that are kept.
AUDIT = 1_000


@dataclass(frozen=True)
class Leader:
    """Who leads. Times in seconds since 1970; ``alive`` says whether its lease is not over."""

    name: str
    term: int
    since: float
    alive: bool


@dataclass(frozen=True)
class Run:
    """One tick that is over.

    Attributes:
      fire: the fire time, in the job's zone.
      word: ``sent``; ``overlap`` when it was left out because an earlier one had not ended; ``missed`` when it was
        given up.
      at: when that was decided, in seconds since 1970.
      lateness: seconds between the fire time and then.
      message_id: its message; empty when there is none.
      missed: how many ticks before it were given up.
      asked: somebody asked for it: it is no tick of the schedule.
      term: of the leader that decided it.
      state: what has become of the message, as its record says; None when there is none.
    """

    fire: datetime
    word: str
    at: float
    lateness: float
    message_id: str
    missed: int
    asked: bool
    term: int
    state: str | None = None


@dataclass(frozen=True)
class Scheduled:
    """A periodic job as it is. ``next`` are its next fire times, in its zone; ``paused`` says since when and by
    whom."""

    name: str
    definition: Mapping[str, Any]
    next: tuple[datetime, ...] = ()
    runs: tuple[Run, ...] = ()
    paused: tuple[float, str] | None = None


@dataclass(frozen=True)
class Wish:
    """An entry of the audit: at which time (seconds since 1970) who wanted what of which job."""

    at: float
    who: str
    verb: str
    job: str


@dataclass(frozen=True)
class Overview:
    """Reads through ``storage``. Every method raises ``ServerUnavailable`` when the server cannot be asked."""

    storage: Storage
    _records: Records = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_records", Records(self.storage))

    def leader(self) -> Leader | None:
        """Who leads, or led last; None when nobody does."""
        found = _texts(self.storage.call("HGETALL", self.storage.keys.leader))
        if "id" not in found:
            return None
        alive = int(found["until"]) > self._now()
        return Leader(found["id"], int(found["term"]), int(found["since"]) / 1000, alive)

    def names(self) -> list[str]:
        """The names of the jobs that schedulers know."""
        return sorted(name.decode() for name in self.storage.call("HKEYS", self.storage.keys.schedules))

    def jobs(self, *, coming: int = 5, runs: int = 3) -> list[Scheduled]:
        """Every job, by name, with its next fire times and its last ticks."""
        keys = self.storage.keys
        definitions = _texts(self.storage.call("HGETALL", keys.schedules))
        paused = _texts(self.storage.call("HGETALL", keys.paused))
        now = self._now()
        return [
            Scheduled(
                name,
                definition := json.loads(text),
                next=() if name in paused else self._coming(name, definition, now, coming),
                runs=tuple(self.runs(name, runs, definition["timezone"])),
                paused=_stamp(paused[name]) if name in paused else None,
            )
            for name, text in sorted(definitions.items())
        ]

    def runs(self, name: str, most: int, timezone: str = "UTC") -> list[Run]:
        """The last ticks of a job, the newest first."""
        lines = self.storage.call("LRANGE", self.storage.keys.runs(name), 0, most - 1)
        return [self._run(line.decode(), timezone) for line in lines]

    def wishes(self, most: int = AUDIT) -> list[Wish]:
        """What people wanted, the newest first."""
        found = []
        for line in self.storage.call("LRANGE", self.storage.keys.audit, 0, most - 1):
            _, verb, length, rest = line.decode().split(" ", 3)
            moment, who = _stamp(rest[int(length) :])
            found.append(Wish(moment, who, verb, rest[: int(length)]))
        return found

    def want(self, verb: Verb, name: str, *, who: str, token: str | None = None) -> Done:
        """Write down what ``who`` wants of a job, and tell the schedulers: ``"done"``, ``"already"`` when it is so, or
        ``"unknown"`` when no scheduler knows such a job."""
        keys = self.storage.keys
        names = [keys.clock, keys.schedules, keys.paused, keys.requests, keys.audit, keys.job(name)]
        args: list[Value] = [verb, name, who, token or uuid.uuid4().hex, AUDIT, keys.scheduling]
        reply: bytes = self.storage.run("order", names, args)
        word: Done = reply.decode()  # type: ignore[assignment]  # one of the three
        return word

    def _now(self) -> int:
        return round(server_now(self.storage) * 1000)

    def _coming(self, name: str, definition: Mapping[str, Any], now: int, most: int) -> tuple[datetime, ...]:
        found = _texts(self.storage.call("HGETALL", self.storage.keys.job(name)))
        epoch, moment = int(found.get("epoch", now)), int(found.get("after", now))
        ticks: Cron | Every
        if definition["cron"] is None:
            ticks = Every(definition["every"])
        else:
            ticks = Cron(definition["cron"], definition["timezone"], definition["days"])
        coming: list[datetime] = []
        fire = ticks.after(max(moment, now), epoch)
        while fire is not None and len(coming) < most:
            coming.append(at(fire, definition["timezone"]))
            fire = ticks.after(fire, epoch)
        return tuple(coming)

    def _run(self, line: str, timezone: str) -> Run:
        moment, word, length, rest = line.split(" ", 3)
        note = json.loads(rest[int(length) :])
        state = None
        if word == "sent":
            record = self._records.read(note["id"])
            state = record.state.value if record.fields else None
        return Run(
            fire=at(note["fire"], timezone),
            word=word,
            at=int(moment) / 1000,
            lateness=(int(moment) - note["fire"]) / 1000,
            message_id=note["id"],
            missed=note["missed"],
            asked="asked" in note,
            term=note["term"],
            state=state,
        )


def _texts(flat: Any) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in dict(flat).items()}


def _stamp(text: str) -> tuple[float, str]:
    moment, _, who = text.partition(" ")
    return int(moment) / 1000, who
