"""How long a dead worker process stays unreplaced: not at all, unless it died young."""

from __future__ import annotations

#: A process that was up for this many seconds is not to blame for how it started.
YOUNG = 10.0
FIRST = 0.25
LONGEST = 30.0


class Backoff:
    """Of one place among the worker processes: 0.25 s after the first early death, doubled by each further one,
    30 s at most."""

    def __init__(self) -> None:
        self._early_deaths = 0

    def died(self, lived: float | None) -> float:
        """Seconds to wait. ``lived`` is how long the process was up; None when it never came up."""
        if lived is not None and lived >= YOUNG:
            self._early_deaths = 0
            return 0.0
        delay = FIRST * 2.0 ** min(self._early_deaths, 16)
        self._early_deaths += 1
        return min(LONGEST, delay)
