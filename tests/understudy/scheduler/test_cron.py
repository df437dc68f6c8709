"""Cron expressions: what they mean, on every day of whole years in several zones, and what is refused."""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.depth import depth
from understudy.errors import DeclarationError
from understudy.scheduler.cron import Cron, parse_cron, parse_zone

from .walks import Rule, rule, walk

ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu")


def millis(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def ticks(cron: Cron, start: datetime, end: datetime) -> Iterator[int]:
    tick = cron.after(millis(start) - 1)
    while tick is not None and tick < millis(end):
        yield tick
        tick = cron.after(tick)


def local(cron: Cron, *moments: int | None) -> list[str]:
    zone = ZoneInfo(cron.timezone)
    return [datetime.fromtimestamp((moment or 0) / 1000, zone).isoformat() for moment in moments]


def coming(cron: Cron, after: str, count: int) -> list[str]:
    found: list[int | None] = []
    tick: int | None = millis(datetime.fromisoformat(after))
    for _ in range(count):
        tick = cron.after(tick or 0)
        found.append(tick)
    return local(cron, *found)


def last_day(day: date) -> bool:
    return day.day == calendar.monthrange(day.year, day.month)[1]


#: Expressions and, by hand, what they mean. Sunday is 6 in Python.
YEARLY: dict[str, Rule] = {
    "30 2 * * *": rule([30], [2], rhythm=False),
    "30 1 * * *": rule([30], [1], rhythm=False),
    "0 0 * * *": rule([0], [0], rhythm=False),
    "0,15,30,45 1-3 * * *": rule(range(0, 60, 15), [1, 2, 3], rhythm=False),
    "59 23 L * *": rule([59], [23], last_day, rhythm=False),
    "0 12 29 2 *": rule([0], [12], lambda day: (day.month, day.day) == (2, 29), rhythm=False),
    "0 2 31 * *": rule([0], [2], lambda day: day.day == 31, rhythm=False),
    "45 1 * * SUN": rule([45], [1], lambda day: day.weekday() == 6, rhythm=False),
    "0 3 * * 7": rule([0], [3], lambda day: day.weekday() == 6, rhythm=False),
    "0 3 * * 0": rule([0], [3], lambda day: day.weekday() == 6, rhythm=False),
    "15 2 * MAR,OCT 1-5": rule([15], [2], lambda day: day.month in (3, 10) and day.weekday() < 5, rhythm=False),
    "0 * * * *": rule([0], rhythm=True),
    "*/20 2 * * *": rule(range(0, 60, 20), [2], rhythm=True),
    "10 */6 * * *": rule([10], range(0, 24, 6), rhythm=True),
}


@pytest.mark.deep
@pytest.mark.parametrize("zone", depth(ZONES[::2], ZONES))
@pytest.mark.parametrize("expression", YEARLY)
def test_whole_years_are_as_a_clock_that_is_watched_minute_by_minute(expression: str, zone: str) -> None:
    cron = parse_cron(expression, timezone=zone)
    leap = (2028,) if zone == ZONES[0] and ("29" in expression or "L" in expression) else ()
    for year in (2026, *leap):
        found = list(ticks(cron, datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC)))
        assert found == walk(zone, year).fires(YEARLY[expression])


@pytest.mark.parametrize("zone", ZONES[:3])
def test_every_minute_around_the_changes_of_the_clocks_is_as_watched(zone: str) -> None:
    cron, watched = parse_cron("* * * * *", timezone=zone), walk(zone, 2026)
    assert len(watched.changes) == 2
    for minute in watched.changes:
        middle = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)
        start, end = middle - timedelta(hours=3), middle + timedelta(hours=3)
        days = {(middle + timedelta(days=more)).date() for more in (-1, 0, 1)}
        always = watched.fires(rule(day=days.__contains__, rhythm=True))
        expected = [fire for fire in always if millis(start) <= fire < millis(end)]
        assert len(expected) == 360
        assert list(ticks(cron, start, end)) == expected


def test_a_time_of_day_that_is_skipped_comes_as_much_later_as_in_celery() -> None:
    new_york = parse_cron("30 2 * * *", timezone="America/New_York")
    assert coming(new_york, "2026-03-07T12:00:00-05:00", 2) == [
        "2026-03-08T03:30:00-04:00",
        "2026-03-09T02:30:00-04:00",
    ]
    lord_howe = parse_cron("15 2 * * *", timezone="Australia/Lord_Howe")  # the clocks go from 2:00 to 2:30 there
    assert coming(lord_howe, "2026-10-03T12:00:00+10:30", 1) == ["2026-10-04T02:45:00+11:00"]


