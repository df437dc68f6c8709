"""Events and what is made of them: counts, percentiles and top lists of hours and days (UTC).

An event that comes makes its hour and its day *stale*, in the same transaction. Whoever rolls up takes a stale period,
makes all of it anew from its events, and takes the note away, in one transaction too: so a late event is counted, and
rolling up twice changes nothing.

Old events go at last, and their roll-ups stay. From then on nothing may touch those days: what would be made anew of
them would be made of nothing. So it is kept before which day the events went.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from .database import Database, Transaction
from .migrations import Migration, migrate

Span = Literal["hour", "day"]
SECONDS: dict[Span, int] = {"hour": 3_600, "day": 86_400}
#: What is kept of the subjects of a period.
TOP = 10
PERCENTILES = (50, 90, 99)

_MIGRATIONS = (
    Migration(
        1,
        "events and roll-ups",
        (
            """
            CREATE TABLE understudy_events (
                id VARCHAR(200) NOT NULL PRIMARY KEY,
                name VARCHAR(200) NOT NULL,
                occurred_at DOUBLE PRECISION NOT NULL,
                value DOUBLE PRECISION,
                subject VARCHAR(200)
            )
            """,
            "CREATE INDEX understudy_events_time ON understudy_events (occurred_at, name)",
            """
            CREATE TABLE understudy_stale (
                span VARCHAR(4) NOT NULL,
                starts_at BIGINT NOT NULL,
                PRIMARY KEY (span, starts_at)
            )
            """,
            """
            CREATE TABLE understudy_rollups (
                span VARCHAR(4) NOT NULL,
                starts_at BIGINT NOT NULL,
                name VARCHAR(200) NOT NULL,
                events BIGINT NOT NULL,
                subjects BIGINT NOT NULL,
                total DOUBLE PRECISION,
                least DOUBLE PRECISION,
                most DOUBLE PRECISION,
                p50 DOUBLE PRECISION,
                p90 DOUBLE PRECISION,
                p99 DOUBLE PRECISION,
                PRIMARY KEY (span, starts_at, name)
            )
            """,
            """
            CREATE TABLE understudy_top (
                span VARCHAR(4) NOT NULL,
                starts_at BIGINT NOT NULL,
                name VARCHAR(200) NOT NULL,
                place INTEGER NOT NULL,
                subject VARCHAR(200) NOT NULL,
                events BIGINT NOT NULL,
                PRIMARY KEY (span, starts_at, name, place)
            )
            """,
        ),
    ),
    Migration(
        2,
        "before which moment events were removed",
        (
            "CREATE TABLE understudy_purged (id INTEGER NOT NULL PRIMARY KEY, before BIGINT)",
            "INSERT INTO understudy_purged VALUES (1, NULL)",
        ),
    ),
)


class EventsPurged(ValueError):
    """The events of a period were removed: it cannot be counted anew."""


class Recorded(NamedTuple):
    """How many events were new, and the places of those that were refused: the events of their day were removed."""

    new: int
    late: tuple[int, ...] = ()


class Event(NamedTuple):
    """Something that happened. ``occurred_at`` is in seconds since the epoch; the same ``id`` is the same event."""

    id: str
    name: str
    occurred_at: float
    value: float | None = None
    subject: str | None = None


class Period(NamedTuple):
    """An hour or a day. ``starts_at`` is in seconds since the epoch."""

    span: Span
    starts_at: int

    @property
    def ends_at(self) -> int:
        """When the next one begins."""
        return self.starts_at + SECONDS[self.span]

    @classmethod
    def of(cls, span: Span, moment: float) -> Period:
        """The period that ``moment`` is in."""
        return cls(span, math.floor(moment / SECONDS[span]) * SECONDS[span])


@dataclass(frozen=True)
class RollUp:
    """What happened under a name in a period. Percentiles are those of the nearest rank; all but the counts are None
    when no event had a value. ``top`` are the subjects with the most events."""

    period: Period
    name: str
    events: int
    subjects: int
    total: float | None
    least: float | None
    most: float | None
    p50: float | None
    p90: float | None
    p99: float | None
    top: tuple[tuple[str, int], ...] = ()


def prepare(database: Database) -> Database:
    """Make the tables if they are not there."""
    migrate(database, "events", _MIGRATIONS)
    return database


def record(transaction: Transaction, events: Sequence[Event]) -> Recorded:
    """Write events down. Their periods are stale from now on."""
    limit = purged_before(transaction)
    late = tuple(place for place, event in enumerate(events) if event.occurred_at < limit)
    new = [event for event in events if event.occurred_at >= limit and _insert(transaction, event)]
    stale = sorted({Period.of(span, event.occurred_at) for event in new for span in SECONDS})
    for period in stale:
        _mark(transaction, period)
    return Recorded(len(new), late)


_OVER = "starts_at + CASE span WHEN 'day' THEN 86400 ELSE 3600 END <= :before"


def stale(database: Database, *, before: float, page: int = 1_000) -> Iterator[Period]:
    """The stale periods that ended by ``before``, the earliest first; ``page`` of them are held at once."""
    last: dict[str, Any] = {}
    while True:
        behind = "AND (starts_at > :last OR (starts_at = :last AND span > :span)) " if last else ""
        with database.reading() as transaction:
            found = transaction.select(
                f"SELECT span, starts_at FROM understudy_stale WHERE {_OVER} {behind}"
                "ORDER BY starts_at, span LIMIT :page",
                before=before,
                page=page,
                **last,
            )
        yield from (Period(row["span"], row["starts_at"]) for row in found)
        if len(found) < page:
            return
        last = {"last": found[-1]["starts_at"], "span": found[-1]["span"]}


def count_stale(database: Database, *, before: float) -> int:
    """How many stale periods ended by ``before``."""
    with database.reading() as transaction:
        return int(transaction.scalar(f"SELECT COUNT(*) FROM understudy_stale WHERE {_OVER}", before=before))


def roll_up(transaction: Transaction, period: Period) -> int:
    """Make the roll-ups of a period anew; returns how many names there are.

    Raises:
      EventsPurged: its events were removed, and its roll-ups are all that is left.
    """
    limit = purged_before(transaction)
    if period.starts_at < limit:
        raise EventsPurged(purged_text(limit))
    _mark(transaction, period)  # and whoever else is at this period waits for the end of the transaction
    where: dict[str, Any] = {"span": period.span, "start": period.starts_at}
    for table in ("understudy_rollups", "understudy_top"):
        transaction.execute(f"DELETE FROM {table} WHERE span = :span AND starts_at = :start", **where)
    within = {"start": period.starts_at, "end": period.ends_at}
    names = transaction.select(
        "SELECT name, COUNT(*) AS events, COUNT(DISTINCT subject) AS subjects, COUNT(value) AS values_, "
        "SUM(value) AS total, MIN(value) AS least, MAX(value) AS most FROM understudy_events "
        "WHERE occurred_at >= :start AND occurred_at < :end GROUP BY name ORDER BY name",
        **within,
    )
    for row in names:
        row |= _percentiles(transaction, row["name"], row.pop("values_"), within)
        transaction.execute(
            "INSERT INTO understudy_rollups VALUES "
            "(:span, :start, :name, :events, :subjects, :total, :least, :most, :p50, :p90, :p99)",
            **where,
            **row,
        )
        _rank(transaction, row["name"], where, within)
    transaction.execute("DELETE FROM understudy_stale WHERE span = :span AND starts_at = :start", **where)
    return len(names)


def roll_ups(database: Database, span: Span, *, start: float, end: float, name: str | None = None) -> list[RollUp]:
    """The roll-ups of the periods that begin from ``start`` on and before ``end``, in order of time and name."""
    where = "span = :span AND starts_at >= :start AND starts_at < :end" + ("" if name is None else " AND name = :name")
    values: dict[str, Any] = {"span": span, "start": start, "end": end} | ({} if name is None else {"name": name})
    with prepare(database).reading() as transaction:
        found = transaction.select(f"SELECT * FROM understudy_rollups WHERE {where} ORDER BY starts_at, name", **values)
        ranked = transaction.select(f"SELECT * FROM understudy_top WHERE {where} ORDER BY place", **values)
    top: dict[tuple[int, str], list[tuple[str, int]]] = {}
    for row in ranked:
        top.setdefault((row["starts_at"], row["name"]), []).append((row["subject"], row["events"]))
    result = []
    for row in found:
        period = Period(row.pop("span"), row.pop("starts_at"))
        result.append(RollUp(period, top=tuple(top.get((period.starts_at, row["name"]), ())), **row))
    return result


def purge(transaction: Transaction, *, before: float, dry_run: bool = False) -> int:
    """Remove the events of the days that ended by a moment; their roll-ups stay. From the first stale period on all
    are left. Returns how many went, or would have gone."""
    limit = purged_before(transaction, change=not dry_run)
    oldest = transaction.scalar("SELECT MIN(starts_at) FROM understudy_stale")
    if oldest is not None:
        before = min(before, float(oldest))
    day = Period.of("day", before).starts_at
    if dry_run:
        found = "SELECT COUNT(*) FROM understudy_events WHERE occurred_at < :before"
        return int(transaction.scalar(found, before=day))
    if day > limit:
        transaction.execute("UPDATE understudy_purged SET before = :before", before=day)
    return transaction.execute("DELETE FROM understudy_events WHERE occurred_at < :before", before=day)


def purged_before(transaction: Transaction, *, change: bool = False) -> float:
    """The moment before which all events were removed, minus infinity when none were. It stays until the end of the
    transaction; whoever wants to ``change`` it waits for those who read it."""
    # SQLite has one writer at a time, and no such words.
    lock = "" if transaction.dialect == "sqlite" else " FOR UPDATE" if change else " FOR SHARE"
    found = transaction.scalar(f"SELECT before FROM understudy_purged{lock}")
    return -math.inf if found is None else float(found)


def purged_text(limit: float) -> str:
    """Why nothing before ``limit`` can be counted."""
    day = datetime.fromtimestamp(limit, UTC)
    return f"the events before {day:%Y-%m-%d} (UTC) were removed, their roll-ups stay as they are"


def _insert(transaction: Transaction, event: Event) -> bool:
    statement = (
        "INSERT INTO understudy_events VALUES (:id, :name, :occurred_at, :value, :subject) ON CONFLICT (id) DO NOTHING"
    )
    return bool(transaction.execute(statement, **event._asdict()))


def _mark(transaction: Transaction, period: Period) -> None:
    transaction.execute(
        "INSERT INTO understudy_stale VALUES (:span, :starts_at) ON CONFLICT (span, starts_at) DO UPDATE "
        "SET starts_at = excluded.starts_at",
        **period._asdict(),
    )


def _percentiles(transaction: Transaction, name: str, count: int, within: dict[str, int]) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for percent in PERCENTILES:
        found[f"p{percent}"] = (
            None
            if not count
            else transaction.scalar(
                "SELECT value FROM understudy_events WHERE name = :name AND value IS NOT NULL "
                "AND occurred_at >= :start AND occurred_at < :end ORDER BY value LIMIT 1 OFFSET :rank",
                name=name,
                rank=max(math.ceil(count * percent / 100), 1) - 1,
                **within,
            )
        )
    return found


def _rank(transaction: Transaction, name: str, where: dict[str, Any], within: dict[str, int]) -> None:
    best = transaction.select(
        "SELECT subject, COUNT(*) AS events FROM understudy_events WHERE name = :name AND subject IS NOT NULL "
        "AND occurred_at >= :start AND occurred_at < :end GROUP BY subject ORDER BY events DESC, subject LIMIT :top",
        name=name,
        top=TOP,
        **within,
    )
    rows: Iterable[dict[str, Any]] = ({**where, "name": name, "place": n, **row} for n, row in enumerate(best, 1))
    transaction.execute(
        "INSERT INTO understudy_top VALUES (:span, :start, :name, :place, :subject, :events)", list(rows)
    )
