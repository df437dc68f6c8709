"""``understudy limits``: which limits there are, how they are used, and who waits for a turn."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from understudy.runtime import build_storage
from understudy.settings import Settings, load
from understudy.usage import Usage, usage

from . import preflight
from .console import out, print_json


def limits(
    as_json: Annotated[bool, typer.Option("--json", help="A line of JSON for each limit.")] = False,
) -> None:
    """Show rate and concurrency limits: how they are used, and who waits.

    Those that were asked of within a day, the latest first. Keys are shown as they are: they may be made of arguments.

    Exit codes: 0 whatever they are, 2 wrong argument, 3 server not reached.
    """
    settings = load(Settings)
    preflight.require_server(settings)
    found = list(usage(build_storage(settings)))
    if as_json:
        for one in found:
            print_json(asdict(one))
        return
    if not found:
        out().print("no limit was asked of within a day")
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("limit", "says", "used", "waiting", "next"):
        table.add_column(column, overflow="fold")
    for one in found:
        table.add_row(Text(one.name), _said(one), str(one.used), str(one.waiting), _next(one))
    out().print(table)


def _said(one: Usage) -> str:
    if one.kind == "places":
        return f"{one.most} at once"
    return f"{one.most} in {one.per:g} s ({one.kind})"


def _next(one: Usage) -> str:
    if not one.first:
        return ""
    first = one.first[0]
    if first.seconds <= 0:
        return f"{first.message_id} is on its way"
    if one.kind == "places":
        return f"{first.message_id} when a place is free"
    return f"{first.message_id} in {first.seconds:.3g} s"
