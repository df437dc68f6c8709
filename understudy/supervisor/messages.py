"""What a supervisor and a worker process say to each other: one line of JSON each, over two pipes.

::

    supervisor ---- Drain ------------------------------> worker process     closed: the supervisor is gone
    supervisor <--- Up | Draining | Stacks | Failed ----- worker process
"""

from __future__ import annotations

from typing import Final

import msgspec

#: Exit codes, with the meaning they have in Dramatiq.
OK: Final = 0
KILLED: Final = 1
USAGE: Final = 2
SERVER: Final = 3

#: Seconds after the shutdown timeout in which outcomes are still written and connections closed.
CLOSE_GRACE: Final = 5.0


class Drain(msgspec.Struct, frozen=True, tag=True):
    """Begin nothing new, end what runs within ``timeout`` seconds (None: however long it takes), and end."""

    reason: str
    timeout: float | None = None


class Up(msgspec.Struct, frozen=True, tag=True):
    """The process takes messages now."""


class Draining(msgspec.Struct, frozen=True, tag=True):
    """The process takes no more messages; it needs a successor unless it was told to go."""

    reason: str


class Stacks(msgspec.Struct, frozen=True, tag=True):
    """Every thread's stack has been written to the file that the supervisor reads."""


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The process could not start, and will not on a second try either. ``code`` is an exit code."""

    code: int
    reason: str


Report = Up | Draining | Stacks | Failed

_encoder = msgspec.json.Encoder()
_reports = msgspec.json.Decoder(Report)
_orders = msgspec.json.Decoder(Drain)


def to_line(said: Report | Drain) -> bytes:
    """``said`` as one line."""
    return _encoder.encode(said) + b"\n"


def to_order(line: bytes) -> Drain:
    """What the supervisor said."""
    return _orders.decode(line)


class Reports:
    """Puts reports together from the pieces that a pipe gives."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> list[Report]:
        """The reports that are complete with ``piece``. A line that is none (a library wrote to the descriptor)
        is passed over."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        found: list[Report] = []
        for line in lines:
            try:
                found.append(_reports.decode(line))
            except msgspec.DecodeError:
                continue
        return found
