"""What is not built yet, and so may be waited for by a cell that reads ``Due``.

Who builds a capability removes it here. From then on every cell that waits for it is red until it has a case.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Capability:
    """Something that does not exist yet.

    Attributes:
      waits_for: what will exist, in words that a reader of the table understands.
      rows: the rows that can wait for it, and no others.
      exists: the sign that it does exist: then a cell may wait no longer, even if this list was forgotten.
    """

    waits_for: str
    rows: frozenset[str]
    exists: Callable[[], bool]


#: Nothing, at present.
AWAITED: dict[str, Capability] = {}
