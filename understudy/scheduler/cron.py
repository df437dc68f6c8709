"""Cron expressions: five fields, names, and the wall clock of a zone.

``cronsim`` knows the calendar: which wall-clock minutes an expression means. What becomes of them on the two days a
year on which a wall clock is put forward or back is decided here (``_Zone``), the same for every zone:

- An expression that names its minutes and hours means a *time of day*. If that does not exist on a day it fires as much
  later as the clock was put forward (02:30 fires at 03:30); if it exists twice, at the first (B04, as Celery).
- One whose minutes or hours begin with ``*`` means a *rhythm* of real time: it fires whenever the clock shows what it
  says, in an hour that comes twice both times, and in one that does not come not at all.

Times are whole milliseconds since 1970.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo, available_timezones

from understudy.errors import DeclarationError
from understudy.options import choose, did_you_mean

try:
    from cronsim import CronSim, CronSimError
except ModuleNotFoundError:
    raise DeclarationError("periodic jobs need: pip install 'understudy[scheduler]'") from None

Days = Literal["both", "either"]

FIELDS = ("minute", "hour", "day-of-month", "month", "day-of-week")
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * SUN",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
#: Every date and weekday has met every other one by then, leap days and the century without one among them.
YEARS = 41
#: Further from a change of the clocks nothing is unusual: the largest there was is that of the date line, a day.
NEAR = timedelta(hours=26)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Cron:
    """The ticks of ``expression`` by the clock of ``timezone``. Made by ``parse_cron``.

    Args:
      days: where both a day of the month and a weekday are given, whether ``"both"`` must be met or ``"either"``.
    """

    expression: str
    timezone: str = "UTC"
    days: Days | None = None
    _zone: _Zone = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        minutes, hours = self.expression.split()[:2]
        rhythm = minutes.startswith("*") or hours.startswith("*")
        object.__setattr__(self, "_zone", _Zone(ZoneInfo(self.timezone), rhythm))

    def after(self, moment: int, epoch: int = 0) -> int | None:
        """The first tick after ``moment``, or None when there is none in the next decades."""
        zone = self._zone
        start = EPOCH + timedelta(milliseconds=moment)
        wall = zone.wall(start) - zone.jump(start)
        best: datetime | None = None
        limit = datetime.max
        for shown in self._walls(wall):
            if shown > limit:
                break
            for instant in zone.instants(shown):
                if instant > start and (best is None or instant < best):
                    best = instant
                    # Near a change of the clocks a later time of day may come earlier.
                    limit = zone.wall(best) + zone.jump(best)
        return None if best is None else _millis(best)

    def upto(self, moment: int, after: int, epoch: int, most: int) -> list[int]:
        """The last ``most`` ticks that are after ``after`` and not after ``moment``, the earliest first."""
        span = 3_600_000
        while True:
            start = max(after, moment - span)
            found: deque[int] = deque(maxlen=most)
            tick = self.after(start)
            while tick is not None and tick <= moment:
                found.append(tick)
                tick = self.after(tick)
            if start == after or len(found) == most:
                return list(found)
            span *= 4

    def _walls(self, start: datetime) -> Iterator[datetime]:
        """The wall-clock times after ``start``, as if no clock were ever changed."""
        fields = self.expression.split()
        if self.days is None:
            yield from CronSim(self.expression, start)
            return
        by_date, by_weekday = [*fields], [*fields]
        by_weekday[2], by_date[4] = "*", "*"
        streams = CronSim(" ".join(by_date), start), CronSim(" ".join(by_weekday), start)
        yield from (_in_both if self.days == "both" else _in_either)(*streams)

    def __str__(self) -> str:
        days = {None: "", "both": ", the day of the month and the weekday", "either": ", one of the two"}[self.days]
        return f"{self.expression}{days} ({self.timezone})"


def _in_both(one: Iterator[datetime], other: Iterator[datetime]) -> Iterator[datetime]:
    first = next(one, None)
    second = next(other, None)
    while first is not None and second is not None:
        if first == second:
            yield first
            first = next(one, None)
        elif first < second:
            first = next(one, None)
        else:
            second = next(other, None)


def _in_either(one: Iterator[datetime], other: Iterator[datetime]) -> Iterator[datetime]:
    first = next(one, None)
    second = next(other, None)
    while first is not None or second is not None:
        earliest = min(found for found in (first, second) if found is not None)
        yield earliest
        if first == earliest:
            first = next(one, None)
        if second == earliest:
            second = next(other, None)


@dataclass(frozen=True)
class _Zone:
    """What a wall clock shows, and when."""

    info: ZoneInfo
    rhythm: bool

    def wall(self, instant: datetime) -> datetime:
        """What the clock shows."""
        return instant.astimezone(self.info).replace(tzinfo=None, fold=0)

    def jump(self, instant: datetime) -> timedelta:
        """By how much the clocks are changed near ``instant``; mostly zero."""
        before, after = ((instant + near).astimezone(self.info).utcoffset() for near in (-NEAR, NEAR))
        assert before is not None
        assert after is not None
        return abs(after - before)

    def instants(self, wall: datetime) -> list[datetime]:
        """When the clock shows ``wall``, as far as a job fires then."""
        first = wall.replace(tzinfo=self.info, fold=0).astimezone(UTC)
        if not self.rhythm:
            return [first]
        second = wall.replace(tzinfo=self.info, fold=1).astimezone(UTC)
        return [instant for instant in dict.fromkeys((first, second)) if self.wall(instant) == wall]


def _millis(instant: datetime) -> int:
    return (instant - EPOCH) // timedelta(milliseconds=1)


# -- declaring -----------------------------------------------------------------------------------------------


def parse_cron(expression: object, *, timezone: object = None, days: object = None, where: str = "") -> Cron:
    """A cron expression as it was declared.

    Raises:
      DeclarationError: names the field that is wrong, or says what could be meant.
    """
    if not isinstance(expression, str):
        raise DeclarationError(f"{where}cron is a text of five fields, not {type(expression).__name__}")
    fields = _fields(expression, where)
    for name, text, number in zip(FIELDS, fields, range(5), strict=True):
        _check_field(name, text, number, expression, where)
    zone = parse_zone(timezone, where=where)
    several = fields[2] != "*" and fields[4] != "*"
    if several and days is None:
        raise DeclarationError(
            f"{where}cron {expression!r} gives a day-of-month ({fields[2]}) and a day-of-week ({fields[4]}): cron runs "
            "when either is met, Celery and APScheduler when both are. Say which: days='either' or days='both'"
        )
    if days is not None and not several:
        raise DeclarationError(f"{where}days says how a day-of-month and a day-of-week go together; one of them is *")
    if days is not None:
        choose(str(days), ("both", "either"), field=f"{where}days")
    found = Cron(" ".join(fields), zone, days)  # type: ignore[arg-type]  # one of the two, as was checked
    _check_that_it_fires(found, where)
    return found


def parse_zone(timezone: object, *, where: str = "") -> str:
    """The name of a zone; UTC when none is given.

    Raises:
      DeclarationError: there is no such zone.
    """
    if timezone is None:
        return "UTC"
    name = timezone.key if isinstance(timezone, ZoneInfo) else timezone
    if not isinstance(name, str):
        raise DeclarationError(f"{where}timezone is the name of a zone, as 'Europe/Berlin', not {timezone!r}")
    try:
        ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        hint = did_you_mean(name, available_timezones())
        raise DeclarationError(f"{where}timezone {name!r} is not known{hint}") from None
    return name


def _fields(expression: str, where: str) -> list[str]:
    text = expression.strip()
    if text.startswith("@"):
        known = NICKNAMES.get(text.lower())
        hint = f"write {known!r}" if known else f"there are five fields: {', '.join(FIELDS)}"
        raise DeclarationError(f"{where}cron {expression!r} is a nickname; {hint}")
    fields = text.upper().split()
    if len(fields) == 6:
        raise DeclarationError(
            f"{where}cron {expression!r} has six fields, and programs do not agree what the sixth is (seconds, years); "
            "write five, and every=... for seconds"
        )
    if len(fields) != 5:
        raise DeclarationError(f"{where}cron {expression!r} has {len(fields)} fields, not five: {', '.join(FIELDS)}")
    return fields


def _check_field(name: str, text: str, number: int, expression: str, where: str) -> None:
    said = f"{where}cron {expression!r}: {name} {text!r}"
    if "?" in text:
        raise DeclarationError(f"{said} is Quartz's; write *")
    names = {3: MONTHS, 4: WEEKDAYS}.get(number, ())
    for word in re.findall(r"[A-Z]{2,}", text):
        if word in names or (number == 2 and word == "LW"):
            continue
        hint = did_you_mean(word, names) if names else "; only months and weekdays have names"
        if names and (full := next((short for short in names if word.startswith(short)), None)):
            hint = f"; did you mean {full!r}?"
        raise DeclarationError(f"{said} is not right: {word!r} is not a name here{hint}")
    if alone := re.search(r"(?:^|,)(\w+)/(\w+)", text):
        raise DeclarationError(
            f"{said} is not right: programs do not agree what {alone[0].strip(',')!r} is; write "
            f"'{alone[1]}-{BOUNDS[number][1]}/{alone[2]}' for a step that begins at {alone[1]}"
        )
    try:
        CronSim(" ".join(text if place == number else "*" for place in range(5)), datetime(2026, 1, 1))
    except (CronSimError, AssertionError):
        raise DeclarationError(f"{said} is not right: {_why(text, number, names)}") from None


def _why(text: str, number: int, names: tuple[str, ...]) -> str:
    low, high = BOUNDS[number]
    for part in text.split(","):
        whole, _, step = part.partition("/")
        if "/" in part and (not step.isdecimal() or int(step) == 0):
            return f"{step!r} is not a step; write a whole number from 1 after the /"
        ends = [_number(end, names) for end in whole.split("-")] if whole != "*" else []
        if any(end is not None and not low <= end <= high for end in ends):
            return f"{whole!r} is not within {low} to {high}"
        if len(ends) == 2 and None not in ends and ends[0] > ends[1]:  # type: ignore[operator]
            return f"{whole!r} goes backwards; write its parts with a comma: {_turned(ends, low, high, number)}"
    return f"write *, a number from {low} to {high}, a list (1,2), a range (1-5) or a step (*/2)"


def _number(text: str, names: tuple[str, ...]) -> int | None:
    if text in names:
        return names.index(text) + (1 if names is MONTHS else 0)
    return int(text) if text.isdecimal() else None


def _turned(ends: list[int | None], low: int, high: int, number: int) -> str:
    first, last = ends
    return f"'{first}-{6 if number == 4 else high},{low}-{last}'"


def _check_that_it_fires(cron: Cron, where: str) -> None:
    try:
        start = datetime(2026, 1, 1)
        found = next(cron._walls(start), None)
    except (CronSimError, AssertionError):
        found = None
    if found is None or found.year > 2026 + YEARS:
        raise DeclarationError(f"{where}cron {cron.expression!r} never fires: there is no such day")
