"""Waiting for a condition, at a true process boundary where no signal can be awaited."""

from __future__ import annotations

import threading
from collections.abc import Callable

from understudy import clock

#: Seconds between two looks.
INTERVAL = 0.02


def wait_until(condition: Callable[[], object], *, timeout: float = 20.0, what: str = "") -> None:
    """Return when ``condition()`` is true.

    Raises:
      AssertionError: it was not within ``timeout`` seconds.
    """
    deadline = clock.monotonic() + timeout
    pause = threading.Event()
    while not condition():
        if clock.monotonic() >= deadline:
            raise AssertionError(f"not within {timeout:g} seconds: {what or condition}")
        pause.wait(INTERVAL)
