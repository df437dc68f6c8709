"""An independent reference for wall-clock schedules: the clock is watched minute by minute for a whole year.

Nothing of the product is used, and no rule about changes of the clocks is known here but the two that are promised.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)
QUARTER = timedelta(minutes=15)
START = datetime(1970, 1, 1)


@dataclass(frozen=True)
class Rule:
    """What a cron expression means, written out by hand. ``rhythm``: it fires whenever the clock shows it."""

    minutes: frozenset[int]
    hours: frozenset[int]
    day: Callable[[date], bool]
    rhythm: bool


def rule(
    minutes: object = range(60),
    hours: object = range(24),
    day: Callable[[date], bool] = lambda _: True,
    *,
    rhythm: bool,
) -> Rule:
    """A rule of iterables."""
    return Rule(frozenset(minutes), frozenset(hours), day, rhythm)  # type: ignore[call-overload]


@dataclass
class Walk:
    """A year of a zone: what the clock showed (in minutes since 1970, as if it were UTC) and at which minutes."""

    year: int
    shown: dict[int, list[int]] = field(default_factory=dict)
    #: Where the clock jumped forward: the last minute before it, what it showed then, and what it showed next.
    gaps: list[tuple[int, int, int]] = field(default_factory=list)
    #: The first minutes after each change, in both directions.
    changes: list[int] = field(default_factory=list)

    def fires(self, of: Rule) -> list[int]:
        """When a job fires in this year, in milliseconds since 1970."""
        found: set[int] = set()
        for wall in self._walls(of):
            at = self.shown.get(wall)
            if of.rhythm:
                found.update(at or ())
            elif at is not None:
                found.add(at[0])
            else:
                found.add(self._as_if_it_had_gone_on(wall))
        return [minute * 60_000 for minute in sorted(found) if self._inside(minute)]

    def _as_if_it_had_gone_on(self, wall: int) -> int:
        for minute, before, after in self.gaps:
            if before < wall < after:
                return minute + wall - before
        return -1  # outside of the walk

    def _inside(self, minute: int) -> bool:
        return (START + minute * MINUTE).year == self.year

    def _walls(self, of: Rule) -> Iterator[int]:
        day = date(self.year, 1, 1) - timedelta(days=1)
        while day <= date(self.year + 1, 1, 1):
            if of.day(day):
                midnight = (datetime(day.year, day.month, day.day) - START) // MINUTE
                for hour in of.hours:
                    for minute in of.minutes:
                        yield midnight + hour * 60 + minute
            day += timedelta(days=1)


@cache
def walk(zone: str, year: int) -> Walk:
    """Watch the clock of ``zone`` from the day before ``year`` to the day after it."""
    info, found = ZoneInfo(zone), Walk(year)
    moment = datetime(year - 1, 12, 31, tzinfo=UTC)
    last = None
    while moment.year <= year or moment.day < 2:
        # No zone has ever changed in the middle of a quarter of an hour of these years; it is looked at both ends.
        offset = moment.astimezone(info).utcoffset()
        assert offset == (moment + QUARTER - MINUTE).astimezone(info).utcoffset()
        assert offset is not None
        first = (moment.replace(tzinfo=None) - START) // MINUTE
        shift = offset // MINUTE
        if last is not None and shift > last:
            found.gaps.append((first - 1, first - 1 + last, first + shift))
        if last is not None and shift != last:
            found.changes.append(first)
        last = shift
        for minute in range(first, first + 15):
            found.shown.setdefault(minute + shift, []).append(minute)
        moment += QUARTER
    return found
