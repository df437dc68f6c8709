"""``understudy stats``: what executions have come to, by actor."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from understudy.metrics.reading import Executions, read
from understudy.runtime import build_storage
from understudy.settings import Settings, load

from . import preflight
from .console import hint, out, print_json

#: The ends that have a column, in the order in which one asks for them. All others share the last one.
ENDS = ("success", "failure", "retry")


def stats(
    as_json: Annotated[bool, typer.Option("--json", help="A line of JSON for each actor, queue and outcome.")] = False,
) -> None:
    """Show how many executions of each actor have ended how, and how long their bodies took.

    Counted since the server was emptied last, by all workers; the same numbers as GET /metrics.

    Exit codes: 0 done, 3 server not reached.
    """
    settings = load(Settings)
    preflight.require_server(settings)
    found = read(build_storage(settings)).executions
    if as_json:
        for one in found:
            print_json(
                {"actor": one.actor, "queue": one.queue, "outcome": one.end, "count": one.count, "seconds": one.seconds}
            )
    elif found:
        out().print(_table(found))
    else:
        hint("nothing has been executed yet")


def _table(found: list[Executions]) -> Table:
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("actor", "queue"):
        grid.add_column(name, no_wrap=True)
    for name in (*ENDS, "other", "mean body"):
        grid.add_column(name, justify="right")
    rows: dict[tuple[str, str], dict[str, Executions]] = {}
    for one in found:
        rows.setdefault((one.actor, one.queue), {})[one.end] = one
    for (actor, queue), ends in rows.items():
        counts = [ends[end].count if end in ends else 0 for end in ENDS]
        other = sum(one.count for one in ends.values()) - sum(counts)
        bodies = sum(sum(one.buckets.values()) for one in ends.values())
        mean = f"{sum(one.seconds for one in ends.values()) / bodies:.3f} s" if bodies else "-"
        grid.add_row(Text(actor), Text(queue), *(f"{count:,}" for count in (*counts, other)), mean)
    return grid
