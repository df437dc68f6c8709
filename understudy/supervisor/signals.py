"""Signals, on both sides.

::

    TERM INT   the supervisor stops; a second one kills        HUP    reload (when the terminal is gone: stop)
    TTIN       every thread's stack goes to the log            USR1   left alone

A terminal's Ctrl-C and many service managers signal the whole process group. A worker process therefore ignores INT
and HUP, and takes TERM, however often it comes, for the one order to drain: the supervisor says the rest.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import signal
import sys
from collections import deque
from collections.abc import Callable
from enum import Enum, auto
from types import FrameType, TracebackType
from typing import Any, Self

from understudy import clock

#: Seconds in which a second signal is taken for the same one: `timeout`, `make` and shells send it to a process and
#: to its group.
SAME_SIGNAL = 0.5

#: Has a worker process write its stacks at once. One that nobody else sends, the kernel least of all.
AT_ONCE: int = signal.SIGRTMIN + 6 if sys.platform == "linux" else signal.SIGUSR2

#: What a new process must not die of before it has set itself up; held back while it is made.
HELD_BACK = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGTTIN, AT_ONCE)

PR_SET_PDEATHSIG = 1


class Request(Enum):
    """What a signal asks of the supervisor."""

    STOP = auto()
    RELOAD = auto()
    STACKS = auto()


class Signals:
    """Takes the supervisor's signals while the context lasts. ``wake`` is readable when there may be something new,
    also after the death of a child."""

    def __init__(self, now: Callable[[], float] = clock.monotonic) -> None:
        self._requests: deque[Request] = deque()
        self._stop = once_per(SAME_SIGNAL, lambda: self._requests.append(Request.STOP), now)
        self._before: dict[signal.Signals, Any] = {}
        self._wake_before = -1
        self.wake, self._notify = os.pipe()
        # Under `nohup` the loss of the terminal is meant to be survived.
        self._needs_terminal = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN and has_terminal()

    def taken(self) -> list[Request]:
        """What was asked for since the last call."""
        try:
            while os.read(self.wake, 512):
                pass
        except BlockingIOError:
            pass
        found = []
        while self._requests:
            found.append(self._requests.popleft())
        return found

    def __enter__(self) -> Self:
        for end in (self.wake, self._notify):
            os.set_blocking(end, False)
        self._wake_before = signal.set_wakeup_fd(self._notify, warn_on_full_buffer=False)
        for number, handler in {
            signal.SIGTERM: lambda *_: self._stop(),
            signal.SIGINT: lambda *_: self._stop(),
            signal.SIGHUP: lambda *_: self._on_hup(),
            signal.SIGTTIN: lambda *_: self._requests.append(Request.STACKS),
            signal.SIGCHLD: lambda *_: None,  # a handler, so that it wakes
        }.items():
            self._before[number] = signal.signal(number, handler)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wake_before)
        os.close(self.wake)
        os.close(self._notify)

    def _on_hup(self) -> None:
        if self._needs_terminal and not has_terminal():
            self._stop()
        else:
            self._requests.append(Request.RELOAD)


def once_per(seconds: float, act: Callable[[], None], now: Callable[[], float] = clock.monotonic) -> Callable[[], None]:
    """``act``, deaf for ``seconds`` after each time it was called."""
    deaf_until = float("-inf")

    def once() -> None:
        nonlocal deaf_until
        if now() >= deaf_until:
            deaf_until = now() + seconds
            act()

    return once


def has_terminal() -> bool:
    """Whether this process has a controlling terminal that still exists."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def obey_the_supervisor(on_term: Callable[[], None], on_stacks: Callable[[], None], stacks: int) -> None:
    """Set the signals of a worker process, then let through what was held back while it was made.

    Stacks are written by ``faulthandler`` to the descriptor ``stacks``; they show files, lines and functions, and no
    values. For TTIN that is done between two steps of Python, and then ``on_stacks`` is called. For ``AT_ONCE`` it
    is done at once, so that they also come while a body holds the GIL. That is for one that does not obey TTIN: to read
    the frames of threads that run may crash the process.
    """
    # Ignored, not handled: what a body runs as a program of its own inherits that, and a Ctrl-C that is meant for
    # the supervisor does not end it in the middle of its work.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda _number, _frame: on_term())

    def show(_number: int, _frame: FrameType | None) -> None:
        faulthandler.dump_traceback(file=stacks, all_threads=True)
        on_stacks()

    signal.signal(signal.SIGTTIN, show)
    faulthandler.register(AT_ONCE, file=stacks, all_threads=True)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_BACK)


def die_with_parent() -> None:
    """Have the kernel send SIGTERM when the supervisor dies, where it can (Linux). It reaches a process whose threads
    are all busy in C code; elsewhere the closed pipe says the same a little later."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM))
