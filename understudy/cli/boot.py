"""What runs first in every worker process that ``understudy worker`` starts.

Dramatiq takes ``module:callable`` for a broker: the callable sets one up. Ours configures the logging and imports the
first module, which installs the broker. That is the one place where logging can be set up for worker processes
only: a hook of the broker would come after the imports, and set-up at import would touch every service that imports
``tasks``. It also holds when processes are spawned and not forked, and for ``dramatiq understudy.cli.boot:boot``.
Plain ``dramatiq tasks`` logs as Dramatiq's own options say.
"""

from __future__ import annotations

import importlib
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from understudy import clock, logs
from understudy.settings import Settings, load

#: Seconds in which a second SIGTERM is taken for the same one.
SAME_SIGNAL = 1.0


def boot() -> None:
    """Configure logging and import the first of ``UNDERSTUDY_MODULES``; Dramatiq imports the others.

    Raises:
      SettingsError, and whatever the module raises.
    """
    settings = load(Settings)
    # stderr is a pipe to the parent now; where that writes to is still known by the descriptor.
    logs.configure(settings, colors=not os.environ.get("NO_COLOR") and os.isatty(2))
    if threading.current_thread() is threading.main_thread():
        _take_two_for_one()
    importlib.import_module(settings.modules[0])


def _take_two_for_one() -> None:
    """systemd by default, and ``kill`` with a process group, send SIGTERM to the parent and to its children, and
    the parent passes on its own: children would take that for the second signal, which kills."""
    stop = signal.getsignal(signal.SIGTERM)
    if callable(stop):
        signal.signal(signal.SIGTERM, once_per(SAME_SIGNAL, stop))


def once_per(
    seconds: float, handler: Callable[[int, FrameType | None], Any]
) -> Callable[[int, FrameType | None], None]:
    """``handler``, deaf for ``seconds`` after each time it was called."""
    deaf_until = float("-inf")

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal deaf_until
        now = clock.monotonic()
        if now >= deaf_until:
            deaf_until = now + seconds
            handler(number, frame)

    return handle
