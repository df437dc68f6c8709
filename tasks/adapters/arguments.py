"""Arguments that several actors take, checked before any work begins: a mistake costs nothing, and is named."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from understudy.options import did_you_mean

from .kinds import PYTHON


def check_names(names: Sequence[str], *, field: str, known: Iterable[str] | None = None) -> list[str]:
    """Names of columns as a list; each is one of ``known``, where that is given.

    Raises:
      ValueError: they are no list, one comes twice, or one is not known.
    """
    # A text is a sequence too, of letters.
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{field} is a list of names, as [{str(names)[:50]!r}], not {names!r}"[:300])
    found = list(names)
    if twice := [name for name in found if found.count(name) > 1]:
        raise ValueError(f"{field} names {twice[0]!r} twice")
    if known is not None:
        there = list(known)
        for name in found:
            if name not in there:
                raise ValueError(
                    f"{field} names {name!r}, which is none of the columns{did_you_mean(name, there)}; they are "
                    f"{', '.join(there)}"
                )
    return found


def check_kinds(kinds: Mapping[str, str], *, field: str) -> None:
    """See that every column is of a kind that there is.

    Raises:
      ValueError: one is not.
    """
    if not isinstance(kinds, Mapping):
        raise ValueError(f"{field} says of each column what it holds, as {{'id': 'integer'}}, not {kinds!r}"[:300])
    for name, kind in kinds.items():
        if kind not in PYTHON:
            hint = did_you_mean(kind, PYTHON)
            raise ValueError(f"{field}: {name!r} cannot be {kind!r}{hint}; there are {', '.join(PYTHON)}")


def check_share(share: float, *, field: str) -> float:
    """A share of rows, from 0 to 1.

    Raises:
      ValueError: it is none.
    """
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
        raise ValueError(f"{field} is a share of the rows, from 0 to 1, not {share!r}")
    return share


def part_of(share: float, total: int) -> int:
    """How many of ``total`` a share allows: 29 of 100 with 0.29, though 0.29 * 100 is less than 29 in a computer."""
    return math.floor(Fraction(repr(share)) * total)
