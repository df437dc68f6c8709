"""Exceptions that say when to come back."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from email.message import Message
from email.utils import format_datetime
from types import SimpleNamespace
from typing import Any
from urllib.error import HTTPError

import pytest
from freezegun.api import FrozenDateTimeFactory
from hypothesis import given
from hypothesis import strategies as st

from understudy import clock
from understudy.retry_after import told_wait


class Busy(Exception):
    def __init__(self, **said: Any) -> None:
        vars(self).update(said)


def response(**headers: str) -> Any:
    return SimpleNamespace(headers={name.replace("_", "-"): value for name, value in headers.items()})


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (Busy(retry_after=30), 30),
        (Busy(retry_after=0.5), 0.5),
        (Busy(retry_after=timedelta(minutes=2)), 120),
        (Busy(retry_after="7"), 7),
        (Busy(retry_after=-3), 0),
        (Busy(response=response(Retry_After="12")), 12),
        (Busy(response=response(retry_after=" 12 ")), 12),
        (Busy(headers={"Retry-After": b"9"}), 9),
        (Busy(retry_after=1, response=response(Retry_After="12")), 1),
        (Busy(retry_after=None, response=response(Retry_After="12")), 12),
    ],
)
def test_what_is_said_is_read(error: Exception, seconds: float) -> None:
    assert told_wait(error) == seconds


def test_a_date_is_counted_from_now(freezer: FrozenDateTimeFactory) -> None:
    later = datetime.fromtimestamp(clock.now(), UTC) + timedelta(seconds=90)
    assert told_wait(Busy(retry_after=later)) == 90
    assert told_wait(Busy(response=response(Retry_After=format_datetime(later, usegmt=True)))) == 90
    assert told_wait(Busy(retry_after=later - timedelta(hours=1))) == 0


def test_the_header_of_a_real_client_is_read() -> None:
    headers = Message()
    headers["retry-after"] = "17"
    assert told_wait(HTTPError("http://x", 429, "slow down", headers, None)) == 17


def test_of_a_group_the_longest_wait_counts() -> None:
    group = ExceptionGroup("a", [Busy(retry_after=5), ValueError(), ExceptionGroup("b", [Busy(retry_after=9)])])
    assert told_wait(group) == 9
    assert told_wait(ExceptionGroup("a", [ValueError()])) is None


def test_a_cause_is_asked_where_the_exception_says_nothing() -> None:
    error = ValueError("wrapped")
    error.__cause__ = Busy(retry_after=5)
    assert told_wait(error) == 5
    loop = ValueError()
    loop.__cause__ = loop
    assert told_wait(loop) is None


class Resists(Exception):
    @property
    def retry_after(self) -> float:
        raise RuntimeError


@pytest.mark.parametrize(
    "error",
    [
        ValueError("no"),
        Resists(),
        Busy(retry_after=True),
        Busy(retry_after=math.inf),
        Busy(retry_after=math.nan),
        Busy(retry_after=datetime(2030, 1, 1)),
        Busy(retry_after=object()),
        Busy(headers=3),
        Busy(response=response(Retry_After="soon")),
    ],
)
def test_what_cannot_be_read_says_nothing(error: Exception) -> None:
    assert told_wait(error) is None


@given(st.text() | st.binary() | st.floats() | st.integers() | st.timedeltas() | st.datetimes() | st.none())
def test_whatever_comes_from_outside_is_a_wait_or_nothing(value: object) -> None:
    for error in (Busy(retry_after=value), Busy(response=SimpleNamespace(headers={"Retry-After": value}))):
        found = told_wait(error)
        assert found is None or (0 <= found < math.inf)
