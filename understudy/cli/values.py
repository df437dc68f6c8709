"""Values of options that Typer does not know."""

from __future__ import annotations

from pydantic import TypeAdapter, ValidationError

from understudy.settings import Seconds

from .console import Exit, fail


def duration(option: str, text: str | None) -> float | None:
    """The seconds that ``text`` says; ends the command with what to write when it says none."""
    if text is None:
        return None
    try:
        return float(TypeAdapter(Seconds).validate_python(text))
    except ValidationError:
        fail(f"{option} {text!r} is not a duration; write seconds, or 500ms, 5m, 1h, 2d", Exit.USAGE)
