"""What is made of ticks that nobody saw."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy import actor
from understudy.brokers.redis import RedisBroker
from understudy.scheduler.catchup import MOST, ON_TIME, Due, due, next_due
from understudy.scheduler.every import Every
from understudy.scheduler.jobs import Job

Make = Callable[..., Job]


class _NoActor:
    actor_name = "nobody"


def job(**options: Any) -> Job:
    """Ticks at 10, 20, 30 ... seconds after the epoch, which is 0."""
    return Job(name="job", actor=_NoActor(), ticks=Every(10_000), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, Due((40_000,), 3, 40_000)),
        ({"catch_up": "all"}, Due((10_000, 20_000, 30_000, 40_000), 0, 40_000)),
        ({"catch_up": "all", "window": 15_000}, Due((30_000, 40_000), 2, 40_000)),
        ({"catch_up": "none"}, Due((40_000,), 3, 40_000)),  # within the ten seconds that count as on time
        ({"catch_up": "none", "window": 1_000}, Due((), 4, 40_000)),
        ({"window": 4_000}, Due((), 4, 40_000)),
        ({"window": 5_000}, Due((40_000,), 3, 40_000)),
    ],
)
def test_each_policy_makes_up_for_what_it_says(options: dict[str, Any], expected: Due) -> None:
    assert due(job(**options), after=0, epoch=0, now=45_000) == expected


def test_before_its_time_nothing_is_due() -> None:
    assert due(job(), after=0, epoch=0, now=9_999) == Due()
    assert due(job(), after=0, epoch=0, now=10_000) == Due((10_000,), 0, 10_000)
    assert due(job(), after=10_000, epoch=0, now=10_000) == Due()


def test_what_nobody_saw_for_years_is_bounded_and_in_order() -> None:
    found = due(job(catch_up="all"), after=0, epoch=0, now=10**12)
    assert len(found.send) == MOST
    assert list(found.send) == sorted(found.send)
    assert found.send[-1] == found.passed == 10**12


def test_without_catch_up_a_tick_that_waits_for_a_new_leader_is_on_time() -> None:
    late = job(catch_up="none")
    assert due(late, after=0, epoch=0, now=10_000 + ON_TIME).send == (10_000, 20_000)
    assert due(late, after=0, epoch=0, now=15_000 + ON_TIME).send == (20_000,)


@given(st.integers(0, 10**6), st.integers(1, 9_999))
def test_jitter_puts_off_each_tick_by_the_same_in_every_process_and_none_overtakes(start: int, jitter: int) -> None:
    one, other = job(jitter=jitter, catch_up="all"), job(jitter=jitter, catch_up="all")
    fire, ready = next_due(one, after=start, epoch=0) or (0, 0)
    assert (fire, ready) == next_due(other, after=start, epoch=0)
    assert fire <= ready < fire + jitter
    assert due(one, after=start, epoch=0, now=ready - 1).send == ()
    assert due(one, after=start, epoch=0, now=ready).send == (fire,)


def test_jitter_spreads() -> None:
    spread = job(jitter=9_000)
    assert len({spread.put_off(fire) for fire in range(0, 1_000_000, 10_000)}) > 90


def test_the_kit_is_not_needed_for_any_of_this(broker: RedisBroker) -> None:
    @actor
    def real() -> None: ...

    assert due(Job("real", real, Every(1_000)), after=0, epoch=0, now=1_000).send == (1_000,)
