"""Events: recorded, rolled up, late ones too, and made anew."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

from tasks.adapters.database import open_database
from tasks.adapters.events import SECONDS, TOP, RollUp, roll_ups
from tasks.analytics_tasks import recompute_roll_ups, record_events, roll_up_events
from tests.matrix.sizes.figures import Figure
from tests.matrix.sizes.runs import Done, Run
from tests.matrix.sizes.scenes import scene
from understudy import clock
from understudy.runtime import installed
from understudy.scheduler.jobs import jobs_of

DAYS, NAMES, SUBJECTS = 30, 20, 5_000
#: Events of a message.
BATCH = 5_000


class _Happened:
    """Events of the last month but a few days, the same in every run but for their date."""

    def __init__(self, count: int) -> None:
        now = clock.utc(clock.now())
        self.start = now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=DAYS + 5)
        self.end = self.start + timedelta(days=DAYS)
        self.count = count

    def event(self, number: int) -> dict[str, Any]:
        mixed = number * 2_654_435_761 % 2**32
        return {
            "id": f"event {number}",
            "name": f"name {mixed % NAMES}",
            "occurred_at": self.start + (self.end - self.start) * (mixed / 2**32),
            "value": mixed % 10_007 / 7,
            "subject": f"subject {math.isqrt(mixed) % SUBJECTS}",
        }

    def batches(self, numbers: range) -> Iterator[list[dict[str, Any]]]:
        for first in numbers[::BATCH]:
            yield [self.event(number) for number in range(first, min(first + BATCH, numbers.stop))]


@scene(record_events, roll_up_events, recompute_roll_ups)
def events(run: Run) -> Iterator[Figure]:
    """What is counted is what happened."""
    happened = _Happened(run.of(1_000_000, 3_000))
    late = range(happened.count, happened.count + happened.count // 100)
    yield _recorded(run, happened, range(happened.count), "events of 30 days")
    yield _rolled_up(_tick(run), happened.count, "hours and days with {:,} events")
    _check(happened, happened.count)
    yield _recorded(run, happened, late, "events that come late")
    yield _rolled_up(_tick(run), len(late), "hours and days anew, for {:,} late events", total=late.stop)
    _check(happened, late.stop)
    before = _all(happened)
    done = run.work(recompute_roll_ups.message(span, happened.start, happened.end) for span in SECONDS)
    assert _all(happened) == before, "made anew they are not the same"
    on = f"{sum(result['periods'] for result in done.results):,} hours and days with {late.stop:,} events"
    yield done.figure("recompute_roll_ups", on, late.stop, "events", "the same as before")


def _recorded(run: Run, happened: _Happened, numbers: range, what: str) -> Figure:
    done = run.work(record_events.message(batch) for batch in happened.batches(numbers))
    assert sum(result["recorded"] for result in done.results) == len(numbers)
    assert run.house.ask("SELECT COUNT(*) FROM understudy_events") == numbers.stop
    on = f"{len(numbers):,} {what}, {BATCH:,} in a message"
    return done.figure("record_events", on, len(numbers), "events", "each is there, once")


def _tick(run: Run) -> Done:
    return run.work([jobs_of(installed())["roll_up_events"].message(int(clock.now() * 1000))])


def _rolled_up(done: Done, count: int, on: str, *, total: int | None = None) -> Figure:
    (result,) = done.results
    assert result["periods"] > 0
    told = f"{result['periods']:,} " + on.format(count) + ", as a tick"
    checked = "counts and sums of all; percentiles and the top of a day"
    return done.figure("roll_up_events", told, total or count, "events", checked)


def _all(happened: _Happened) -> list[RollUp]:
    start, end = happened.start.timestamp(), happened.end.timestamp()
    return [found for span in SECONDS for found in roll_ups(open_database(), span, start=start, end=end)]


def _check(happened: _Happened, count: int) -> None:
    """Compare with what is counted here, without a database."""
    everything = _all(happened)
    names, totals = Counter[str](), Counter[str]()
    first: dict[datetime, list[dict[str, Any]]] = {}
    for event in map(happened.event, range(count)):
        names[event["name"]] += 1
        totals[event["name"]] += event["value"]
        if event["occurred_at"] < happened.start + timedelta(days=1) and event["name"] == "name 3":
            first.setdefault(happened.start, []).append(event)
    for span in SECONDS:
        found = [one for one in everything if one.period.span == span]
        assert _summed((one.name, one.events) for one in found) == names
        for name, total in _summed((one.name, one.total or 0.0) for one in found).items():
            assert math.isclose(total, totals[name], rel_tol=1e-9)
    day = happened.start.timestamp()
    (one,) = (o for o in everything if (o.period.span, o.period.starts_at, o.name) == ("day", day, "name 3"))
    values = sorted(event["value"] for event in first[happened.start])
    ranks = [values[math.ceil(len(values) * percent / 100) - 1] for percent in (50, 90, 99)]
    assert [one.p50, one.p90, one.p99] == ranks
    subjects = Counter(event["subject"] for event in first[happened.start])
    assert list(one.top) == sorted(subjects.items(), key=lambda pair: (-pair[1], pair[0]))[:TOP]


def _summed(pairs: Iterable[tuple[str, float]]) -> Counter[str]:
    found: Counter[str] = Counter()
    for name, number in pairs:
        found[name] += number  # type: ignore[assignment]  # sums of floats are counted as well
    return found
