"""Ticks at equal distances."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.errors import DeclarationError
from understudy.scheduler.every import Every, parse_every

MOMENTS = st.integers(-(10**6), 10**6)


@given(st.integers(1, 10_000), MOMENTS, MOMENTS)
def test_the_next_tick_is_the_first_multiple_after_a_moment_and_the_epoch(
    interval: int, moment: int, epoch: int
) -> None:
    tick = Every(interval).after(moment, epoch)
    assert tick is not None
    assert (tick - epoch) % interval == 0
    assert tick > max(moment, epoch)
    assert tick - interval <= max(moment, epoch)


@given(st.integers(1, 5_000), MOMENTS, st.integers(0, 50_000), MOMENTS, st.integers(1, 20))
def test_what_is_due_is_what_following_the_ticks_finds(
    interval: int, after: int, span: int, epoch: int, most: int
) -> None:
    every, expected = Every(interval), []
    tick = every.after(after, epoch)
    while tick is not None and tick <= after + span:
        expected.append(tick)
        tick = every.after(tick, epoch)
    assert every.upto(after + span, after, epoch, most) == expected[-most:]


def test_a_new_job_waits_for_one_whole_interval() -> None:
    assert Every(10_000).after(3_000, epoch=3_000) == 13_000


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (0, "every must be more than zero"),
        ("5m", "every is a timedelta or a number of seconds, not str"),
        (0.05, "the shortest is 0.1 s"),
        (1 / 3, "not a whole number of milliseconds"),
    ],
)
def test_what_is_no_interval_is_refused(value: object, says: str) -> None:
    with pytest.raises(DeclarationError, match=f"job x: {says}|{says}"):
        parse_every(value, where="job x: ")  # type: ignore[arg-type]  # on purpose


def test_intervals_are_timedeltas_or_seconds() -> None:
    assert parse_every(timedelta(minutes=1), where="") == parse_every(60, where="") == Every(60_000)
    assert str(Every(1_500)) == "every 1.5 s"
