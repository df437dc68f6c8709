"""``understudy settings``: every setting, its value in force and where that comes from."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from understudy.errors import SettingsError
from understudy.settings import EnvSettings, Settings, describe, load, mask_url
from understudy.supervisor.boot import look_in_the_working_directory

from .console import hint, out, print_json


def settings(as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False) -> None:
    """List every setting with its value.

    Settings come from the environment: those of the engine, and those that the modules of the worker add. Passwords
    are masked. Wrong ones are named, all at once, with exit code 2.
    """
    classes: list[type[EnvSettings]] = [Settings, *of_the_modules()]
    # With one class `load` gives no tuple.
    loaded = load(*classes) if len(classes) > 1 else [load(Settings)]
    rows = [row for current in loaded for row in in_force(current)]
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


def of_the_modules() -> list[type[EnvSettings]]:
    """The settings classes that come with the modules of a worker, which are imported for this.

    By name, because the command line must not know them. One that cannot be imported is told on stderr, and what
    the others have is found all the same.
    """
    before = set(subclasses(EnvSettings))
    modules = _modules()
    look_in_the_working_directory()
    for name in modules:
        try:
            with contextlib.redirect_stdout(sys.stderr):  # stdout is for what was asked for
                importlib.import_module(name)
        except SettingsError:
            pass  # told by whoever loads the classes that were found, together with all the rest
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a module does, the rest is listed
            hint(f"{name} cannot be imported, so its settings are missing: {type(error).__name__}: {error}")
    within = tuple(f"{name}." for name in modules)
    return [
        found
        for found in subclasses(EnvSettings)
        if found not in (Settings, EnvSettings) and (found not in before or f"{found.__module__}.".startswith(within))
    ]


def _modules() -> tuple[str, ...]:
    # Only this one: another that is wrong shall be told together with those of the modules.
    named = {name: value for name, value in os.environ.items() if name == "UNDERSTUDY_MODULES"}
    try:
        return load(Settings, environ=named).modules
    except SettingsError:
        return ()


def subclasses(cls: type[EnvSettings]) -> Iterator[type[EnvSettings]]:
    """All classes below ``cls``, in the order of declaration."""
    for child in cls.__subclasses__():
        yield child
        yield from subclasses(child)


def in_force(current: EnvSettings) -> list[dict[str, Any]]:
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
        for info in describe(type(current))
    ]


def _shown(value: Any) -> Any:
    if isinstance(value, tuple):
        return ",".join(_part(part) for part in value)
    if value is None or isinstance(value, int | float):
        return value
    text = str(value)
    return mask_url(text) if "://" in text else text


def _part(part: Any) -> str:
    # A pair is a name and a value; the one without a name is for all others.
    return "=".join(str(piece) for piece in part if piece != "") if isinstance(part, tuple) else str(part)
