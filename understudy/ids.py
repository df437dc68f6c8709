"""Ids of messages: random UUIDs, as Dramatiq makes them, many at a time.

To ask the system for randomness costs more than to write an id down.
"""

from __future__ import annotations

import os

#: How many are drawn at once.
DRAWN = 64
_VARIANT = {digit: "89ab"[int(digit, 16) % 4] for digit in "0123456789abcdef"}
_drawn: list[str] = []
# Or a child would give its messages the names that its parent gives.
os.register_at_fork(after_in_child=_drawn.clear)


def new_id() -> str:
    """An id that no other message has: a UUID of version 4."""
    try:
        digits = _drawn.pop()
    except IndexError:
        fresh = os.urandom(16 * DRAWN).hex()
        _drawn.extend(fresh[at : at + 32] for at in range(32, len(fresh), 32))
        digits = fresh[:32]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{_VARIANT[digits[16]]}{digits[17:20]}-{digits[20:]}"
