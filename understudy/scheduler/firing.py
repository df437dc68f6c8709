"""What the body of a periodic job may ask: for which time does it run?"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from understudy.execution import current

#: The header of a message that says it; headers reach the body also in a process of its own, and survive retries.
HEADER = "understudy.tick"


def header(job: str, fire: int, zone: str) -> dict[str, Any]:
    """What travels: the job, the fire time (milliseconds since 1970) and the zone in which it was meant."""
    return {HEADER: {"job": job, "at": fire, "zone": zone}}


def fire_time() -> datetime | None:
    """The time for which this run of a periodic job was due, in the job's zone; None outside of one.

    It is the time that the schedule names, not the one at which the body runs: a run that was caught up, is late, was
    put off by ``jitter`` or is retried sees the time that it stands for. What was asked for with ``run-now`` sees when
    it was asked for.
    """
    found = _tick()
    return None if found is None else at(found["at"], found["zone"])


def job_name() -> str | None:
    """The periodic job for which this body runs; None outside of one."""
    found = _tick()
    return None if found is None else str(found["job"])


def at(fire: int, zone: str) -> datetime:
    """A fire time as a datetime in its zone."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=fire)).astimezone(ZoneInfo(zone))


def _tick() -> Any:
    execution = current()
    return None if execution is None else execution.headers.get(HEADER)
