"""Every hour: the alert on dead letters."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from freezegun.api import FrozenDateTimeFactory

from tasks.adapters import events
from tasks.adapters.mail import MemoryMailer
from tests.tasks.conftest import Store
from understudy import actor, clock, handle
from understudy.brokers.redis import RedisBroker
from understudy.scheduler.jobs import jobs_of
from understudy.scheduler.loop import Scheduler

from .conftest import Tick

Drain = Callable[..., int]
READERS = ["ada@lovelace.example", "grace@hopper.example"]


def fail(broker: RedisBroker, drain: Drain, count: int) -> None:
    @actor(broker=broker, actor_name="broken")
    def broken() -> None:
        raise ValueError("on purpose")

    for _ in range(count):
        broken.send()
    drain()
    del broker.actors["broken"]


def test_new_dead_letters_of_the_hour_are_told_by_actor(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, smtp: MemoryMailer, tick: Tick
) -> None:
    fail(broker, drain, 3)
    freezer.tick(1_800)
    found = tick("alert_on_dead_letters")
    drain()
    assert found.get() == {"dead": 3, "mailed": 2}
    assert smtp.delivered == READERS
    assert smtp.messages[0]["subject"] == "[understudy] 3 new dead letters"
    assert "3  broken (queue default)" in smtp.messages[0].get_content()


def test_those_of_the_hour_before_are_told_no_more(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, smtp: MemoryMailer, tick: Tick
) -> None:
    fail(broker, drain, 3)
    freezer.tick(3_601)
    found = tick("alert_on_dead_letters")
    drain()
    assert found.get() == {"dead": 0, "mailed": 0}
    assert smtp.delivered == []


def test_a_few_are_no_alert_if_that_was_said(
    broker: RedisBroker,
    drain: Drain,
    freezer: FrozenDateTimeFactory,
    smtp: MemoryMailer,
    tick: Tick,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REPORTS_DEAD_LETTERS", "4")
    fail(broker, drain, 3)
    freezer.tick(60)
    found = tick("alert_on_dead_letters")
    drain()
    assert found.get() == {"dead": 3, "mailed": 0}


def test_the_events_of_the_hour_are_rolled_up_a_few_minutes_past_it(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory, store: Store
) -> None:
    events.prepare(store.database)
    with store.database.transaction() as transaction:
        events.record(transaction, [events.Event("e1", "sale", clock.now() + 600, 2.5)])
    scheduler = Scheduler(broker)
    scheduler.run_once()
    freezer.tick(3_900)
    scheduler.run_once()
    drain()
    assert handle("roll_up_events@2026-03-01T13:05:00Z").get() == {"periods": 1, "roll_ups": 1}


def test_it_is_due_ten_minutes_past_each_hour(broker: RedisBroker, freezer: FrozenDateTimeFactory) -> None:
    assert str(jobs_of(broker)["alert_on_dead_letters"].ticks) == "10 * * * * (UTC)"


def test_a_run_that_fails_for_good_stops_no_later_one(
    broker: RedisBroker,
    drain: Drain,
    freezer: FrozenDateTimeFactory,
    smtp: MemoryMailer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REPORTS_DEAD_LETTERS", "none")  # a wrong setting: retrying would not help
    scheduler = Scheduler(broker)
    scheduler.run_once()
    freezer.tick(600)
    scheduler.run_once()
    drain()
    monkeypatch.delenv("REPORTS_DEAD_LETTERS")
    freezer.tick(3_600)
    scheduler.run_once()
    drain()
    # The first one is a dead letter by now, and the second one tells of it.
    assert smtp.messages[0]["subject"] == "[understudy] 1 new dead letters"
    assert "alert_on_dead_letters (queue maintenance)" in smtp.messages[0].get_content()
