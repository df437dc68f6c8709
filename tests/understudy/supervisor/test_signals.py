from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from understudy.supervisor import signals as module
from understudy.supervisor.signals import SAME_SIGNAL, Request, Signals, once_per


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def signals(clock: Clock) -> Iterator[Signals]:
    with Signals(clock) as signals:
        yield signals


def test_a_second_signal_within_a_moment_is_the_same_one(clock: Clock) -> None:
    taken: list[float] = []
    act = once_per(1.0, lambda: taken.append(clock.now), clock)
    act()
    clock.now = 100.9
    act()
    assert taken == [100.0]
    clock.now = 101.0
    act()
    assert taken == [100.0, 101.0]


@pytest.mark.parametrize(
    ("number", "request_"),
    [
        (signal.SIGTERM, Request.STOP),
        (signal.SIGINT, Request.STOP),
        (signal.SIGHUP, Request.RELOAD),
        (signal.SIGTTIN, Request.STACKS),
    ],
)
def test_each_signal_asks_for_something(signals: Signals, number: signal.Signals, request_: Request) -> None:
    signal.raise_signal(number)
    assert signals.taken() == [request_]
    assert signals.taken() == []


BUSY = """
import os, sys, threading, time
from understudy.supervisor.signals import obey_the_supervisor

def deep(n):
    return 0 if n == 0 else deep(n - 1)

def busy():
    while True:
        deep(40)
        exec("def f(x): return x\\nf(1)")

def short():
    while True:
        thread = threading.Thread(target=deep, args=(10,))
        thread.start()
        thread.join()

for work in [busy] * 2 + [short]:
    threading.Thread(target=work, daemon=True).start()
obey_the_supervisor(lambda: os._exit(0), lambda: os.write(1, b"."), os.open(os.devnull, os.O_WRONLY))
os.write(1, b".")
while True:
    time.sleep(0.001)  # a signal may come to another thread, and does not wake this one
"""


def test_a_process_whose_threads_are_busy_outlives_that_somebody_looks_at_them() -> None:
    """``faulthandler`` by itself reads the frames of threads that change them meanwhile: of some hundred looks one was
    the last."""
    with subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            for _ in range(400):
                assert process.stdout.read(1) == b".", process.wait()
                process.send_signal(signal.SIGTTIN)
        finally:
            process.kill()


def test_two_stops_are_two_only_when_some_time_lies_between_them(signals: Signals, clock: Clock) -> None:
    signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGTERM)
    assert signals.taken() == [Request.STOP]
    clock.now += SAME_SIGNAL
    signal.raise_signal(signal.SIGINT)
    assert signals.taken() == [Request.STOP]


def test_a_signal_makes_the_descriptor_readable_until_it_is_taken(signals: Signals) -> None:
    signal.raise_signal(signal.SIGCHLD)
    assert os.read(signals.wake, 1)
    signals.taken()
    with pytest.raises(BlockingIOError):
        os.read(signals.wake, 1)


def test_everything_is_as_before_afterwards() -> None:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGTTIN, signal.SIGCHLD, signal.SIGUSR1)
    before = [signal.getsignal(number) for number in numbers]
    with Signals():
        assert signal.getsignal(signal.SIGUSR1) == before[-1]
    assert [signal.getsignal(number) for number in numbers] == before


def test_hup_stops_when_the_terminal_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    there = True
    monkeypatch.setattr(module, "has_terminal", lambda: there)
    with Signals() as signals:
        signal.raise_signal(signal.SIGHUP)
        assert signals.taken() == [Request.RELOAD]
        there = False
        signal.raise_signal(signal.SIGHUP)
        assert signals.taken() == [Request.STOP]


def test_under_nohup_the_loss_of_the_terminal_is_survived(monkeypatch: pytest.MonkeyPatch) -> None:
    there = True
    monkeypatch.setattr(module, "has_terminal", lambda: there)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Signals() as signals:
            there = False
            signal.raise_signal(signal.SIGHUP)
            assert signals.taken() == [Request.RELOAD]
    finally:
        signal.signal(signal.SIGHUP, before)
