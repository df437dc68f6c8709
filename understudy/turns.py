"""Turns under limits: who may begin now, who waits in line, and until when.

::

    fetched --ask--> its turn is now --> the body --settle (leave)--> the place is free, the first in line is woken
               |           '--> it does not begin after all --settle (quit)--> the turn is free
               '---> in line --settle (join, wait: back to the queue)--> delayed until its turn --> fetched
                        '--> it ends without its turn (quit)--> those behind it are expected earlier

All that is decided is decided by the server's scripts (``storage/lua/_turns.lua``), which see the whole line. A place
belongs to a delivery: when that is not held any more, the place is free.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

from .durations import to_millis
from .holds import GROUP
from .keyed import ConcurrencyLimit, RateLimit
from .storage.client import Storage, Value

Word = Literal["run", "ask", "rate", "places", "lost", "odd"]

#: The option in which a message keeps when it arrived while it waits for its turn, so that it does not lose its place.
ARRIVED = "arrived"
#: The option that names the limit in whose line it waits, for whoever finds that it does not run.
IN_LINE = "in_line"
#: Seconds for which a holder of a place is believed that is held in a queue where nobody here can look.
BELIEVED = 3600.0
#: The part of ``per`` by which a message may come late to its turn and delay nobody behind it; the longest, in ms. A
#: window is kept more strictly than an even row, in which who comes late makes no crowd as a rule.
SLACK, LONGEST_SLACK = {"bucket": 0.1, "window": 0.02, "places": 0.0}, 100.0
#: Limits that are looked at in one page.
PAGE = 100


@dataclass(frozen=True)
class Limit:
    """A limit with its key: what the server calls it, and what it says."""

    name: str
    kind: Literal["bucket", "window", "places"]
    most: int
    per: float = 0.0
    burst: int = 1

    @classmethod
    def of_rate(cls, policy: RateLimit, key: str) -> Limit:
        """A rate under ``key``."""
        return cls(f"rate:{key}", policy.kind, policy.limit, policy.seconds * 1000, policy.burst)

    @classmethod
    def of_places(cls, policy: ConcurrencyLimit, key: str) -> Limit:
        """Places under ``key``."""
        return cls(f"places:{key}", "places", policy.limit)

    @property
    def slack(self) -> float:
        """How late a message may come, in ms."""
        return min(self.per * SLACK[self.kind], LONGEST_SLACK)


@dataclass(slots=True)
class Turn:
    """What a delivery asks for, and what it was answered.

    Attributes:
      token: names the delivery.
      member: names the message in line.
      order: when it arrived, which is its place in line.
      limits: under which.
      begins: it would begin now; one that does not only takes its place in line, if its turn is not now.
      number: how often this delivery has asked before.
      word: the last answer.
      wait: seconds until it should come again.
      due: the same as a time of the server's, in ms, if it is exact; of a turn that is now, when it was given.
      at: when the answer came, by the clock that measures.
    """

    token: str
    member: str
    order: float
    limits: tuple[Limit, ...]
    begins: bool = True
    number: int = -1
    word: Word | None = None
    wait: float = 0.0
    due: float | None = None
    at: float = 0.0

    @property
    def places(self) -> Limit | None:
        """Its limit of places, if it has one."""
        return next((limit for limit in self.limits if limit.kind == "places"), None)

    @property
    def rate(self) -> Limit | None:
        """Its rate, if it has one."""
        return next((limit for limit in self.limits if limit.kind != "places"), None)


class Turns:
    """Every method raises ``ServerUnavailable`` when the server cannot be asked."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    def ask(self, turns: Sequence[Turn], queues: Mapping[str, Sequence[str]]) -> None:
        """Ask for the turns of several deliveries in one round trip. The answers are noted on them, but not ``at``.

        Args:
          queues: queue -> its streams, delayed and ids, of every queue where a holder or one that waits may be found.
        """
        keys = self.storage.keys
        names = [keys.clock, keys.limits, *(key for found in queues.values() for key in found)]
        limits: list[Value] = []
        asked: list[Value] = []
        numbers: dict[Limit, int] = {}
        for turn in turns:
            asked += (turn.token, turn.member, repr(turn.order), turn.number + 1, int(turn.begins))
            for limit in (turn.places, turn.rate):
                number = 0 if limit is None else numbers.get(limit, 0)
                if limit is not None and not number:
                    number = numbers[limit] = len(numbers) + 1
                    limits += (len(names) + 1, limit.name, limit.kind, limit.most, limit.per, limit.burst, limit.slack)
                    names += keys.limit(limit.name)
                asked.append(number)
        head: list[Value] = [GROUP, to_millis(BELIEVED), keys.wake, len(queues), *queues]
        reply = self.storage.run("turns", names, [*head, len(numbers), *limits, len(turns), *asked])
        for turn, word, wait, due in zip(turns, reply[::3], reply[1::3], reply[2::3], strict=True):
            turn.number += 1
            turn.word, turn.wait = word.decode(), int(wait) / 1000
            turn.due = float(due) if due else None

    def wake(self, name: str, queues: Mapping[str, Sequence[str]]) -> int:
        """Free the places of the dead under limit ``name``, and wake the first in line; how many were free, -1 when it
        is no limit of places."""
        keys = self.storage.keys
        names = [keys.clock, *keys.limit(name), *(key for found in queues.values() for key in found)]
        return int(self.storage.run("wake", names, [GROUP, keys.wake, *queues]))

    def names(self) -> Iterator[str]:
        """The limits that were asked of within a day, the latest first."""
        key, start = self.storage.keys.limits, 0
        while page := self.storage.call("ZREVRANGE", key, start, start + PAGE - 1):
            for name in page:
                yield name.decode()
            start += PAGE


def member(queue_name: str, message_id: str) -> str:
    """What a message is called in a line. A queue's name has no slash."""
    return f"{queue_name}/{message_id}"


def own_key(actor_name: str) -> str:
    """The key of a limit that names none: the actor's own. Other keys begin with ``key:``."""
    return f"actor:{quote(actor_name, safe='')}"
