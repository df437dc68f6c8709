"""Which job is due next. The one place of APScheduler.

APScheduler is good at keeping a timetable: jobs with triggers, ordered by when they run next, in a store that is asked
which are due and when the next one is. It is used for that: ``Timetable`` is one of its schedulers, with its job store
in memory, and what a job fires on is one of its triggers (``JobTrigger``), so that it stands in anything that takes
one.

It is *not* used for what makes a tick happen once. Its scheduler reads this machine's clock, keeps the next run time in
its store without asking who else did, and calls what is due in its own threads: two of them on one store doubled 27 of
30 ticks. Nor are its cron triggers: they lose midnight on days on which the clocks are put forward.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.schedulers.base import BaseScheduler
from apscheduler.triggers.base import BaseTrigger

from .catchup import next_due
from .cron import EPOCH
from .jobs import Job

#: It would tell of every tick that a job was added to its store.
_quiet = logging.getLogger(__name__)
_quiet.setLevel(logging.WARNING)


def to_datetime(millis: int) -> datetime:
    """Milliseconds since 1970 as a datetime in UTC."""
    return EPOCH + timedelta(milliseconds=millis)


def to_millis_of(moment: datetime) -> int:
    """A datetime as milliseconds since 1970."""
    return (moment - EPOCH) // timedelta(milliseconds=1)


class JobTrigger(BaseTrigger):  # type: ignore[misc]  # APScheduler has no types
    """When a periodic job is due: its fire times, each put off by its jitter."""

    def __init__(self, job: Job, epoch: int) -> None:
        self.job, self.epoch = job, epoch

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime | None:
        """The next fire time after the previous one; after ``now`` when there is none."""
        after = to_millis_of(now if previous_fire_time is None else previous_fire_time)
        found = next_due(self.job, after=after, epoch=self.epoch)
        return None if found is None else to_datetime(found[1])

    def __str__(self) -> str:
        return str(self.job.ticks)


class Timetable(BaseScheduler):  # type: ignore[misc]  # as above
    """Jobs by when they are due. It runs nothing and has no thread. Times are milliseconds since 1970."""

    def __init__(self) -> None:
        super().__init__(timezone=UTC, logger=_quiet)
        self._store = MemoryJobStore()
        self.add_jobstore(self._store)
        self.start(paused=True)

    def put(self, job: Job, *, after: int, epoch: int) -> None:
        """The ticks of ``job`` up to ``after`` are over: it is due at the next one."""
        trigger = JobTrigger(job, epoch)
        due = trigger.get_next_fire_time(to_datetime(after), to_datetime(after))
        # The store orders by `next_run_time`; a job without one, paused in APScheduler's words, is never due.
        self.add_job(_nothing, trigger, id=job.name, next_run_time=due, replace_existing=True)

    def put_off(self, name: str, until: int) -> None:
        """The job of this name is not due before ``until``."""
        self.modify_job(name, next_run_time=to_datetime(until))

    def due(self, now: int) -> list[str]:
        """The names of the jobs that are due, those first that have been for the longest."""
        return [job.id for job in self._store.get_due_jobs(to_datetime(now))]

    def next(self) -> int | None:
        """When the next job is due; None when none ever is."""
        found = self._store.get_next_run_time()
        return None if found is None else to_millis_of(found)

    def wakeup(self) -> None:
        """Nobody sleeps here."""

    def shutdown(self, wait: bool = True) -> Any:
        """Let go of the jobs."""
        if self.running:
            super().shutdown(wait)


def _nothing() -> None:
    """APScheduler's jobs call something; what a tick does is done by whoever asked what is due."""
