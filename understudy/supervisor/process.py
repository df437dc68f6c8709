"""One worker process, as its supervisor sees it.

::

                    says Up                      says Draining, or is told to drain
    STARTING ---------------------> UP ----------------------------------------------> DRAINING
        |                            |                                                    |
        | ends: it could not start   | dies                          ends, or is killed   |
        `----------------------------+------------> GONE <--------------------------------'
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from enum import Enum, auto
from typing import Protocol

from .messages import Drain, Draining, Failed, Report, Stacks, Up
from .signals import AT_ONCE

#: Seconds in which a process writes its stacks and says so. One whose GIL is held cannot: it is made to write them,
#: which takes no longer than ``STACKS_WRITTEN``.
STACKS_PATIENCE, STACKS_WRITTEN = 3.0, 0.2


class State(Enum):
    """See the diagram above."""

    STARTING = auto()
    UP = auto()
    DRAINING = auto()
    GONE = auto()


class Link(Protocol):
    """A process of the operating system, with a pipe in each direction."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None:
        """The exit code when it has ended, negative for the signal that killed it; else None."""

    def hear(self) -> list[Report]:
        """What it has said since the last call. Never waits."""

    def tell(self, order: Drain) -> None:
        """Say it. A process that is gone hears nothing; that is no error."""

    def stacks(self) -> str:
        """What it has written of its stacks since the last call."""

    def signal(self, number: int) -> None:
        """Send a signal. A process that is gone gets nothing; that is no error."""


class Process:
    """The process behind ``link``, which was made for place ``number`` just now."""

    def __init__(self, number: int, link: Link, now: Callable[[], float]) -> None:
        self.number = number
        self.state = State.STARTING
        #: Why it could not start, in its own words.
        self.failure: Failed | None = None
        self.exit_code: int | None = None
        self._link = link
        self._now = now
        self._started = now()
        self._up_at: float | None = None
        self._ended = 0.0
        self._leaves_because = ""
        #: When its stacks are read; None when nobody has asked for them.
        self.stacks_due: float | None = None
        self._stacks_are_written = False

    @property
    def pid(self) -> int:
        return self._link.pid

    @property
    def lived(self) -> float | None:
        """Seconds that it was up, or has been up; None when it never was."""
        if self._up_at is None:
            return None
        return (self._ended if self.state is State.GONE else self._now()) - self._up_at

    def look(self) -> State:
        """Hear what it says and see whether it lives."""
        if self.state is State.GONE:
            return self.state
        code = self._link.poll()
        for report in self._link.hear():  # after the look at its life: what it said last is heard
            self._note(report)
        if code is not None:
            self.exit_code = code
            self._ended = self._now()
            self.state = State.GONE
        return self.state

    def drain(self, reason: str, timeout: float | None) -> None:
        """Let it end within ``timeout`` seconds (None: however long its running work takes). Told again, the
        shorter time counts."""
        if self.state is State.GONE:
            return
        self._leaves_because = self._leaves_because or reason
        self.state = State.DRAINING
        self._link.tell(Drain(reason, timeout))

    def kill(self) -> None:
        """End it now."""
        self._link.signal(signal.SIGKILL)

    def show_stacks(self) -> None:
        """Let it write every thread's stack; ``take_stacks`` gives them in one of the next steps."""
        self._link.signal(signal.SIGTTIN)
        self.stacks_due, self._stacks_are_written = self._now() + STACKS_PATIENCE, False

    def take_stacks(self) -> str:
        """The stacks of its threads when it has written them, else nothing."""
        if self.stacks_due is None or self._now() < self.stacks_due:
            return ""
        if not self._stacks_are_written and self.state is not State.GONE:
            self._link.signal(AT_ONCE)
            self.stacks_due, self._stacks_are_written = self._now() + STACKS_WRITTEN, True
            return ""
        self.stacks_due = None
        return self._link.stacks()

    @property
    def farewell(self) -> str:
        """How it ended, and after what time, for the log."""
        code = self.exit_code or 0
        how = f"killed by {_signal_name(-code)}" if code < 0 else f"exit code {code}"
        why = f"{self._leaves_because}; " if self._leaves_because else ""
        return f"{why}{how}, after {self._ended - self._started:.1f} s"

    @property
    def leaves_because(self) -> str:
        """Why it ends, or ended, of its own accord or because it was told; empty if neither."""
        return self._leaves_because

    def _note(self, report: Report) -> None:
        match report:
            case Up():
                self._up_at = self._now()
                if self.state is State.STARTING:
                    self.state = State.UP
            case Draining(reason=reason):
                self._leaves_because = self._leaves_because or reason
                self.state = State.DRAINING
            case Stacks():
                self.stacks_due, self._stacks_are_written = self._now(), True
            case Failed():
                self.failure = report


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
