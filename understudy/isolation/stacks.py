"""Where a body was when its process ended: what ``faulthandler`` wrote of it, made readable."""

from __future__ import annotations

import os
import re
from traceback import FrameSummary, format_list
from typing import TypeVar

from understudy.exceptions import remember_traceback

E = TypeVar("E", bound=Exception)

#: What faulthandler writes first when the time is over.
TIMEOUT = "Timeout ("
_FRAME = re.compile(r'^  File "(.*)", line (\d+) in (.*)$')
_THREAD = re.compile(r"^(?:Current thread|Thread) (0x[0-9a-f]+)")
#: Calls the actor's function.
_CALLER = os.path.join(os.path.dirname(__file__), "body.py")


class Stacks:
    """What a child has written to its file of stacks.

    Args:
      main: the identity of the child's main thread, in which bodies run.
    """

    def __init__(self, text: str, main: int) -> None:
        self.timed_out = text.startswith(TIMEOUT)
        self.frames = _frames(text, main)

    @property
    def where(self) -> str:
        """The innermost place, to go on after a sentence; empty when it is not known."""
        if not self.frames:
            return ""
        last = self.frames[-1]
        return f"; it was at {last.filename}:{last.lineno} in {last.name}"

    def traceback(self, last: str) -> str:
        """As a traceback that ends with the line ``last``."""
        if not self.frames:
            return last
        return f"Traceback (most recent call last):\n{''.join(format_list(self.frames))}{last}"


def _frames(text: str, main: int) -> list[FrameSummary]:
    """The frames of the main thread, the outermost first."""
    found: list[FrameSummary] = []
    reading = True
    for line in text.splitlines():
        if thread := _THREAD.match(line):
            reading = int(thread[1], 16) == main
        elif reading and (frame := _FRAME.match(line)):
            found.append(FrameSummary(frame[1], int(frame[2]), frame[3]))
    found.reverse()
    callers = [index for index, frame in enumerate(found) if frame.filename == _CALLER]
    return found[callers[0] + 2 :] if callers else found


def traced(error: E, stacks: Stacks) -> E:
    """``error``, with the stack of the body for its traceback."""
    name = type(error).__name__
    remember_traceback(error, stacks.traceback(f"{name}: {error}"), discreet=stacks.traceback(name))
    return error
