"""Sizes as users write them: bytes, or a text such as ``"512MiB"``."""

from __future__ import annotations

import re

from .errors import DeclarationError

Size = int | str

_UNITS = {"b": 1, "kib": 1024, "mib": 1024**2, "gib": 1024**3}


def parsed(text: str) -> int | None:
    """What a text says in bytes; None when it is not a size."""
    match = re.fullmatch(r"(\d+)\s*(b|kib|mib|gib)?", text.strip().lower())
    return None if match is None else int(match[1]) * _UNITS[match[2] or "b"]


def to_bytes(value: object, *, field: str) -> int:
    """``value`` in bytes.

    Raises:
      DeclarationError: when it is not a size, or none at all; the message names ``field``.
    """
    size = parsed(value) if isinstance(value, str) else value
    if isinstance(size, bool) or not isinstance(size, int) or size <= 0:
        raise DeclarationError(f"{field} is a number of bytes or a text such as '512MiB', not {value!r}")
    return size


def written(size: float) -> str:
    """For people: ``71.3 MiB``."""
    return f"{size / 2**20:,.4g} MiB"
