"""The two clocks, named by purpose. The only module of the project that reads them.

``now()`` is stored and compared with what is stored; ``monotonic()`` measures how long something took.
Deadlines that the server keeps are compared with the *server's* time, inside its scripts (see
``understudy.storage.scripts``); ``now()`` is this process's idea of it.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime


def now() -> float:
    """Seconds since the epoch, as stored. Frozen by freezegun."""
    return time.time()


def monotonic() -> float:
    """Seconds from an arbitrary start, to measure with. Never goes backwards."""
    return time.monotonic()


def utc(timestamp: float) -> datetime:
    """``timestamp`` (seconds since the epoch) as an aware UTC datetime."""
    return datetime.fromtimestamp(timestamp, tz=UTC)
