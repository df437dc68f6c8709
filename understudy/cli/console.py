"""What the commands share: exit codes, where they write, how they fail."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from enum import IntEnum
from typing import Any, NoReturn

import msgspec
import typer
from rich.console import Console
from rich.markup import escape


class Exit(IntEnum):
    """Exit codes, with the meaning they have in Dramatiq."""

    OK = 0
    FAILED = 1
    """The worker was killed; the message failed; ``doctor`` found something wrong."""
    USAGE = 2
    """A module cannot be imported, an argument or a setting is wrong."""
    SERVER = 3
    """The server cannot be reached."""


def out() -> Console:
    """For what a command was asked for. Made anew, because tests and worker processes replace ``sys.stdout``."""
    return Console(highlight=False, soft_wrap=not sys.stdout.isatty())


def err() -> Console:
    """For everything else."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def fail(text: str, code: Exit) -> NoReturn:
    """End the command with ``text`` on stderr."""
    err().print(f"[bold red]Error:[/] {escape(text)}")
    raise typer.Exit(code)


def hint(text: str) -> None:
    """Something worth knowing, on stderr, so that scripts do not read it."""
    err().print(escape(text), style="dim")


def print_json(value: Any) -> None:
    """``value`` as one line of JSON on stdout."""
    typer.echo(to_json(value))


def to_json(value: Any) -> str:
    """``value`` as JSON for scripts and eyes: a datetime is ISO 8601, bytes are base64, NaN is null, and whatever
    JSON has no form for is its text. (What messages carry is written by ``understudy.serialization``.)"""
    return json.dumps(_without_nan(value), default=_plain, ensure_ascii=False)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _without_nan(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _plain(value: Any) -> Any:
    try:
        return _without_nan(msgspec.to_builtins(value))
    except TypeError:
        return str(value)


def exit_code(error: Exception) -> Exit | None:
    """The exit code for ``error``; None when it is none of Understudy's, so a bug, and its traceback is due."""
    # Imported here: `understudy --help` never fails this way and shall not pay for importing Dramatiq.
    from understudy import errors

    kinds: tuple[tuple[type[Exception], Exit], ...] = (
        (errors.ServerUnavailable, Exit.SERVER),
        (errors.EmbeddedServerError, Exit.SERVER),
        (errors.SettingsError, Exit.USAGE),
        (errors.DeclarationError, Exit.USAGE),
        (errors.SerializationError, Exit.USAGE),
        (errors.MessageTooLarge, Exit.USAGE),
        (errors.UnknownActor, Exit.USAGE),
        (errors.UnderstudyError, Exit.FAILED),
    )
    return next((code for kind, code in kinds if isinstance(error, kind)), None)


def guarded(run: Callable[[], None]) -> int:
    """Run a command line; Understudy's errors become their text on stderr and an exit code."""
    try:
        run()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else Exit.FAILED
    except Exception as error:
        code = exit_code(error)
        if code is None:
            raise
        err().print(f"[bold red]Error:[/] {escape(str(error))}")
        return code
    return Exit.OK
