from __future__ import annotations

import ctypes
import threading

import pytest

from understudy.brokers.gate import Gate
from understudy.testing.conditions import wait_until

SOON = 20.0


def inside(gate: Gate, *, alone: bool, done: threading.Event, came: threading.Event) -> threading.Thread:
    def body() -> None:
        gate.enter(alone=alone)
        came.set()
        done.wait(SOON)
        gate.leave(alone=alone)

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
        gate.leave(alone=True)

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
        gate.leave(alone=alone)
    assert gate.inside == 0
