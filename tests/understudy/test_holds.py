"""What it means to hold a message."""

from __future__ import annotations

import dataclasses

import pytest

from understudy.holds import GROUP, MAX_DEATHS, MOST_DEATHS, Hold, counts


def test_a_message_that_was_held_by_a_worker_that_died_is_suspect() -> None:
    first = Hold("s", "1-1", "q/2/1-1")
    assert not first.suspect
    assert Hold("s", "2-1", "q/2/2-1", deaths=0, worker="w1").suspect


def test_a_hold_is_a_fact_that_nobody_changes() -> None:
    hold = Hold("s", "1-1", "q/2/1-1")
    with pytest.raises(dataclasses.FrozenInstanceError):
        hold.entry = "2-1"  # type: ignore[misc]
    assert hold == Hold("s", "1-1", "q/2/1-1")


def test_the_group_has_one_name() -> None:
    assert GROUP == "workers"


def test_deaths_are_counted_since_the_body_finished_an_item_and_in_all() -> None:
    hold = Hold("s", "1-1", "q/2/1-1")
    assert hold.counted == "0"
    for deaths in (1, 2):
        hold = hold.after_death("w")
        assert (hold.deaths, hold.in_all, hold.counted) == (deaths, deaths, str(deaths))
    assert hold.must_be_alone
    assert not hold.is_poison
    came_on = hold.after_death("w2", came_on=True)
    assert (came_on.deaths, came_on.in_all, came_on.counted, came_on.worker) == (1, 3, "1/3", "w2")
    assert not came_on.must_be_alone
    assert hold.after_death("w").is_poison
    assert hold.after_death("w").deaths == MAX_DEATHS


def test_all_deaths_are_bounded_however_far_a_body_comes_between_them() -> None:
    hold = Hold("s", "1-1", "q/2/1-1")
    for _ in range(MOST_DEATHS - 1):
        assert not hold.must_be_alone
        hold = hold.after_death("w", came_on=True)
    assert hold.must_be_alone
    assert not hold.is_poison
    assert hold.after_death("w", came_on=True).is_poison


@pytest.mark.parametrize(
    ("text", "numbers"), [("", (0, 0)), ("2", (2, 2)), ("1/7", (1, 7)), ("many", (0, 0)), ("1/x", (1, 1))]
)
def test_both_numbers_travel_as_a_text(text: str, numbers: tuple[int, int]) -> None:
    assert counts(text) == numbers
