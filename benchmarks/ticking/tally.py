"""What the ticks of a trial amount to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Tick:
    """When something was sent, in seconds by the server's clock, and by which process."""

    at: float
    pid: int


@dataclass(frozen=True)
class Tally:
    """Seconds of a trial, and how many of them saw more than one tick, or none.

    Attributes:
      sent: how many ticks were sent.
      takeovers: after each kill, seconds until a tick of another process.
    """

    seconds: int
    sent: int
    doubled: int
    missed: int
    takeovers: tuple[float | None, ...]


def tally(ticks: Sequence[Tick], *, start: float, seconds: int, kills: Sequence[tuple[float, int]]) -> Tally:
    """Count ticks by the seconds from ``start`` on. ``kills``: when, and which process.

    A second is centred on the first tick, so that a scheduler that is a little early or late is not said to miss one
    and double the next.
    """
    first = min((tick.at for tick in ticks if tick.at >= start), default=start)
    slots = Counter(int(tick.at - first + 0.5) for tick in ticks if tick.at >= first - 0.5)
    inside = {slot: count for slot, count in slots.items() if 0 <= slot < seconds}
    return Tally(
        seconds=seconds,
        sent=sum(inside.values()),
        doubled=sum(count > 1 for count in inside.values()),
        missed=max(0, seconds - sum(min(1, inside.get(slot, 0)) for slot in range(seconds))),
        takeovers=tuple(_takeover(ticks, at, pid) for at, pid in kills),
    )


def by_fire_time(fires: Sequence[int], *, first: int, seconds: int) -> tuple[int, int]:
    """Of a scheduler whose ticks say what they are for (whole seconds): how many are doubled, how many are missing."""
    counts = Counter(fires)
    doubled = sum(count > 1 for count in counts.values())
    return doubled, sum(first + second not in counts for second in range(seconds))


def _takeover(ticks: Sequence[Tick], at: float, pid: int) -> float | None:
    later = [tick.at - at for tick in ticks if tick.at > at and tick.pid != pid]
    return min(later, default=None)
