"""What a column holds, in words that files, tables and rows share."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

Kind = Literal["integer", "number", "text", "boolean", "date", "datetime"]

#: The type of a value in Python.
PYTHON: dict[Kind, type] = {
    "integer": int,
    "number": float,
    "text": str,
    "boolean": bool,
    "date": date,
    "datetime": datetime,
}


def kind_of(value: object) -> Kind:
    """The kind of a value; text when it is of none."""
    # A bool is an int and a datetime is a date: the narrower one is asked for first.
    for kind in ("boolean", "integer", "number", "datetime", "date"):
        if isinstance(value, PYTHON[kind]):
            return kind
    return "text"