def test_a_time_of_day_that_comes_twice_fires_the_first_time_as_in_celery() -> None:
    new_york = parse_cron("30 1 * * *", timezone="America/New_York")
    assert coming(new_york, "2026-10-31T12:00:00-04:00", 2) == [
        "2026-11-01T01:30:00-04:00",
        "2026-11-02T01:30:00-05:00",
    ]


def test_midnight_is_not_lost_where_the_clocks_are_put_forward_at_midnight() -> None:
    cairo = parse_cron("0 0 * * *", timezone="Africa/Cairo")
    assert coming(cairo, "2026-04-23T12:00:00+02:00", 2) == ["2026-04-24T01:00:00+03:00", "2026-04-25T00:00:00+03:00"]


def test_times_of_day_that_fall_together_are_one_tick_and_stay_in_order() -> None:
    found = coming(parse_cron("0,30 2,3 * * *", timezone="Europe/Berlin"), "2026-03-28T12:00:00+01:00", 3)
    assert found == ["2026-03-29T03:00:00+02:00", "2026-03-29T03:30:00+02:00", "2026-03-30T02:00:00+02:00"]


def test_a_day_that_a_zone_left_out_comes_the_day_after() -> None:
    apia = parse_cron("0 12 30 12 *", timezone="Pacific/Apia")  # in 2011 there was no 30 December
    assert coming(apia, "2011-12-01T00:00:00-10:00", 1) == ["2011-12-31T12:00:00+14:00"]


def test_a_day_of_the_month_and_a_weekday_go_together_as_was_said() -> None:
    both = parse_cron("0 9 13 * FRI", days="both")
    assert [day[:10] for day in coming(both, "2026-01-01T00:00:00+00:00", 3)] == [
        "2026-02-13",
        "2026-03-13",
        "2026-11-13",
    ]
    either = parse_cron("0 9 13 * FRI", days="either")
    found = [day[8:10] for day in coming(either, "2026-05-01T00:00:00+00:00", 6)]
    assert found == ["01", "08", "13", "15", "22", "29"]
    stars = parse_cron("0 9 */10 * MON", days="either")  # cron itself would take the * for "both"
    assert [day[8:10] for day in coming(stars, "2026-05-02T00:00:00+00:00", 4)] == ["04", "11", "18", "21"]


def test_month_ends_leap_days_and_nth_weekdays() -> None:
    assert coming(parse_cron("0 0 29 FEB *"), "2026-01-01T00:00:00+00:00", 2) == [
        "2028-02-29T00:00:00+00:00",
        "2032-02-29T00:00:00+00:00",
    ]
    assert [day[5:10] for day in coming(parse_cron("0 0 L * *"), "2028-01-01T00:00:00+00:00", 3)] == [
        "01-31",
        "02-29",
        "03-31",
    ]
    assert coming(parse_cron("0 0 * * FRI#2"), "2026-05-01T00:00:00+00:00", 1) == ["2026-05-08T00:00:00+00:00"]
    assert coming(parse_cron("0 0 * * 5L"), "2026-05-01T00:00:00+00:00", 1) == ["2026-05-29T00:00:00+00:00"]
    assert coming(parse_cron("0 0 29 2 *"), "2096-03-01T00:00:00+00:00", 1) == ["2104-02-29T00:00:00+00:00"]


# -- whatever the expression ---------------------------------------------------------------------------------


