"""Ticks at equal distances, counted from the job's epoch: when a scheduler first saw the job, by the server's time.

All schedulers read the epoch from the server, so all agree; and a new job waits for one whole interval (B03). Times are
whole milliseconds since 1970.
"""

from __future__ import annotations

from dataclasses import dataclass

from understudy.durations import Duration, to_seconds
from understudy.errors import DeclarationError

#: Milliseconds. What shall run more often is a loop in a body, not a message for each turn.
SHORTEST = 100


@dataclass(frozen=True)
class Every:
    """A tick every ``interval`` milliseconds."""

    interval: int

    def after(self, moment: int, epoch: int) -> int | None:
        """The first tick after ``moment``; the epoch itself is none."""
        return epoch + max(1, (moment - epoch) // self.interval + 1) * self.interval

    def upto(self, moment: int, after: int, epoch: int, most: int) -> list[int]:
        """The last ``most`` ticks that are after ``after`` and not after ``moment``, the earliest first."""
        first = self.after(after, epoch)
        last = epoch + (moment - epoch) // self.interval * self.interval
        if first is None or first > last:
            return []
        first = max(first, last - (most - 1) * self.interval)
        return list(range(first, last + 1, self.interval))

    def __str__(self) -> str:
        return f"every {self.interval / 1000:g} s"


def parse_every(value: Duration, *, where: str) -> Every:
    """``every=`` as it was declared, a timedelta or seconds.

    Raises:
      DeclarationError: it is no duration, too short, or not a whole number of milliseconds.
    """
    seconds = to_seconds(value, field=f"{where}every")
    millis = round(seconds * 1000)
    if abs(millis - seconds * 1000) > 1e-6:
        raise DeclarationError(f"{where}every is {seconds:g} s, which is not a whole number of milliseconds")
    if millis < SHORTEST:
        raise DeclarationError(
            f"{where}every is {seconds:g} s, and the shortest is {SHORTEST / 1000:g} s; let one body loop instead"
        )
    return Every(millis)
