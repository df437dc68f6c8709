"""The numbers that the jobs of the house report of the house itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import TypedDict

from understudy.deadletters import DeadLetters
from understudy.execution import current
from understudy.runtime import installed
from understudy.storage.client import Storage

#: Dead letters that are looked at for a report: whoever has more of them does not need the exact number.
MOST = 10_000


class Dead(TypedDict):
    """How many messages of an actor have become dead letters."""

    queue: str
    actor: str
    dead: int


def dead_letters(start: datetime, end: datetime) -> list[Dead]:
    """What has become a dead letter from ``start`` on and before ``end``, the most first.

    Raises:
      ServerUnavailable: the server could not be asked.
    """
    found: Counter[tuple[str, str]] = Counter()
    for letter in DeadLetters(_storage()).walk():
        if letter.died_at < start.timestamp() or sum(found.values()) >= MOST:
            break  # they come the newest first
        if letter.died_at < end.timestamp():
            found[letter.queue, letter.actor or "unknown"] += 1
    return [{"queue": queue, "actor": actor, "dead": count} for (queue, actor), count in found.most_common()]


def as_text(rows: Iterable[Dead]) -> str:
    """The rows for a mail, a line each."""
    return "\n".join(f"{row['dead']:6}  {row['actor']} (queue {row['queue']})" for row in rows) or "none"


def _storage() -> Storage:
    execution = current()
    # In a process of its own a body has no connection but that of its worker.
    return installed().storage if execution is None else execution.records.storage
