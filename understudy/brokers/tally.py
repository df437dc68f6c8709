"""What an outcome counts for: made beside it, added on the server by the script that commits it.

A count that is kept in a process dies with it, one that is made before the commit is made twice, and one that is made
after it is lost when the process dies in between. So a batch of outcomes brings the sums of what it counts, one
increment per field, and the script takes off again what is not committed. A message costs next to nothing there.

A field is ``actor|queue|end|bucket`` for a number of executions, with ``sum`` in the place of the bucket for their
microseconds; the names are quoted.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Container, Iterable, Sequence
from typing import Any
from urllib.parse import quote

from understudy.outcome import Disposition
from understudy.states import State

from .held import HeldMessage

#: Seconds: the upper ends of the buckets of durations, unless a middleware sets others.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0)
#: In the place of a bucket: no body has run; the sum.
NONE, SUM = "-", "sum"
#: The name of every actor that is not known here: what a sender makes up must not make up fields without end.
UNKNOWN = "?"

_STATES = {state: state.value.lower() for state in State}
#: What one outcome adds: 1 to the first field, so many microseconds to the second.
Counted = tuple[str, str, int]

_fields: dict[tuple[str, str, str, float | None], tuple[str, str]] = {}


def counted(actor: str, queue: str, end: str, seconds: float | None, buckets: Sequence[float] = BUCKETS) -> Counted:
    """What an execution counts for that ended as ``end`` after ``seconds``, or whose body has not run (None)."""
    if seconds is None:
        return (*_fields_of(actor, queue, end, None), 0)
    place = bisect_left(buckets, seconds)
    number, total = _fields_of(actor, queue, end, buckets[place] if place < len(buckets) else math.inf)
    return number, total, int(seconds * 1_000_000)


def of_outcome(held: HeldMessage, known: Container[str], buckets: Sequence[float]) -> Counted | None:
    """What the outcome of ``held`` counts for; None for what went back without having been looked at.

    Args:
      known: the names of the actors of this process.
    """
    outcome = held.outcome
    if outcome.state is not None:
        end = _STATES[outcome.state]
    elif outcome.disposition is Disposition.HAND_BACK:
        if held.execution is None:
            return None
        end = "handed_back"
    elif outcome.continued is not None:
        end = "continued"
    else:
        end = "skipped" if outcome.disposition is Disposition.DONE else "failure"
    return counted(held.actor_name if held.actor_name in known else UNKNOWN, held.queue_name, end, held.took, buckets)


def arguments(key: str, batch: Iterable[Counted | None]) -> list[str]:
    """What the script is told of a batch, as text: the number of the key, how many rows, rows (both fields, how many,
    and their microseconds), and for each outcome what to take off where it is not committed: "row:microseconds"."""
    rows: dict[str, list[Any]] = {}
    parts = []
    for one in batch:
        if one is None:
            parts.append("0:0")
            continue
        number, total, micros = one
        row = rows.get(number)
        if row is None:
            row = rows[number] = [len(rows) + 1, total, 0, 0]
        row[2] += 1
        row[3] += micros
        parts.append(f"{row[0]}:{micros}")
    told = [key, str(len(rows))]
    for number, (_, total, count, micros) in rows.items():
        told += (number, total, str(count), str(micros))
    told.append(" ".join(parts))
    return told


def _fields_of(actor: str, queue: str, end: str, bucket: float | None) -> tuple[str, str]:
    found = _fields.get((actor, queue, end, bucket))
    if found is None:
        label = "|".join(quote(part, safe="") for part in (actor, queue, end))
        name = NONE if bucket is None else f"{bucket:g}"
        found = _fields[actor, queue, end, bucket] = f"{label}|{name}", f"{label}|{SUM}"
    return found
