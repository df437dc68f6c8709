"""Analytics: how it fails, retries, and counts everything once. On the stub and on a real server."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from freezegun.api import FrozenDateTimeFactory

from tasks import analytics_tasks
from tasks.adapters import events
from tasks.analytics_tasks import recompute_roll_ups, record_events, roll_up_events
from tests.tasks.conftest import Store
from understudy import handle
from understudy.testing.faults import Faults

Drain = Callable[..., int]
LONG_ENOUGH = 600
#: When frozen time begins in these tests.
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

pytestmark = pytest.mark.usefixtures("broker")


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analytics_tasks, "BATCH", 10)


def sale(number: int, minutes: float = 0.0, **more: Any) -> Any:
    return {"id": f"s{number}", "name": "sale", "occurred_at": NOON + timedelta(minutes=minutes), **more}


def hours(store: Store) -> list[tuple[int, int]]:
    """The hour of the day and its sales."""
    found = events.roll_ups(store.database, "hour", start=0, end=1e12, name="sale")
    return [(datetime.fromtimestamp(one.period.starts_at, UTC).hour, one.events) for one in found]


def test_events_are_recorded_once_and_what_is_none_is_told(drain: Drain, store: Store) -> None:
    records = [
        *(sale(n) for n in range(25)),
        sale(3),
        {"id": "x", "name": "sale"},
        "no event",
        {**sale(99), "occurred_at": datetime(2026, 3, 1)},
        {**sale(99), "name": "n" * 201},
        {**sale(99), "value": "a lot"},
    ]
    message = record_events.send(records)
    drain()
    result = handle(message).get()
    assert (result["recorded"], result["duplicates"], result["bad"]) == (25, 1, 5)
    told = {bad["index"]: bad["error"] for bad in result["bad_events"]}
    assert told == {
        26: "occurred_at: must not be empty",
        27: "an event is a dict, not str",
        28: "occurred_at: does not know its zone",
        29: "name: is longer than 200 characters",
        30: "value: input should be a valid number, unable to parse string as a number",
    }


@pytest.mark.parametrize("nth", range(1, 5))
def test_killed_at_any_batch_events_are_counted_once(
    nth: int, drain: Drain, freezer: FrozenDateTimeFactory, store: Store, faults: Faults
) -> None:
    message = record_events.send([sale(n) for n in range(35)])
    faults.kill_at("item", nth=nth, when="after")
    drain()
    freezer.tick(LONG_ENOUGH)
    drain()
    assert handle(message).get()["recorded"] == 35


def test_hours_that_are_over_are_rolled_up_and_late_events_are_counted(
    drain: Drain, freezer: FrozenDateTimeFactory, store: Store
) -> None:
    record_events.send([sale(1, 10), sale(2, 50), sale(3, 70)])
    drain()
    freezer.tick(3_600)
    first = roll_up_events.send()
    drain()
    assert handle(first).get() == {"periods": 1, "roll_ups": 1}
    assert hours(store) == [(12, 2)]
    record_events.send([sale(4, 20)])
    drain()
    freezer.tick(3_600)
    again = roll_up_events.send()
    drain()
    assert handle(again).get() == {"periods": 2, "roll_ups": 2}
    assert hours(store) == [(12, 3), (13, 1)]
    freezer.tick(10 * 3_600)
    roll_up_events.send()
    drain()
    assert [one.events for one in events.roll_ups(store.database, "day", start=0, end=1e12)] == [4]


def test_a_range_is_made_anew_from_its_events(drain: Drain, store: Store) -> None:
    record_events.send([sale(n, 30 * n) for n in range(6)])
    drain()
    message = recompute_roll_ups.send("hour", NOON, NOON + timedelta(hours=2))
    drain()
    assert handle(message).get() == {"periods": 2, "roll_ups": 2}
    assert hours(store) == [(12, 2), (13, 2)]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("hour", datetime(2026, 3, 1), NOON), "know their zone"),
        (("week", NOON, NOON), "hour or day"),
        (("hour", NOON, NOON - timedelta(hours=1)), "0 periods"),
        (("hour", NOON, NOON + timedelta(days=900)), "21,600 periods"),
    ],
)
def test_a_range_that_is_none_is_refused(arguments: Any, why: str, drain: Drain, store: Store) -> None:
    message = recompute_roll_ups.send(*arguments)
    drain()
    with pytest.raises(ValueError, match=why):
        handle(message).get()


def test_what_is_no_list_is_refused(drain: Drain, store: Store) -> None:
    message = record_events.send({"id": "x"})  # type: ignore[arg-type]
    drain()
    with pytest.raises(TypeError, match="list of events"):
        handle(message).get()


def test_days_whose_events_were_removed_keep_their_roll_ups_and_it_is_told(
    drain: Drain, freezer: FrozenDateTimeFactory, store: Store
) -> None:
    record_events.send([sale(n) for n in range(25)])
    drain()
    freezer.tick(3 * 86_400)
    roll_up_events.send()
    drain()
    with store.database.transaction() as transaction:
        assert events.purge(transaction, before=freezer().timestamp()) == 25
    records: list[Any] = ["no event", *(sale(n, minutes=4_000 if n != 111 else 1) for n in range(100, 115))]
    late = record_events.send(records)
    again = recompute_roll_ups.send("hour", NOON - timedelta(days=1), NOON + timedelta(days=9))
    drain()
    result = handle(late).get()
    assert (result["recorded"], result["duplicates"], result["bad"]) == (14, 0, 2)
    assert [bad["index"] for bad in result["bad_events"]] == [0, 12]
    assert result["bad_events"][1]["error"].startswith("occurred_at: the events before 2026-03-04 (UTC) were removed")
    with pytest.raises(events.EventsPurged, match="begin there"):
        handle(again).get()
    assert hours(store) == [(12, 25)]
