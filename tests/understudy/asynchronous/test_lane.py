from __future__ import annotations

import threading
from dataclasses import dataclass, field
from queue import Empty
from typing import Any

import pytest

from understudy.asynchronous.lane import Lane, Lines
from understudy.testing.conditions import wait_until


@dataclass
class Message:
    actor_name: str
    options: dict[str, Any]
    on_loop: bool = False


@dataclass
class Item:
    name: str
    options: dict[str, Any] = field(default_factory=dict)
    priority: int = 0
    message: Message = field(init=False)

    def __post_init__(self) -> None:
        self.message = Message(self.name, self.options)


def lines(places: int = 2) -> tuple[Lane, Lines]:
    lane = Lane(places)
    return lane, Lines(lane, {"a"})


def test_messages_of_async_actors_wait_in_a_line_of_their_own() -> None:
    lane, both = lines()
    one, other, large = Item("a"), Item("b"), Item("a", {"memory_limit": 1})
    for item in (one, other, large):
        both.put(item)
    assert [item.message.on_loop for item in (one, other, large)] == [True, False, False]
    assert both.qsize() == 3
    assert both.get(timeout=0) is other
    assert both.get(timeout=0) is large
    with pytest.raises(Empty):
        both.get(timeout=0)
    assert lane.take(0) is one


def test_a_worker_that_stops_empties_both_lines() -> None:
    lane, both = lines()
    items = [Item("a"), Item("b")]
    for item in items:
        both.put(item)
    both.close()
    with pytest.raises(Empty):
        lane.take(0)
    assert [both.get_nowait(), both.get_nowait()] == items[::-1]
    with pytest.raises(Empty):
        both.get_nowait()


def test_no_more_run_than_there_are_places_and_one_that_waits_for_work_takes_none() -> None:
    lane, both = lines(2)
    with pytest.raises(Empty):
        lane.take(0)
    assert (lane.running, lane.full) == (0, False)
    for _ in range(3):
        both.put(Item("a"))
    lane.take(0)
    lane.take(0)
    assert lane.full
    with pytest.raises(Empty):
        lane.take(0.01)
    lane.leave()
    lane.take(0)
    assert lane.running == 2


def test_a_place_that_is_freed_lets_the_next_one_in() -> None:
    lane, both = lines(1)
    both.put(Item("a"))
    both.put(Item("a"))
    lane.take(0)
    taken = threading.Event()

    def take() -> None:
        lane.take(10)
        taken.set()

    thread = threading.Thread(target=take)
    thread.start()
    assert not taken.wait(0.05)
    lane.leave()
    assert taken.wait(10)
    thread.join()


def test_it_is_empty_when_all_have_left() -> None:
    lane, both = lines()
    both.put(Item("a"))
    lane.take(0)
    assert not lane.wait_until_empty(0.01)
    lane.leave()
    assert lane.wait_until_empty(0)


def test_whoever_joins_waits_for_both_lines() -> None:
    lane, both = lines()
    both.put(Item("a"))
    both.put(Item("b"))
    joined = threading.Event()

    def join() -> None:
        both.join()
        joined.set()

    thread = threading.Thread(target=join)
    thread.start()
    both.task_done()
    assert not joined.wait(0.05)
    lane.line.task_done()
    wait_until(joined.is_set)
    thread.join()


def test_a_thread_that_sleeps_beside_its_line_is_woken() -> None:
    lane, both = lines()
    assert not both.waits_for_a_thread
    lane.line.put(Item("a"))
    both.nudge()
    assert lane.take(0).name == "a"
