"""What people see of periodic jobs, and what they may want of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from freezegun.api import FrozenDateTimeFactory

from understudy.brokers.redis import RedisBroker
from understudy.scheduler.loop import Scheduler
from understudy.scheduler.overview import Leader, Overview, Wish

from .helpers import declare, live

Drain = Callable[..., int]
NOON = 1_772_366_400.0


@pytest.fixture
def overview(broker: RedisBroker, freezer: FrozenDateTimeFactory) -> Overview:
    return Overview(broker.storage)


def test_before_any_scheduler_ran_there_is_nothing(overview: Overview) -> None:
    assert (overview.leader(), overview.jobs(), overview.wishes()) == (None, [], [])
    assert overview.want("pause", "job", who="ada") == "unknown"


def test_who_leads_and_whether_it_is_heard_of(
    overview: Overview, broker: RedisBroker, freezer: FrozenDateTimeFactory
) -> None:
    scheduler = Scheduler(broker, name="one")
    scheduler.run_once()
    assert overview.leader() == Leader("one", 1, NOON, alive=True)
    freezer.tick(3)
    assert overview.leader() == Leader("one", 1, NOON, alive=False)
    scheduler.run_once()
    scheduler.leadership.resign()
    assert overview.leader() is None


def test_the_next_fire_times_in_the_zone_of_the_job(
    overview: Overview, broker: RedisBroker, freezer: FrozenDateTimeFactory
) -> None:
    declare("daily", cron="30 2 * * *", timezone="America/New_York")
    declare("often", every=10)
    scheduler = Scheduler(broker)
    scheduler.run_once()
    freezer.tick(4)
    daily, often = overview.jobs(coming=8)
    assert [str(moment) for moment in daily.next[:1]] == ["2026-03-02 02:30:00-05:00"]
    assert str(daily.next[6]) == "2026-03-08 03:30:00-04:00"
    assert [moment.second for moment in often.next[:2]] == [10, 20]
    assert len(often.next) == 8


def test_the_last_ticks_with_what_became_of_them_and_how_late_they_were(
    overview: Overview, broker: RedisBroker, freezer: FrozenDateTimeFactory, drain: Drain
) -> None:
    declare(every=10)
    live(freezer, Scheduler(broker), seconds=10)
    drain()
    freezer.tick(32.5)
    Scheduler(broker).run_once()
    (job,) = overview.jobs()
    last, first = job.runs
    assert (first.word, first.state, first.lateness, first.missed) == ("sent", "SUCCESS", 0.0, 0)
    assert (last.word, last.state, last.lateness, last.missed) == ("sent", None, 2.5, 2)
    assert str(last.fire) == "2026-03-01 12:00:40+00:00"
    assert overview.runs("job", 1) == [last]


def test_a_paused_job_says_since_when_and_by_whom_and_has_no_next_time(
    overview: Overview, broker: RedisBroker, freezer: FrozenDateTimeFactory
) -> None:
    declare("with a blank", every=10)
    Scheduler(broker).run_once()
    freezer.tick(1)
    assert overview.want("pause", "with a blank", who="ada at home") == "done"
    assert overview.want("pause", "with a blank", who="grace") == "already"
    (job,) = overview.jobs()
    assert (job.paused, job.next) == ((NOON + 1, "ada at home"), ())
    assert overview.wishes() == [Wish(NOON + 1, "ada at home", "pause", "with a blank")]
