"""Analytics: events, and what hours and days of them come to."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from operator import itemgetter
from typing import Any, NotRequired, TypedDict
from uuid import uuid4

from tasks.adapters import events, tables
from tasks.adapters.database import Transaction, open_database
from tasks.adapters.events import Event, EventsPurged, Period, Span
from tasks.adapters.row_types import RowTypes
from tasks.utils.error_handlers import STORE_ERRORS
from tasks.utils.retry_policies import STORE_RETRY
from understudy import Idempotency, actor, clock, each
from understudy.execution import current

#: Events of a transaction.
BATCH = 500
#: Reasons that are told at the most.
TOLD = 1_000


class EventRecord(TypedDict):
    """An event as it is sent. The same ``id`` is the same event, however often it comes."""

    id: str
    name: str
    occurred_at: datetime
    value: NotRequired[float]
    subject: NotRequired[str]


class BadEvent(TypedDict):
    """An event that was not recorded: its place in the list, from 0, and why."""

    index: int
    error: str


class RecordResult(TypedDict):
    """What became of events; ``bad_events`` names the first thousand that were no events."""

    recorded: int
    duplicates: int
    bad: int
    bad_events: list[BadEvent]


class RollUpResult(TypedDict):
    """How many periods were made anew, and how many roll-ups they have; after a retry, those of the last execution."""

    periods: int
    roll_ups: int


@actor(
    queue_name="analytics",
    retry=STORE_RETRY,
    errors=STORE_ERRORS,
    time_limit=timedelta(minutes=5),
    idempotency=Idempotency(ttl=timedelta(days=1)),
)
def record_events(records: Sequence[EventRecord]) -> RecordResult:
    """Record events. One that is none, or is of a day whose events were removed meanwhile, does not stop the rest.

    Raises:
      TypeError: ``records`` is not a list.
      DatabaseUnavailable: retried; what was recorded before is not recorded again.
    """
    if not isinstance(records, list | tuple):
        raise TypeError(f"records is a list of events, not {type(records).__name__}")
    database = events.prepare(open_database())
    good, bad = _sorted(records)
    execution = current()
    scope = f"events {uuid4().hex if execution is None else execution.items_scope}"[:200]
    for number in each(range(-(-len(good) // BATCH)), key=str, ordered=True):
        batch = good[number * BATCH : (number + 1) * BATCH]
        tables.apply_once(database, scope=scope, number=number, work=partial(_record, batch=batch))
    outcomes = tables.applied(database, scope).values()
    late: list[BadEvent] = [bad_event for _, refused in outcomes for bad_event in refused]
    recorded = sum(new for new, _ in outcomes)
    told = sorted([*bad, *late], key=itemgetter("index"))
    return {
        "recorded": recorded,
        "duplicates": len(good) - len(late) - recorded,
        "bad": len(told),
        "bad_events": told[:TOLD],
    }


@actor(
    queue_name="analytics",
    retry=STORE_RETRY,
    errors=STORE_ERRORS,
    time_limit=timedelta(minutes=30),
    idempotency=Idempotency(ttl=timedelta(days=1)),
)
def roll_up_events() -> RollUpResult:
    """Roll up every hour and day that is over and has events which are not counted yet, late ones among them."""
    database, now = events.prepare(open_database()), clock.now()
    return _roll_up(events.stale(database, before=now), events.count_stale(database, before=now))


@actor(
    queue_name="analytics",
    retry=STORE_RETRY,
    errors=STORE_ERRORS,
    time_limit=timedelta(minutes=30),
    idempotency=Idempotency(ttl=timedelta(days=1)),
)
def recompute_roll_ups(span: Span, start: datetime, end: datetime) -> RollUpResult:
    """Make the roll-ups of all hours or days that begin from ``start`` on and before ``end`` anew from their events.

    Raises:
      ValueError: a datetime that does not know its zone, ``end`` before ``start``, or more than 10,000 periods.
      EventsPurged: the events of the first of them were removed; nothing was changed; not retried.
    """
    if start.tzinfo is None or end.tzinfo is None:
        raise ValueError("start and end are datetimes that know their zone: datetime(..., tzinfo=UTC)")
    if span not in events.SECONDS:
        raise ValueError(f"span is hour or day, not {span!r}")
    first, step = Period.of(span, start.timestamp()), events.SECONDS[span]
    begins = first.starts_at if first.starts_at >= start.timestamp() else first.ends_at
    moments = range(begins, math.ceil(end.timestamp()), step)
    if end < start or len(moments) > 10_000:
        raise ValueError(f"from {start} to {end} there are {len(moments):,} periods; name 1 to 10,000 of them")
    with events.prepare(open_database()).reading() as transaction:
        limit = events.purged_before(transaction)
    if moments and begins < limit:
        raise EventsPurged(f"{events.purged_text(limit)}; begin there")
    return _roll_up([Period(span, at) for at in moments], len(moments))


def _record(transaction: Transaction, batch: list[tuple[int, Event]]) -> tuple[int, list[BadEvent]]:
    recorded = events.record(transaction, [event for _, event in batch])
    why = f"occurred_at: {events.purged_text(events.purged_before(transaction))}" if recorded.late else ""
    return recorded.new, [{"index": batch[place][0], "error": why} for place in recorded.late]


def _roll_up(periods: Iterable[Period], total: int) -> RollUpResult:
    database, done, count = open_database(), 0, 0
    for period in each(periods, key=_name_of, total=total):
        with database.transaction() as transaction:
            count += events.roll_up(transaction, period)
        done += 1
    return {"periods": done, "roll_ups": count}


_TYPES = RowTypes(
    {"id": "text", "name": "text", "occurred_at": "datetime", "value": "number", "subject": "text"},
    required=["id", "name", "occurred_at"],
    formulas=True,
)
#: Characters of an id, a name, a subject.
_LONGEST = 200


def _sorted(records: Sequence[Any]) -> tuple[list[tuple[int, Event]], list[BadEvent]]:
    good: list[tuple[int, Event]] = []
    bad: list[BadEvent] = []
    for index, record in enumerate(records):
        problem, event = _read(record)
        if event is None:
            bad.append({"index": index, "error": problem})
        else:
            good.append((index, event))
    return good, bad


def _read(record: Any) -> tuple[str, Event | None]:
    if not isinstance(record, dict):
        return f"an event is a dict, not {type(record).__name__}", None
    values, problems = _TYPES.read(record)
    if problems:
        return "; ".join(problems), None
    if values["occurred_at"].tzinfo is None:
        return "occurred_at: does not know its zone", None
    for name in ("id", "name", "subject"):
        if len(values[name] or "") > _LONGEST:
            return f"{name}: is longer than {_LONGEST} characters", None
    return "", Event(**{**values, "occurred_at": values["occurred_at"].timestamp()})


def _name_of(period: Period) -> str:
    return f"{period.span} {period.starts_at}"
