"""A process beside the workers that is started again when it ends by itself: the scheduler of ``understudy up``."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Protocol

from understudy import clock

from .backoff import Backoff

logger = logging.getLogger(__name__)


class Process(Protocol):
    """What is needed of a ``subprocess.Popen``."""

    def poll(self) -> int | None: ...

    def terminate(self) -> None: ...

    def wait(self) -> int: ...


class Kept:
    """``run_once`` is its step: it starts what is not running. One that dies young waits, as a worker process does.

    Args:
      name: what it is, as the log calls it.
      start: starts it; an ``OSError`` counts as an early death.
    """

    def __init__(self, name: str, start: Callable[[], Process], *, now: Callable[[], float] = clock.monotonic) -> None:
        self._name = name
        self._start = start
        self._now = now
        self._backoff = Backoff()
        self._process: Process | None = None
        self._started_at = 0.0
        self._not_before = -math.inf
        self._stopped = False

    def run_once(self) -> None:
        """Start it if it is not running and it is time to."""
        if self._stopped:
            return
        code = None if self._process is None else self._process.poll()
        if code is not None:
            self._died(f"ended by itself (exit code {code})", self._now() - self._started_at)
        if self._process is None and self._now() >= self._not_before:
            self._started_at = self._now()
            try:
                self._process = self._start()
            except OSError as error:
                self._died(f"could not be started ({error.strerror or type(error).__name__})", None)

    def pause(self) -> float:
        """Seconds until the next step is due, if nothing happens before: the death of a child is noticed at once."""
        if self._process is not None or self._stopped:
            return math.inf
        return max(0.0, self._not_before - self._now())

    def stop(self) -> None:
        """End it, and start it no more."""
        self._stopped = True
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None

    def _died(self, how: str, lived: float | None) -> None:
        self._process = None
        wait = self._backoff.died(lived)
        self._not_before = self._now() + wait
        logger.error("%s %s; starting it again%s", self._name, how, f" in {wait:g} s" if wait else "")
