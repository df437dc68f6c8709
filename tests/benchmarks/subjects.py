"""A row with invented figures, for the tests of what is made of figures."""

from __future__ import annotations

from typing import Any

from benchmarks.contenders import CELERY, STOCK, STOCK_DEFAULTS, UNDERSTUDY
from benchmarks.results import RowResult
from benchmarks.rows import Bar, Metric, Row

RATE = Metric("rate", "messages a second", "/s", "higher", Bar("gain", at_least=5.0))
BYTES = Metric("bytes", "bytes", "B", "lower", Bar("cost", at_most=1.5))
LATE = Metric("late", "p99", "ms", "lower", Bar("value", at_most=20.0))
CONTENDERS = (UNDERSTUDY, STOCK, STOCK_DEFAULTS, CELERY)


def row(measure: Any = None, *metrics: Metric) -> Row:
    return Row("drain", "Drain of messages", measure, CONTENDERS, metrics or (RATE, BYTES, LATE))


def result(**figures: list[tuple[float, float, float]]) -> RowResult:
    """``understudy=[(rate, bytes, late), ...]``: a repetition each; ``stock`` is the tuned one."""
    found = RowResult(row())
    named = {"understudy": UNDERSTUDY, "stock": STOCK, "defaults": STOCK_DEFAULTS, "celery": CELERY}
    for name, repetitions in figures.items():
        for rate, size, late in repetitions:
            found.add(named[name], {"rate": rate, "bytes": size, "late": late})
    return found
