from __future__ import annotations

import ctypes
import threading

import pytest

from understudy.brokers.gate import Gate, together
from understudy.testing.conditions import wait_until

SOON = 20.0


def inside(gate: Gate, *, alone: bool, done: threading.Event, came: threading.Event) -> threading.Thread:
    def body() -> None:
        gate.enter(alone=alone)
        came.set()
        done.wait(SOON)
        gate.leave()

    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    return thread


def test_bodies_pass_it_together() -> None:
    gate, done = Gate(), threading.Event()
    entered = [threading.Event() for _ in range(3)]
    threads = [inside(gate, alone=False, done=done, came=event) for event in entered]
    assert all(event.wait(SOON) for event in entered)
    assert gate.inside == 3
    done.set()
    for thread in threads:
        thread.join(SOON)
    assert gate.inside == 0


def test_a_suspect_waits_for_all_others_and_keeps_new_ones_out() -> None:
    gate = Gate()
    ends, comes = [threading.Event() for _ in range(3)], [threading.Event() for _ in range(3)]
    first = inside(gate, alone=False, done=ends[0], came=comes[0])
    assert comes[0].wait(SOON)
    suspect = inside(gate, alone=True, done=ends[1], came=comes[1])
    wait_until(lambda: gate._waiting == 1, timeout=SOON)
    late = inside(gate, alone=False, done=ends[2], came=comes[2])
    assert not comes[1].is_set()
    ends[0].set()
    assert comes[1].wait(SOON)
    assert gate.inside == 1
    assert not comes[2].is_set()
    ends[1].set()
    assert comes[2].wait(SOON)
    ends[2].set()
    for thread in (first, suspect, late):
        thread.join(SOON)


def test_two_suspects_pass_one_after_the_other() -> None:
    gate, most, now, lock = Gate(), [0], [0], threading.Lock()

    def body() -> None:
        gate.enter(alone=True)
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        with lock:
            now[0] -= 1
        gate.leave()

    threads = [threading.Thread(target=body) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)
    assert most == [1]
    assert gate.inside == 0


def test_a_suspect_that_is_interrupted_while_it_waits_leaves_the_way_free() -> None:
    """A time limit raises in whatever its thread is doing."""
    gate, ended = Gate(), threading.Event()
    gate.enter(alone=False)

    def body() -> None:
        try:
            gate.enter(alone=True)
        except KeyError:
            ended.set()

    suspect = threading.Thread(target=body, daemon=True)
    suspect.start()
    wait_until(lambda: gate._waiting == 1, timeout=SOON)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(suspect.ident or 0), ctypes.py_object(KeyError))
    with gate._condition:
        gate._condition.notify_all()
    assert ended.wait(SOON)
    passed = threading.Event()
    inside(gate, alone=False, done=passed, came=passed)
    assert passed.wait(SOON)


@pytest.mark.parametrize("alone", [False, True])
def test_whoever_leaves_lets_the_next_one_in(alone: bool) -> None:
    gate = Gate()
    for _ in range(2):
        gate.enter(alone=alone)
        gate.leave()
    assert gate.inside == 0


def test_suspects_pass_together_as_far_as_each_of_them_may() -> None:
    gate = Gate()
    gate.enter(alone=True, most=3)
    gate.enter(alone=True, most=3)
    come = [threading.Event() for _ in range(3)]

    def enter(event: threading.Event, most: int) -> None:
        gate.enter(alone=True, most=most)
        event.set()

    threads = [threading.Thread(target=enter, args=pair) for pair in zip(come, (2, 3, 1), strict=True)]
    for thread in threads:
        thread.start()
    assert come[1].wait(SOON), "a third of three"
    assert not come[0].is_set(), "one of two"
    for _ in range(3):
        gate.leave()
    wait_until(lambda: come[0].is_set() or come[2].is_set())
    assert gate.inside == 1
    for _ in range(2):
        wait_until(lambda: gate.inside == 1)
        gate.leave()
    for thread in threads:
        thread.join(SOON)
    gate.enter(alone=False)
    assert gate.inside == 1


@pytest.mark.parametrize("alone", [True, False])
def test_others_wait_until_all_suspects_are_out(alone: bool) -> None:
    gate, came = Gate(), threading.Event()
    gate.enter(alone=True, most=2)
    gate.enter(alone=True, most=2)

    def enter() -> None:
        gate.enter(alone=alone)
        came.set()

    thread = threading.Thread(target=enter)
    thread.start()
    gate.leave()
    assert not came.wait(0.05)
    gate.leave()
    assert came.wait(SOON)
    thread.join()


def test_groups_of_suspects_become_smaller_by_every_death() -> None:
    assert [together(deaths, 1_000) for deaths in range(2, 9)] == [250, 62, 15, 3, 1, 1, 1]
    assert [together(deaths, 1) for deaths in range(2, 4)] == [1, 1]


def test_a_thousand_suspects_are_cleared_in_a_few_times_the_length_of_a_body_not_a_thousand() -> None:
    rounds, suspects, deaths = 0, 1_000, 2
    while suspects:  # the one poison among them dies with the last group of each stage
        size = together(deaths, 1_000)
        rounds += -(-suspects // size)
        suspects, deaths = (min(size, suspects) if size > 1 else 0), deaths + 1
    assert rounds <= 25


def test_a_suspect_that_has_waited_long_enough_lets_the_others_in() -> None:
    gate, came = Gate(), threading.Event()
    gate.enter(alone=False)

    def suspect() -> None:
        assert not gate.enter(alone=True, patience=0.2)

    def other() -> None:
        gate.enter(alone=False)
        came.set()

    threads = [threading.Thread(target=target) for target in (suspect, other)]
    threads[0].start()
    wait_until(lambda: gate._waiting == 1)
    threads[1].start()
    assert came.wait(SOON)
    for thread in threads:
        thread.join()
    assert gate.inside == 2
