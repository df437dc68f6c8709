"""How many messages a process may hold: what was said, else what its bodies' speed makes right."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tests.understudy.brokers.helpers import SOON
from understudy import clock
from understudy.brokers.room import HORIZON, MOST, Room
from understudy.testing.conditions import wait_until


def test_room_is_waited_for_until_a_quarter_of_it_is_free() -> None:
    room = Room()
    for _ in range(20):
        room.add("q")
    found: list[int] = []
    waiter = threading.Thread(target=lambda: found.append(room.wait("q", 20, SOON)))
    waiter.start()
    wait_until(lambda: room._waiting)
    for _ in range(5):
        assert found == []
        room.remove("q")
    waiter.join(SOON)
    assert found == [5]


def test_room_of_one_queue_is_not_that_of_another() -> None:
    room = Room()
    room.add("a")
    assert room.wait("b", 1, 0) == 1
    assert room.wait("a", 1, 0) == 0


def worked_off(room: Room, count: int) -> None:
    for _ in range(count):
        room.add("q")
        room.remove("q")


def at(monkeypatch: pytest.MonkeyPatch, now: float) -> None:
    monkeypatch.setattr(clock, "monotonic", lambda: now)


def test_slow_bodies_leave_it_at_what_the_worker_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    room = Room()
    at(monkeypatch, 100.0)
    assert room.limit("q", 16) == 16
    worked_off(room, 20)
    at(monkeypatch, 101.0)
    assert room.limit("q", 16) == 16


def test_short_bodies_make_it_what_is_worked_off_in_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    room = Room()
    at(monkeypatch, 100.0)
    room.limit("q", 16)
    worked_off(room, 400)
    at(monkeypatch, 100.1)
    assert room.limit("q", 16) == pytest.approx(4_000 * HORIZON, abs=1)
    worked_off(room, 10_000)
    at(monkeypatch, 100.2)
    assert room.limit("q", 16) == MOST
    at(monkeypatch, 101.2)
    assert room.limit("q", 16) == 16, "it shrinks again when less is done"


def test_a_moment_without_a_settlement_is_no_lull(monkeypatch: pytest.MonkeyPatch) -> None:
    room = Room()
    for step in range(30):  # a hundred are settled together every 50 ms
        at(monkeypatch, 100 + step / 100)
        room.limit("q", 16)
        if step % 5 == 0:
            worked_off(room, 100)
    for step in range(30, 40):
        at(monkeypatch, 100 + step / 100)
        assert room.limit("q", 16) > 1_000 * HORIZON


def test_what_was_said_counts_beyond_the_threads_and_every_single_one_is_fetched() -> None:
    room = Room(said={"q": 0, "r": 3}.get, threads=lambda: 2)
    assert (room.limit("q", 16), room.limit("r", 16), room.limit("s", 16)) == (2, 5, 16)
    room.add("q")
    assert room.wait("q", 16, 0) == 1
    room.add("q")
    assert room.wait("q", 16, 0) == 0


def test_whoever_waits_is_not_woken_before_there_is_room_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    room, waiting, woken = Room(), threading.Event(), list[int]()
    room.add("q", 20)
    room.add("another", 1)
    wait_for, notify_all = room._changed.wait_for, room._changed.notify_all

    def wait(*args: Any) -> Any:
        waiting.set()
        return wait_for(*args)

    def notify() -> None:
        woken.append(room._held["q"])
        notify_all()

    monkeypatch.setattr(room._changed, "wait_for", wait)
    monkeypatch.setattr(room._changed, "notify_all", notify)
    waiter = threading.Thread(target=room.wait, args=("q", 20, SOON))
    waiter.start()
    assert waiting.wait(SOON)
    for _ in range(5):
        room.remove("q")
    waiter.join(SOON)
    assert not waiter.is_alive()
    assert woken == [15]


def test_what_waits_for_its_settlement_alone_makes_room_for_as_many_again() -> None:
    room = Room()
    room.add("q", 20)
    assert room.wait("q", 10, 0) == -10
    for _ in range(8):
        room.over("q")
    assert room.wait("q", 10, 0) == -2
    for _ in range(12):
        room.over("q")
    assert room.wait("q", 10, 0) == 0, "not more than one may hold"
    for _ in range(15):
        room.remove("q", over=True)
    assert room.wait("q", 10, 0) == 10
    room.add("q", 10)
    assert room.wait("q", 10, 0) == 0


def test_whoever_waits_is_told_when_enough_are_over() -> None:
    room = Room()
    room.add("q", 20)
    found: list[int] = []
    waiter = threading.Thread(target=lambda: found.append(room.wait("q", 20, SOON)))
    waiter.start()
    wait_until(lambda: room._waiting)
    for _ in range(5):
        room.over("q")
    waiter.join()
    assert found == [5]


def test_where_somebody_said_how_many_they_count_until_they_are_settled() -> None:
    room = Room(said={"q": 1}.get, threads=lambda: 1)
    room.add("q", 2)
    room.over("q")
    assert room.wait("q", 16, 0) == 0
    room.remove("q", over=True)
    assert room.wait("q", 16, 0) == 1
