"""Group B: periodic jobs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from freezegun.api import FrozenDateTimeFactory

from tests.understudy.scheduler.helpers import declare, fires, live
from understudy import actor, handle, periodic
from understudy.brokers.redis import RedisBroker
from understudy.scheduler.cron import parse_cron
from understudy.scheduler.loop import Scheduler
from understudy.scheduler.timetable import to_datetime
from understudy.testing.enqueued import Enqueued

from .behaviours import Outcome, behaviour, got

Drain = Callable[..., int]


@pytest.fixture
def broker(broker: RedisBroker) -> RedisBroker:
    """Without the periodic jobs of the application."""
    broker.actors.clear()
    return broker


def ticks(expression: str, start: datetime, end: datetime, **options: Any) -> list[datetime]:
    """The ticks in between, in the zone of the expression."""
    cron = parse_cron(expression, **options)
    found, moment = [], cron.after(round(start.timestamp() * 1000) - 1)
    while moment is not None and moment < end.timestamp() * 1000:
        found.append(to_datetime(moment).astimezone(ZoneInfo(cron.timezone)))
        moment = cron.after(moment)
    return found


@behaviour("B01")
def test_b01_the_fields_of_a_crontab(broker: RedisBroker, outcome: Outcome) -> None:
    may, june = datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC)

    def days(expression: str, **options: Any) -> list[int]:
        return [tick.day for tick in ticks(expression, may, june, **options)]

    def weekdays(field: str) -> list[int]:
        return sorted({tick.isoweekday() % 7 for tick in ticks(f"0 0 * * {field}", may, june)})

    hour = ticks("*/15 * * * *", may, datetime(2026, 5, 1, 1, tzinfo=UTC))
    outcome(zero=got(lambda: weekdays("0")), seven=got(lambda: weekdays("7")), quarters=[tick.minute for tick in hour])
    outcome(the_13th=days("0 0 13 * *"), fridays=days("0 0 * * FRI"))
    outcome(friday_the_13th=days("0 0 13 * FRI", days="both"), not_said_which=got(lambda: days("0 0 13 * FRI")))


@behaviour("B02")
def test_b02_what_is_overdue_is_sent_once(
    broker: RedisBroker, freezer: FrozenDateTimeFactory, enqueued: Enqueued, outcome: Outcome
) -> None:
    declare("interval", every=10)
    declare("cron", cron="* * * * *")
    Scheduler(broker).run_once()
    freezer.tick(3_600)
    Scheduler(broker).run_once()
    outcome(sends={name: len(fires(enqueued, name)) for name in ("interval", "cron")})


@behaviour("B03")
def test_b03_a_new_job_does_not_fire_at_once(
    broker: RedisBroker, freezer: FrozenDateTimeFactory, enqueued: Enqueued, outcome: Outcome
) -> None:
    freezer.tick(3.7)
    declare("interval", every=10)
    declare("cron", cron="3 * * * *")
    scheduler, passed = Scheduler(broker, lease=600), 0.0
    wait = scheduler.run_once()
    at_once = [len(fires(enqueued, name)) > 0 for name in ("interval", "cron")]
    while not fires(enqueued, "interval"):
        freezer.tick(wait)
        passed += wait
        wait = scheduler.run_once()
    outcome(interval=[at_once[0], round(passed, 3)], cron=at_once[1])


@behaviour("B04")
def test_b04_the_days_on_which_the_clocks_are_changed(broker: RedisBroker, outcome: Outcome) -> None:
    def two(expression: str, *start: int) -> list[str]:
        first = datetime(*start, tzinfo=ZoneInfo("America/New_York"))  # type: ignore[misc,arg-type]
        found = ticks(expression, first, datetime(2026, 12, 31, tzinfo=UTC), timezone="America/New_York")
        return [tick.isoformat(timespec="minutes") for tick in found[:2]]

    outcome(spring=two("30 2 * * *", 2026, 3, 8), autumn=two("30 1 * * *", 2026, 11, 1))


@behaviour("B05")
def test_b05_sends_pile_up_and_a_restart_does_not_repeat_them(
    broker: RedisBroker, freezer: FrozenDateTimeFactory, enqueued: Enqueued, outcome: Outcome
) -> None:
    # Of the eight seconds, and of the four, the start of Celery's process took a part.
    declare(every=1)
    live(freezer, Scheduler(broker), seconds=7.5)
    queued = len(enqueued.sent)
    freezer.tick(4.5)
    live(freezer, Scheduler(broker), seconds=3.5)
    outcome(queued=queued, added=len(enqueued.sent) - queued)


@behaviour("B06")
def test_b06_two_schedulers_send_each_tick_once(
    broker: RedisBroker, freezer: FrozenDateTimeFactory, enqueued: Enqueued, outcome: Outcome
) -> None:
    declare(every=1)
    live(freezer, Scheduler(broker), Scheduler(broker), seconds=10)
    sent = fires(enqueued)
    assert len(set(sent)) == 10
    outcome(times_each_tick_is_sent=max(sent.count(fire) for fire in sent))


@behaviour("B07")
def test_b07_a_run_does_not_wait_for_the_one_before(
    broker: RedisBroker, freezer: FrozenDateTimeFactory, drain: Drain, outcome: Outcome
) -> None:
    sent: list[bool] = []

    @periodic(every=10)
    @actor(actor_name="job")
    def body() -> None:
        if not sent:
            freezer.tick(10)
            before = broker.size("default")
            scheduler.run_once()
            sent.append(broker.size("default") > before)

    scheduler = Scheduler(broker)
    live(freezer, scheduler, seconds=10)
    drain()
    outcome(sent=sent[0])


@behaviour("B08")
def test_b08_a_job_has_arguments_and_options_of_its_own(
    broker: RedisBroker, freezer: FrozenDateTimeFactory, enqueued: Enqueued, drain: Drain, outcome: Outcome
) -> None:
    @periodic(every=10, args=(1,), kwargs={"b": 2}, options={"expires": 5})
    @actor(actor_name="job")
    def body(a: int, b: int) -> None: ...

    live(freezer, Scheduler(broker), seconds=10)
    (message,) = enqueued.messages()
    freezer.tick(6)
    drain()
    outcome(args=list(message.args), kwargs=message.kwargs)
    outcome(state_of_one_that_waited_too_long=handle(message).status.value)


@behaviour("B09")
def test_b09_what_is_older_than_the_deadline_is_not_sent(
    broker: RedisBroker, freezer: FrozenDateTimeFactory, enqueued: Enqueued, outcome: Outcome
) -> None:
    declare("within", cron="1 * * * *", window=600)
    declare("after", cron="1 * * * *", window=60)
    Scheduler(broker).run_once()
    freezer.tick(300)
    Scheduler(broker).run_once()
    outcome(sent_within=len(fires(enqueued, "within")), sent_after=len(fires(enqueued, "after")))