def field(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    several = st.lists(number, min_size=1, max_size=3, unique=True).map(lambda found: ",".join(map(str, found)))
    step = st.integers(1, high).map(lambda by: f"*/{by}")
    return st.one_of(st.just("*"), several, step)


CRONS = st.builds(
    lambda minute, hour, zone: Cron(f"{minute} {hour} * * *", zone), field(0, 59), field(0, 23), st.sampled_from(ZONES)
)
#: Near the changes of the clocks of 2026, and far from them.
MOMENTS = st.one_of(
    *(
        st.integers(millis(day - timedelta(hours=30)), millis(day + timedelta(hours=30)))
        for day in (datetime(2026, *day, tzinfo=UTC) for day in [(3, 8), (3, 29), (4, 5), (10, 4), (10, 25), (11, 1)])
    ),
    st.integers(millis(datetime(2026, 1, 1, tzinfo=UTC)), millis(datetime(2026, 12, 1, tzinfo=UTC))),
)


@settings(max_examples=150, deadline=None)
@given(CRONS, MOMENTS)
def test_ticks_only_grow_and_do_not_depend_on_where_one_looks_from(cron: Cron, moment: int) -> None:
    found = [moment]
    for _ in range(8):
        tick = cron.after(found[-1])
        assert tick is not None
        found.append(tick)
    assert all(before < after for before, after in pairwise(found))  # none twice
    for before, after in pairwise(found):
        for inside in (before, (before + after) // 2, after - 1):
            assert cron.after(inside) == after  # none between them


@settings(max_examples=100, deadline=None)
@given(CRONS, MOMENTS, st.integers(0, 200_000_000), st.integers(1, 5))
def test_what_is_due_up_to_now_is_what_following_the_ticks_finds(cron: Cron, after: int, span: int, most: int) -> None:
    now = after + span // 20
    expected, tick = [], cron.after(after)
    while tick is not None and tick <= now:
        expected.append(tick)
        tick = cron.after(tick)
    assert cron.upto(now, after, 0, most) == expected[-most:]


def test_years_of_ticks_that_nobody_saw_cost_no_more_than_the_last_of_them() -> None:
    cron = parse_cron("* * * * *", timezone="Europe/Berlin")
    now = millis(datetime(2026, 7, 1, tzinfo=UTC))
    assert cron.upto(now, 0, 0, 3) == [now - 120_000, now - 60_000, now]


# -- what is refused -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("61 * * * *", "minute '61' is not right: '61' is not within 0 to 59"),
        ("* 24 * * *", "hour '24' is not right: '24' is not within 0 to 23"),
        ("* * 0 * *", "day-of-month '0' is not right: '0' is not within 1 to 31"),
        ("* * * 13 *", "month '13' is not right"),
        ("* * * * 8", "day-of-week '8' is not right: '8' is not within 0 to 7"),
        ("* * * FBE *", "month 'FBE' is not right: 'FBE' is not a name here; did you mean 'FEB'"),
        ("* * * * MONDAY", "did you mean 'MON'"),
        ("* * * * FRI-MON", "goes backwards; write its parts with a comma: '5-6,0-1'"),
        ("MON * * * *", "only months and weekdays have names"),
        ("*/0 * * * *", "'0' is not a step"),
        ("5/15 * * * *", "programs do not agree what '5/15' is; write '5-59/15'"),
        ("0 0 ? * MON", "day-of-month '?' is Quartz's; write *"),
        ("a * * * *", "minute 'A' is not right: write *, a number"),
        ("* * * *", "has 4 fields, not five: minute, hour, day-of-month, month, day-of-week"),
        ("0 * * * * *", "six fields, and programs do not agree what the sixth is"),
        ("@daily", "is a nickname; write '0 0 * * *'"),
        ("@reboot", "is a nickname; there are five fields"),
        ("0 9 13 * FRI", "cron runs when either is met, Celery and APScheduler when both are"),
        ("0 0 30 2 *", "never fires: there is no such day"),
        ("0 0 31 2,4,6 *", "never fires"),
    ],
)
def test_what_is_wrong_or_could_be_read_in_two_ways_is_refused_with_its_field(expression: str, says: str) -> None:
    with pytest.raises(DeclarationError, match=re.escape(says)):
        parse_cron(expression)


def test_a_cron_that_is_no_text_a_zone_that_is_none_and_days_without_need_are_refused() -> None:
    with pytest.raises(DeclarationError, match="cron is a text of five fields, not int"):
        parse_cron(5)
    with pytest.raises(DeclarationError, match="'Europe/Berln' is not known; did you mean 'Europe/Berlin'"):
        parse_cron("0 0 * * *", timezone="Europe/Berln")
    with pytest.raises(DeclarationError, match="timezone is the name of a zone"):
        parse_zone(3)
    with pytest.raises(DeclarationError, match="days says how a day-of-month and a day-of-week go together"):
        parse_cron("0 0 13 * *", days="both")
    with pytest.raises(DeclarationError, match="days is one of both, either, not 'bth'; did you mean 'both'"):
        parse_cron("0 0 13 * 5", days="bth")


def test_both_days_that_never_meet_never_fire() -> None:
    with pytest.raises(DeclarationError, match="never fires"):
        parse_cron("0 0 30 2 FRI", days="both")
    assert coming(parse_cron("0 0 29 2 MON", days="both"), "2026-01-01T00:00:00+00:00", 1) == [
        "2044-02-29T00:00:00+00:00"
    ]


def test_a_zone_may_be_given_as_what_python_has_for_it() -> None:
    assert parse_cron("0 0 * * *", timezone=ZoneInfo("Asia/Tokyo")).timezone == "Asia/Tokyo"
    assert str(parse_cron("0 9 13 * fri", timezone="Asia/Tokyo", days="both")) == (
        "0 9 13 * FRI, the day of the month and the weekday (Asia/Tokyo)"
    )
