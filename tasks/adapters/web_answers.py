"""What a receiver of webhooks answered, and what it means when that is not 2xx.

========================  ==========================================================================
``Refused``, transient    the receiver said 408, 425, 429 or 5xx: try again, not before ``retry_after``
``Unreachable``           no connection, or no answer in time: it may have arrived; its id tells twins
``Refused``, final        any other answer but 2xx: nothing gets better by waiting
``DestinationRefused``    it may not be sent there at all
========================  ==========================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

from .web_address import DestinationRefused

_TRANSIENT = frozenset({408, 425, 429})
#: Seconds that a receiver may ask for at the most.
LONGEST_WAIT = 86_400.0


@dataclass(frozen=True)
class Reply:
    """The receiver has taken the webhook over."""

    status: int


class Refused(Exception):
    """The receiver answered, and not with 2xx. ``retry_after`` is in seconds, None when it did not say."""

    def __init__(self, status: int, retry_after: float | None = None) -> None:
        super().__init__(status, retry_after)
        self.status = status
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"the receiver answered {self.status}"


class Unreachable(OSError):
    """There was no answer. The webhook may have arrived all the same."""


def is_transient(exc: BaseException) -> bool:
    """Whether a later attempt may succeed."""
    if isinstance(exc, Refused):
        return exc.status >= 500 or exc.status in _TRANSIENT
    return isinstance(exc, OSError) and not isinstance(exc, DestinationRefused)


def seconds_of(retry_after: str | None, *, now: float) -> float | None:
    """A ``Retry-After`` header (seconds, or a date) in seconds from ``now``; None when that cannot be read."""
    text = (retry_after or "").strip()
    if text.isascii() and text.isdecimal():
        return min(float(text), LONGEST_WAIT)
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError, TypeError):
        return None  # a receiver may write anything there
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return min(max(date.timestamp() - now, 0.0), LONGEST_WAIT)
