from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy import serialization
from understudy.bar import SPAN, Bar, Pace, encoded, seconds_left
from understudy.errors import SerializationError


def test_what_is_not_given_is_left_out() -> None:
    bar = Bar()
    assert bar.update(None, None, {}) == {}
    assert bar.update(1, None, {"doing": "this"}) == {"current": 1, "doing": "this"}
    assert bar.update(None, 5, {}) == {"total": 5}


def test_the_bar_does_not_go_back() -> None:
    bar = Bar()
    bar.update(5, 10, {})
    assert bar.update(3, 10, {"doing": "that"}) == {"current": 5, "total": 10, "doing": "that"}
    assert bar.update(6, 10, {}) == {"current": 6, "total": 10}


def test_another_total_or_0_begins_anew() -> None:
    bar = Bar()
    bar.update(5, 10, {})
    assert bar.update(3, 20, {})["current"] == 3
    assert bar.update(0, 20, {})["current"] == 0
    assert bar.update(1, 20, {})["current"] == 1


@given(st.lists(st.integers(1, 100), min_size=1))
def test_what_is_shown_is_the_most_that_was_said(said: list[int]) -> None:
    bar = Bar()
    assert [bar.update(n, 100, {})["current"] for n in said] == [max(said[: at + 1]) for at in range(len(said))]


def test_advancing_keeps_the_rest() -> None:
    bar = Bar()
    bar.update(5, 10, {"doing": "this"})
    assert bar.advance(2) == {"current": 7, "total": 10, "doing": "this"}
    assert Bar().advance(1) == {"current": 1}


def test_a_bar_goes_on_from_what_was_shown_unless_it_said_something() -> None:
    assert Bar().says_nothing
    bar = Bar()
    bar.go_on_from({"current": 5, "total": 10, "doing": "this"})
    assert not bar.says_nothing
    assert bar.advance(1) == {"current": 6, "total": 10}
    bar.go_on_from({"current": 1})
    assert bar.advance(1) == {"current": 7, "total": 10}


@pytest.mark.parametrize("shown", [{}, {"current": "five", "total": None}])
def test_a_bar_that_finds_no_numbers_begins_at_0(shown: dict[str, object]) -> None:
    bar = Bar()
    bar.go_on_from(shown)
    assert bar.advance(1) == {"current": 1}


def test_what_cannot_travel_is_named() -> None:
    with pytest.raises(SerializationError, match=r"progress.*doing"):
        encoded({"doing": object()})


def test_the_rate_is_that_of_the_last_seconds() -> None:
    pace = Pace()
    assert pace.at(100.0, 50) is None, "nothing is known of what came before"
    assert pace.at(101.0, 60) == 10
    assert pace.at(102.0, 90) == 20
    for second in range(3, 60):
        rate = pace.at(100.0 + second, 90 + 5 * (second - 2))
    assert rate == 5, "how fast it was at the beginning does not count any more"


def test_a_rate_is_measured_over_enough_time() -> None:
    pace = Pace()
    pace.at(0.0, 0)
    pace.at(SPAN, 100)
    pace.at(SPAN + 0.001, 100)
    assert pace.at(SPAN + 0.002, 101) == pytest.approx(101 / (SPAN + 0.002))


def test_a_bar_that_began_anew_has_a_new_rate() -> None:
    pace = Pace()
    pace.at(0.0, 0)
    pace.at(1.0, 100)
    assert pace.at(2.0, 0) is None
    assert pace.at(4.0, 10) == 5


@pytest.mark.parametrize("current", [None, "five"])
def test_what_is_no_number_has_no_rate(current: object) -> None:
    assert Pace().at(1.0, current) is None


def test_two_reports_in_the_same_moment_have_no_rate() -> None:
    pace = Pace()
    pace.at(1.0, 0)
    assert pace.at(1.0, 5) is None


@pytest.mark.parametrize(
    ("info", "rate", "left"),
    [
        ({"current": 4, "total": 10}, 2.0, 3.0),
        ({"current": 12, "total": 10}, 2.0, 0.0),
        ({"current": 4}, 2.0, None),
        ({"current": 4, "total": 10}, 0.0, None),
        ({"current": 4, "total": 10}, None, None),
        ({"current": "x", "total": 10}, 1.0, None),
        (None, 1.0, None),
    ],
)
def test_the_time_that_is_left(info: object, rate: float | None, left: float | None) -> None:
    assert seconds_left(info, rate) == left


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"current": 1, "total": 10**6},
        {"current": -1},
        {"current": True},
        {"current": 1.5},
        {"current": 2**63, "total": 2**70},
        {"$": 1},
        {"current": 1, "doing": "this"},
    ],
)
def test_two_numbers_are_written_as_everything_is(said: dict[str, object]) -> None:
    assert encoded(said) == serialization.dumps(said)


def test_what_one_bar_was_told_is_not_known_to_another() -> None:
    bar = Bar()
    bar.update(1, 2, {"doing": "this"})
    bar.advance(1)
    assert Bar().says_nothing
    assert Bar().advance(1) == {"current": 1}
