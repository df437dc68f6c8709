"""Names that somebody wrote and that must be one of some: what to say when they are not."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from .errors import DeclarationError


def choose(value: str, allowed: Iterable[str], *, field: str) -> None:
    """Raise ``DeclarationError`` with a suggestion unless ``value`` is one of ``allowed``."""
    names = list(allowed)
    if value not in names:
        raise DeclarationError(f"{field} is one of {', '.join(names)}, not {value!r}{did_you_mean(value, names)}")


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """``"; did you mean 'x'?"`` for the nearest of ``known``, or an empty text."""
    close = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""
