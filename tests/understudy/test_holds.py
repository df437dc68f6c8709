"""What it means to hold a message."""

from __future__ import annotations

import dataclasses

import pytest

from understudy.holds import GROUP, Hold


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
