"""The read model of limits: what they are, how they are used, who waits. For the command line; it only reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .inspection import server_now
from .storage.client import Storage
from .turns import Turns

#: Messages of a line that are named.
FIRST = 5


@dataclass(frozen=True)
class Waiting:
    """A message in line. ``seconds``: until it comes to ask again; a little less than none when it is on its way."""

    queue: str
    message_id: str
    seconds: float


@dataclass(frozen=True)
class Usage:
    """How a limit is used.

    Attributes:
      name: ``rate:`` or ``places:``, then ``key:`` and the key, or ``actor:`` and the actor.
      kind: ``bucket``, ``window`` or ``places``.
      most: how many.
      per: within how many seconds; 0 for places.
      used: bodies that have begun within ``per``, of a bucket at most the last thousand; or deliveries with a place.
      waiting: messages in line.
      first: the first of them.
    """

    name: str
    kind: str
    most: int
    per: float
    used: int
    waiting: int
    first: tuple[Waiting, ...]


def usage(storage: Storage, *, first: int = FIRST) -> Iterator[Usage]:
    """The limits that were asked of within a day, the latest first.

    Raises:
      ServerUnavailable: the server could not be asked.
    """
    for name in Turns(storage).names():
        found = _usage(storage, name, first)
        if found is not None:
            yield found


def _usage(storage: Storage, name: str, first: int) -> Usage | None:
    head, uses, line, due = storage.keys.limit(name)
    kind, most, per = storage.call("HMGET", head, "kind", "most", "per")
    if kind is None:
        return None
    now = server_now(storage) * 1_000
    window = float(per)
    since = "-inf" if kind == b"places" else f"({now - window:.0f}"
    names: Any = storage.call("ZRANGE", line, 0, first - 1)
    times: Any = storage.call("ZMSCORE", due, *names) if names else []
    waiting = []
    for member, time in zip(names, times, strict=True):
        queue, _, message_id = member.decode().partition("/")
        waiting.append(Waiting(queue, message_id, (float(time or now) - now) / 1_000))
    return Usage(
        name,
        kind.decode(),
        int(most),
        window / 1_000,
        int(storage.call("ZCOUNT", uses, since, "+inf")),
        int(storage.call("ZCARD", line)),
        tuple(waiting),
    )
