"""Events and roll-ups, on SQLite and on PostgreSQL."""

from __future__ import annotations

import math
import random
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.adapters import events
from tasks.adapters.database import Database
from tasks.adapters.events import Event, Period, RollUp, Span

#: 2026-03-01 12:00 UTC, and its hour and day.
NOON = 1_772_366_400
HOUR, DAY = Period("hour", NOON), Period("day", NOON - 12 * 3_600)


@pytest.fixture
def log(database: Database) -> Database:
    return events.prepare(database)


def record(database: Database, *found: Event) -> int:
    with database.transaction() as transaction:
        return events.record(transaction, found).new


def roll_up(database: Database, *periods: Period) -> None:
    for period in periods:
        with database.transaction() as transaction:
            events.roll_up(transaction, period)


def stale(database: Database, before: float = math.inf) -> list[Period]:
    return list(events.stale(database, before=before if before != math.inf else 1e12))


def test_stale_periods_are_had_page_by_page(log: Database) -> None:
    with log.transaction() as transaction:
        events.record(transaction, [events.Event(str(n), "sale", 3_600.0 * n) for n in range(25)])
    expected = stale(log)
    assert len(expected) == 25 + 2
    for page in (1, 2, 27, 28):
        assert list(events.stale(log, before=1e12, page=page)) == expected
    assert events.count_stale(log, before=1e12) == 27
    assert events.count_stale(log, before=3_600.0) == 1


def of(database: Database, span: Span) -> list[RollUp]:
    return events.roll_ups(database, span, start=0, end=1e12)


def test_an_event_is_recorded_once_and_makes_its_hour_and_day_stale(log: Database) -> None:
    one = Event("e1", "sale", NOON + 5.5, 2.5, "ada")
    assert record(log, one, one) == 1
    assert record(log, one, Event("e2", "sale", NOON + 3_600)) == 1
    assert stale(log) == [DAY, HOUR, Period("hour", NOON + 3_600)]


def test_only_periods_that_are_over_are_told(log: Database) -> None:
    record(log, Event("e1", "sale", NOON + 5))
    assert stale(log, NOON + 3_599) == []
    assert stale(log, NOON + 3_600) == [HOUR]
    assert stale(log, NOON + 12 * 3_600) == [DAY, HOUR]


def test_a_period_is_counted_with_percentiles_and_a_top_list(log: Database) -> None:
    sales = [Event(f"s{n}", "sale", NOON + n, float(n), f"who {n % 3}") for n in range(1, 101)]
    record(log, *sales, Event("v", "visit", NOON + 1), Event("later", "sale", NOON + 3_600, 1e6))
    roll_up(log, HOUR)
    sale, visit = of(log, "hour")
    assert (sale.name, sale.events, sale.subjects) == ("sale", 100, 3)
    assert (sale.total, sale.least, sale.most) == (5_050, 1, 100)
    assert (sale.p50, sale.p90, sale.p99) == (50, 90, 99)
    assert sale.top == (("who 1", 34), ("who 0", 33), ("who 2", 33))
    assert (visit.events, visit.subjects, visit.total, visit.p50, visit.top) == (1, 0, None, None, ())
    assert stale(log) == [DAY, Period("hour", NOON + 3_600)]


def test_rolling_up_twice_changes_nothing_and_a_late_event_is_counted(log: Database) -> None:
    record(log, Event("e1", "sale", NOON, 1.0))
    roll_up(log, HOUR, HOUR)
    before = of(log, "hour")
    roll_up(log, HOUR)
    assert of(log, "hour") == before
    record(log, Event("late", "sale", NOON + 1, 3.0))
    assert stale(log, NOON + 3_600) == [HOUR]
    roll_up(log, HOUR)
    assert [found.total for found in of(log, "hour")] == [4.0]


def test_roll_ups_of_what_is_not_there_any_more_go(log: Database) -> None:
    record(log, Event("e1", "sale", NOON))
    roll_up(log, HOUR)
    with log.transaction() as transaction:
        transaction.execute("DELETE FROM understudy_events")
    roll_up(log, HOUR)
    assert of(log, "hour") == []


