"""Durations as users write them: a ``timedelta``, or a number of seconds.

Milliseconds appear only at Dramatiq's and Redis's edge; ``to_millis`` is that edge.
"""

from __future__ import annotations

import math
from datetime import timedelta
from functools import lru_cache

from .errors import DeclarationError

Duration = timedelta | float | int


def to_seconds(value: Duration, *, field: str, allow_zero: bool = False) -> float:
    """``value`` in seconds.

    Raises:
      DeclarationError: when it is not a duration, not finite or not positive; the message names ``field``.
    """
    if isinstance(value, bool) or not isinstance(value, timedelta | int | float):
        raise DeclarationError(f"{field} is a timedelta or a number of seconds, not {type(value).__name__}")
    try:
        seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
    except OverflowError:
        seconds = math.inf
    if not math.isfinite(seconds):
        raise DeclarationError(f"{field} must be finite, not {seconds}")
    if seconds < 0 or (seconds == 0 and not allow_zero):
        wanted = "zero or more" if allow_zero else "more than zero"
        raise DeclarationError(f"{field} must be {wanted}, not {seconds:g} seconds")
    return seconds


@lru_cache(maxsize=256)  # mostly of the same few: every outcome has a TTL or two
def to_millis(seconds: float) -> int:
    """Whole milliseconds, rounded up: a wait is never shorter than was asked, but for what floats make of it."""
    millis = math.ceil(round(seconds * 1000, 3))
    return max(millis, 1) if seconds > 0 else millis
