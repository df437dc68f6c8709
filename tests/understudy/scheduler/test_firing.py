"""``fire_time()``: in the body, in a process of its own, through retries, and outside."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from freezegun.api import FrozenDateTimeFactory

from understudy import Retry, actor, fire_time, handle, periodic
from understudy.brokers.redis import RedisBroker
from understudy.scheduler.firing import job_name
from understudy.scheduler.jobs import jobs_of
from understudy.scheduler.loop import Scheduler

from . import actors_for_tests
from .helpers import go_to

Drain = Callable[..., int]


def test_a_body_sees_the_time_it_stands_for_in_the_zone_of_the_job_through_retries(
    broker: RedisBroker, drain: Drain, freezer: FrozenDateTimeFactory
) -> None:
    seen: list[object] = []

    @periodic(cron="30 2 * * *", timezone="Europe/Berlin")
    @actor(retry=Retry(1, backoff=60, jitter="none"))
    def nightly() -> None:
        seen.append((str(fire_time()), job_name()))
        if len(seen) == 1:
            raise ConnectionError("not yet")

    scheduler = Scheduler(broker)
    scheduler.run_once()
    go_to(freezer, "2026-03-02T01:47:00+00:00")  # a quarter of an hour late
    scheduler.run_once()
    drain()
    freezer.tick(60)
    drain()
    assert seen == [("2026-03-02 02:30:00+01:00", "nightly")] * 2


def test_outside_of_a_periodic_run_there_is_none(broker: RedisBroker, drain: Drain) -> None:
    @actor
    def by_hand() -> bool:
        return fire_time() is None and job_name() is None

    message = by_hand.send()
    drain()
    assert handle(message).get() is True
    assert fire_time() is None


@pytest.mark.brokers("stub")
def test_a_body_in_a_process_of_its_own_sees_it_too(broker: RedisBroker, drain: Drain, tmp_path: Path) -> None:
    broker.declare_actor(actors_for_tests.told)
    message = jobs_of(broker)["told"].message(1_772_366_400_000)
    broker.enqueue(message)
    drain(isolation="process")
    pid, fire = handle(message).get()
    assert fire == datetime(2026, 3, 1, 21, tzinfo=ZoneInfo("Asia/Tokyo"))
    assert pid != str(fire)