def purge(database: Database, before: float, *, dry_run: bool = False) -> int:
    with database.transaction() as transaction:
        return events.purge(transaction, before=before, dry_run=dry_run)


NEXT_DAY = NOON + 12 * 3_600


def test_the_events_of_whole_old_days_go_and_their_roll_ups_stay_unless_they_are_not_counted_yet(log: Database) -> None:
    record(log, Event("e1", "sale", NOON), Event("e2", "sale", NOON + 3_600), Event("e3", "sale", NEXT_DAY))
    roll_up(log, HOUR, DAY)
    assert purge(log, NEXT_DAY + 60) == 0, "the second hour is stale"
    roll_up(log, Period("hour", NOON + 3_600))
    assert purge(log, NEXT_DAY - 1) == 0, "the day is not over"
    assert purge(log, NEXT_DAY + 60, dry_run=True) == 2
    assert purge(log, NEXT_DAY + 60) == 2
    assert [found.events for found in of(log, "hour")] == [1, 1]
    assert [found.events for found in of(log, "day")] == [2]


def test_what_is_left_of_a_day_whose_events_went_is_never_made_anew(log: Database) -> None:
    record(log, *(Event(f"e{n}", "sale", NOON + n) for n in range(100)))
    roll_up(log, HOUR, DAY)
    assert purge(log, NEXT_DAY) == 100
    assert purge(log, NOON) == 0, "the limit does not go back"
    with log.transaction() as transaction:
        late = [Event("late", "sale", NOON + 1), Event("new", "sale", NEXT_DAY)]
        assert events.record(transaction, late) == (1, (0,))
    roll_up(log, *stale(log))
    for period in (HOUR, DAY):
        with pytest.raises(events.EventsPurged, match="before 2026-03-02"):
            roll_up(log, period)
    assert [found.events for found in of(log, "hour")] == [100, 1]
    assert [found.events for found in of(log, "day")] == [100, 1]


def test_events_that_come_while_their_period_is_rolled_up_are_not_lost(log: Database) -> None:
    record(log, *(Event(f"first {n}", "sale", NOON + n) for n in range(50)))
    stop = threading.Event()

    def keep_rolling() -> None:
        while not stop.is_set():
            roll_up(log, HOUR)

    roller = threading.Thread(target=keep_rolling)
    roller.start()
    try:
        for n in range(40):
            record(log, Event(f"late {n}", "sale", NOON + n))
    finally:
        stop.set()
        roller.join()
    roll_up(log, *stale(log, NOON + 3_600))
    assert [found.events for found in of(log, "hour")] == [90]


@given(
    st.lists(
        st.tuples(
            st.integers(0, 4 * 3_600 - 1),
            st.sampled_from("ab"),
            st.none() | st.floats(-1e6, 1e6).map(lambda x: round(x, 3)),
            st.none() | st.sampled_from("xyz"),
        ),
        max_size=40,
    )
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_happens_and_in_whatever_order_it_comes_the_roll_ups_are_those_of_all_events(
    log: Database, happened: list[tuple[int, str, float | None, str | None]]
) -> None:
    with log.transaction() as transaction:
        for table in ("events", "stale", "rollups", "top"):
            transaction.execute(f"DELETE FROM understudy_{table}")
    found = [Event(f"e{n}", name, NOON + at, value, who) for n, (at, name, value, who) in enumerate(happened)]
    shuffled = random.Random(len(found)).sample(found, len(found))
    half = len(shuffled) // 2
    for part in (shuffled[:half], shuffled[half:]):
        record(log, *part)
        roll_up(log, *stale(log))
    expected = []
    for start in range(NOON, NOON + 4 * 3_600, 3_600):
        for name in "ab":
            mine = [event for event in found if event.name == name and start <= event.occurred_at < start + 3_600]
            if mine:
                values = sorted(event.value for event in mine if event.value is not None)
                ranked = [
                    values[max(math.ceil(len(values) * p / 100), 1) - 1] if values else None for p in (50, 90, 99)
                ]
                expected.append((start, name, len(mine), *ranked))
    assert [
        (one.period.starts_at, one.name, one.events, one.p50, one.p90, one.p99) for one in of(log, "hour")
    ] == expected
