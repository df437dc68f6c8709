"""The timetable, and that APScheduler is imported nowhere else."""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from apscheduler.schedulers.background import BackgroundScheduler

from tests.house.project import PACKAGES, ROOT, project_files
from understudy.scheduler.cron import parse_cron
from understudy.scheduler.every import Every
from understudy.scheduler.jobs import Job
from understudy.scheduler.timetable import JobTrigger, Timetable, to_datetime, to_millis_of


def job(name: str, seconds: float, **more: Any) -> Job:
    return Job(name=name, actor=None, ticks=Every(round(seconds * 1000)), **more)  # type: ignore[arg-type]


@pytest.fixture
def timetable() -> Timetable:
    return Timetable()


def test_jobs_are_due_in_the_order_of_their_times(timetable: Timetable) -> None:
    for name, seconds in (("slow", 30), ("fast", 10), ("middle", 20)):
        timetable.put(job(name, seconds), after=0, epoch=0)
    assert timetable.next() == 10_000
    assert timetable.due(9_999) == []
    assert timetable.due(20_000) == ["fast", "middle"]
    timetable.put(job("fast", 10), after=20_000, epoch=0)
    assert timetable.due(30_000) == ["middle", "fast", "slow"]


def test_a_job_that_is_put_off_lets_the_others_go_first(timetable: Timetable) -> None:
    timetable.put(job("a", 10), after=0, epoch=0)
    timetable.put(job("b", 11), after=0, epoch=0)
    timetable.put_off("a", 60_000)
    assert timetable.due(20_000) == ["b"]
    assert timetable.due(60_000) == ["b", "a"]


def test_an_empty_timetable_has_no_next_time(timetable: Timetable) -> None:
    assert timetable.next() is None
    timetable.shutdown()
    timetable.shutdown()  # twice is no mistake


def test_jitter_is_part_of_when_a_job_is_due(timetable: Timetable) -> None:
    late = job("late", 10, jitter=9_000)
    timetable.put(late, after=0, epoch=0)
    assert timetable.next() == 10_000 + late.put_off(10_000)


def test_what_a_job_fires_on_is_a_trigger_of_apscheduler() -> None:
    daily = Job(name="x", actor=None, ticks=parse_cron("30 2 * * *", timezone="America/New_York"))  # type: ignore[arg-type]
    scheduler = BackgroundScheduler(timezone=UTC)
    scheduler.start(paused=True)
    try:
        before = datetime(2026, 3, 8, tzinfo=UTC)
        found = JobTrigger(daily, 0).get_next_fire_time(before, before)
        scheduled = scheduler.add_job(print, JobTrigger(daily, 0))
        assert found == datetime(2026, 3, 8, 7, 30, tzinfo=UTC)  # 03:30 there, because there is no 02:30
        assert scheduled.next_run_time is not None
    finally:
        scheduler.shutdown()


def test_times_go_there_and_back() -> None:
    moment = datetime(2026, 3, 1, 12, tzinfo=UTC) + timedelta(milliseconds=7)
    assert to_datetime(to_millis_of(moment)) == moment


def test_it_says_nothing_of_its_own(timetable: Timetable, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    timetable.put(job("a", 10), after=0, epoch=0)
    timetable.shutdown()
    assert caplog.records == []


def test_apscheduler_is_imported_in_one_file() -> None:
    importing = [
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in project_files(ROOT / package, ".py")
        if re.search(r"^\s*(from|import) apscheduler", path.read_text(), re.MULTILINE)
    ]
    product = [name for name in importing if not name.startswith(("tests/", "benchmarks/"))]
    assert product == ["understudy/scheduler/timetable.py"]
