"""Durations as users write them."""

import math
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.durations import to_millis, to_seconds
from understudy.errors import DeclarationError


@pytest.mark.parametrize(
    ("value", "seconds"), [(2, 2.0), (0.5, 0.5), (timedelta(minutes=1), 60.0), (timedelta(microseconds=1), 1e-6)]
)
def test_a_timedelta_and_a_number_of_seconds_are_durations(value: Any, seconds: float) -> None:
    assert to_seconds(value, field="wait") == seconds


@pytest.mark.parametrize(
    "value", ["1", None, True, [1], math.nan, math.inf, -math.inf, -1, 0, timedelta(seconds=-1), 10**400]
)
def test_anything_else_is_refused_by_the_name_of_the_field(value: Any) -> None:
    with pytest.raises(DeclarationError, match="wait"):
        to_seconds(value, field="wait")


def test_zero_is_allowed_where_it_means_something() -> None:
    assert to_seconds(0, field="wait", allow_zero=True) == 0
    with pytest.raises(DeclarationError, match="zero or more"):
        to_seconds(-1, field="wait", allow_zero=True)


@pytest.mark.parametrize(
    ("seconds", "millis"), [(0, 0), (1.1, 1100), (0.29, 290), (0.0001, 1), (1e-9, 1), (1.0005, 1001)]
)
def test_milliseconds_are_rounded_up(seconds: float, millis: int) -> None:
    assert to_millis(seconds) == millis


@given(st.floats(0, 1e9))
def test_no_wait_is_shorter_than_was_asked(seconds: float) -> None:
    assert to_millis(seconds) >= seconds * 1000 - 0.001
    assert to_millis(seconds) <= seconds * 1000 + 1
