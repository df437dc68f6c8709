"""The few sums that are done with measured values."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Summary:
    """Repetitions of one value. Infinity stands for "not within the time allowed"."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def least(self) -> float:
        return min(self.values)

    @property
    def most(self) -> float:
        return max(self.values)


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile: the least value that ``share`` (0 to 1) of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def rate(times: Sequence[float], *, skip: float = 0.1) -> float:
    """Events a second, without the first ``skip`` of them: starting up is not what is measured.

    Raises:
      ValueError: fewer than two events are left.
    """
    ordered = sorted(times)[int(len(times) * skip) :]
    if len(ordered) < 2:
        raise ValueError(f"a rate needs at least two events, not {len(ordered)}")
    return (len(ordered) - 1) / max(ordered[-1] - ordered[0], 1e-9)


def ratio(value: float, baseline: float) -> float:
    """``value / baseline``, or nan where that says nothing (one is infinite, or the baseline is 0)."""
    if baseline == 0 or math.isinf(value) or math.isinf(baseline):
        return math.nan
    return value / baseline
