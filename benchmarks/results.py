"""What was measured, and what follows from it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from .contenders import Contender
from .rows import Bar, Metric, Row
from .stats import Summary, ratio


@dataclass
class RowResult:
    """The figures of one row, by contender and metric; and why there are none, of whom there are none."""

    row: Row
    values: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def add(self, contender: Contender, values: dict[str, float]) -> None:
        """One repetition."""
        for key, value in values.items():
            self.values.setdefault(contender.label, {}).setdefault(key, []).append(value)

    def summary(self, label: str, metric: Metric) -> Summary | None:
        """All repetitions of one figure, None when there are none."""
        found = self.values.get(label, {}).get(metric.key)
        return Summary(tuple(found)) if found else None

    def stock_best(self, metric: Metric) -> float | None:
        """The better median of the stock contenders."""
        medians = [
            summary.median
            for contender in self.row.contenders
            if contender.is_stock and (summary := self.summary(contender.label, metric)) is not None
        ]
        if not medians:
            return None
        return max(medians) if metric.better == "higher" else min(medians)

    def ratio(self, label: str, metric: Metric) -> float | None:
        """The median against stock's best; None when there is no such thing."""
        summary, best = self.summary(label, metric), self.stock_best(metric)
        if summary is None or best is None:
            return None
        found = ratio(summary.median, best)
        return None if math.isnan(found) else found

    def judge(self, metric: Metric) -> Verdict | None:
        """Whether the metric's bar is met; None when it has none, or what it needs was not measured."""
        bar = metric.bar
        summary = None if bar is None else self.summary(bar.contender, metric)
        if bar is None or summary is None:
            return None
        reached = summary.median
        if bar.kind != "value":
            baseline = self._baseline(bar, metric)
            if baseline is None:
                return None
            # A gain of a higher-is-better figure and a cost of a lower-is-better one are the figure over the baseline.
            upright = (metric.better == "higher") == (bar.kind == "gain")
            reached = ratio(summary.median, baseline) if upright else ratio(baseline, summary.median)
        met = reached >= bar.at_least if bar.at_least is not None else reached <= (bar.at_most or 0.0)
        return Verdict(bar, metric, reached, met)

    def _baseline(self, bar: Bar, metric: Metric) -> float | None:
        if bar.against is None:
            return self.stock_best(metric)
        summary = self.summary(bar.against, metric)
        return None if summary is None else summary.median


@dataclass(frozen=True)
class Verdict:
    """A bar, what was reached, and whether that is enough."""

    bar: Bar
    metric: Metric
    reached: float
    met: bool
