"""``understudy settings``: every setting, its value in force and where that comes from."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from understudy.settings import Settings, describe, load, mask_url

from .console import out, print_json


def settings(as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False) -> None:
    """List every setting with its value.

    Settings come from the environment. Passwords in URLs are masked. A wrong one is named, with exit code 2.
    """
    rows = in_force(load(Settings))
    if as_json:
        print_json({row["name"]: row for row in rows})
        return
    table = Table(box=None, pad_edge=False)
    for column in ("setting", "value", "meaning"):
        table.add_column(column, overflow="fold")
    for row in rows:
        value = "not set" if row["value"] is None else escape(str(row["value"]))
        shown = f"[bold]{value}[/]" if row["source"] == "environment" else f"[dim]{value}[/]"
        table.add_row(row["name"], shown, f"{escape(row['help'])} [dim]Write {escape(row['expects'])}.[/]")
    out().print(table)


def in_force(current: Settings) -> list[dict[str, Any]]:
    """Each setting: name, value (masked, JSON-ready), where it comes from, default, what it expects and means."""
    return [
        {
            "name": info.name,
            "value": _shown(getattr(current, info.field)),
            "source": "environment" if os.environ.get(info.name, "").strip() else "default",
            "default": info.default,
            "expects": info.expects,
            "help": info.help,
        }
        for info in describe(Settings)
    ]


def _shown(value: Any) -> Any:
    if isinstance(value, tuple):
        return ",".join(value)
    if value is None or isinstance(value, int | float):
        return value
    text = str(value)
    return mask_url(text) if "://" in text else text
