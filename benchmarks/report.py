"""The table: for a terminal, and as a page of the documentation. Both show the same cells."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from .results import RowResult, Verdict
from .rows import Metric

COLUMNS = ("contender", "median", "min - max", "of stock's best", "bar", "met")


@dataclass(frozen=True)
class Block:
    """One metric of one row: a heading, and a line of cells for each contender."""

    heading: str
    lines: list[tuple[str, ...]]


def blocks(result: RowResult) -> list[Block]:
    """What is shown of ``result``."""
    return [
        Block(f"{metric.label} ({metric.unit})", [_line(result, metric, c.label) for c in result.row.contenders])
        for metric in result.row.metrics
    ]


def number(value: float) -> str:
    """Three digits that count; infinity in words."""
    if math.isinf(value):
        return "never"
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}" if abs(value) >= 0.01 else f"{value:.3f}"


def verdict_words(verdict: Verdict) -> tuple[str, str]:
    """The bar in words, and whether it is met with what was reached."""
    bar = verdict.bar
    limit, sign = (bar.at_least, ">=") if bar.at_least is not None else (bar.at_most or 0.0, "<=")
    reached = number(verdict.reached)
    answer = "yes" if verdict.met else "NO"
    if bar.kind == "value":
        return f"{sign} {number(limit)} {verdict.metric.unit}", answer
    whose = "stock" if bar.against is None else "bare"
    measure = "" if bar.kind == "gain" else "the cost of "
    return f"{sign} {limit:g}x {measure}{whose}", f"{answer}: {reached}x"


def _line(result: RowResult, metric: Metric, label: str) -> tuple[str, ...]:
    summary = result.summary(label, metric)
    if summary is None:
        why = "failed, see below" if label in result.failures else "not measured"
        return (label, why, "", "", "", "")
    against = result.ratio(label, metric)
    verdict = result.judge(metric)
    ours = verdict is not None and verdict.bar.contender == label
    bar, met = verdict_words(verdict) if verdict is not None and ours else ("", "")
    spread = f"{number(summary.least)} - {number(summary.most)}" if len(summary.values) > 1 else ""
    return (label, number(summary.median), spread, "" if against is None else f"{number(against)}x", bar, met)


def print_row(console: Console, result: RowResult) -> None:
    """Show one row on a terminal."""
    console.print(f"\n[bold]{result.row.title}[/bold]  [dim]{result.row.name}[/dim]", highlight=False)
    table = Table(box=None, pad_edge=False, show_edge=False)
    for place, name in enumerate(COLUMNS):
        table.add_column(name, justify="right" if 1 <= place <= 3 else "left", no_wrap=True)
    for block in blocks(result):
        table.add_row(f"[cyan]{block.heading}[/cyan]")
        for label, *cells in block.lines:
            table.add_row(f"  {label}", *cells)
    console.print(table)
    for label, why in result.failures.items():
        console.print(f"  {label} failed: {why}", style="red", markup=False)


def markdown(
    results: Iterable[RowResult], *, machine: Mapping[str, str], how: Sequence[str], missing: Sequence[str] = ()
) -> str:
    """The page: how it was measured, then a table for each row."""
    page = ["# Benchmarks", "", "Written by `make bench`; do not edit.", ""]
    page += ["Side by side on one machine: read the ratios, not the third digits.", ""]
    page += [f"- {name}: {value}" for name, value in machine.items()]
    page += [f"- {line}" for line in (*how, *(f"Not measured: {line}" for line in missing))]
    for result in results:
        page += ["", f"## {result.row.title}", "", f"`python -m benchmarks --only {result.row.name}`"]
        for block in blocks(result):
            page += ["", f"**{block.heading}**", "", _markdown_line(COLUMNS), "|" + "---|" * len(COLUMNS)]
            page += [_markdown_line(line) for line in block.lines]
        page += [f"\n{label} failed: {why.splitlines()[0]}" for label, why in result.failures.items()]
    return "\n".join(page) + "\n"


def _markdown_line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
