"""What only the body's own process can show; most is tested from outside, in ``test_runner.py``."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator

import pytest

from understudy.errors import SoftTimeLimitExceeded
from understudy.isolation.body import SOFT, _SoftLimit
from understudy.testing.conditions import wait_until


@pytest.fixture
def soft() -> Iterator[_SoftLimit]:
    before = signal.getsignal(SOFT)
    yield _SoftLimit()
    signal.signal(SOFT, before)


def test_it_interrupts_a_sleep_once(soft: _SoftLimit) -> None:
    with soft.after(0.05):
        with pytest.raises(SoftTimeLimitExceeded, match=r"0\.05 s"):
            time.sleep(30)
        signal.raise_signal(SOFT)  # one more has no effect


def test_a_body_that_ends_in_time_is_left_alone(soft: _SoftLimit) -> None:
    with soft.after(30):
        pass
    with soft.after(None):
        pass
    signal.signal(SOFT, soft._on_signal)
    signal.raise_signal(SOFT)


def test_a_shield_puts_it_off_to_its_end(soft: _SoftLimit) -> None:
    done = []

    def body() -> None:
        with soft.shield():
            wait_until(lambda: soft._waits, timeout=10)
            done.append("the answer was read")
        done.append("not reached")

    with soft.after(0.01), pytest.raises(SoftTimeLimitExceeded):
        body()
    assert done == ["the answer was read"]


def test_a_shield_of_another_thread_shields_nobody(soft: _SoftLimit) -> None:
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with soft.shield():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    thread.start()
    inside.wait(10)
    with soft.after(0.01), pytest.raises(SoftTimeLimitExceeded):
        time.sleep(30)
    leave.set()
    thread.join()
