"""Who is compared, and with which settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

PREFETCH = "dramatiq_queue_prefetch"


@dataclass(frozen=True)
class Contender:
    """One side with its settings.

    Args:
      label: its name in the tables.
      side: see ``spec.Spec``.
      environ: of its processes, beyond what every process needs.
      kind: which of the side's actors a row sends to, where the row leaves that open.
      results, quick_recovery: see ``spec.Spec``.
      share: part of a row's messages that it is given: a slow one would take minutes for the same figure.
      cap: at most so many messages.
      once: measured in the first repetition alone.
    """

    label: str
    side: str
    environ: Mapping[str, str] = field(default_factory=dict)
    kind: str = "noop"
    results: bool = False
    quick_recovery: bool = False
    share: float = 1.0
    cap: int | None = None
    once: bool = False

    @property
    def is_stock(self) -> bool:
        """Whether it counts for "stock's best"."""
        return self.side == "stock"

    def count(self, wanted: int) -> int:
        """How many of ``wanted`` messages it is given."""
        return max(1, round(min(wanted, self.cap or wanted) * self.share))


# As `understudy worker` runs it: how much it fetches follows from how long the bodies take (``brokers/room.py``), which
# that variable would switch off.
UNDERSTUDY = Contender("Understudy", "understudy")
BARE = replace(UNDERSTUDY, label="Understudy, no result", kind="bare")
GUARDED = replace(UNDERSTUDY, label="Understudy, guarded", kind="guarded")
LIMITED = replace(UNDERSTUDY, label="Understudy, under limits", kind="limited")
ISOLATED = replace(UNDERSTUDY, label="Understudy, in a process of its own", kind="isolated")
STOCK = Contender("Dramatiq, prefetch 64", "stock", {PREFETCH: "64"})
STOCK_DEFAULTS = Contender("Dramatiq, defaults", "stock")
CELERY = Contender("Celery", "celery", share=0.25)


def with_results(contender: Contender) -> Contender:
    """The same, with results stored."""
    return replace(contender, label=f"{contender.label}, results", results=True)


def recovering(contender: Contender, how: str) -> Contender:
    """The same with its settings for quick recovery, named ``how`` in the table."""
    return replace(contender, label=f"{contender.label}, {how}", quick_recovery=True)


def capped(contender: Contender, most: int) -> Contender:
    """The same, given at most ``most`` messages; the table says so."""
    return replace(contender, label=f"{contender.label} (at most {most:,})", cap=most, share=1.0)


def once(contender: Contender) -> Contender:
    """The same, with all of a row's messages, which take it minutes: it is not repeated, and the table says so."""
    return replace(contender, label=f"{contender.label} (once)", once=True, share=1.0)
