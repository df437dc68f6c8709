"""How much of everything is measured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """Numbers of messages and samples, and seconds.

    Args:
      drain: messages that wait before a drain.
      enqueue, bulk: messages sent one by one and in bulk.
      io: messages that wait 5 ms each.
      samples: of latencies, one at a time.
      silences: samples taken after ``silence`` seconds without a message.
      queued: messages whose memory on the server is weighed.
      delayed: messages that are due in an hour.
      settle: seconds that a worker is given with them before its memory is weighed.
      due: messages that come due beside them.
      chain: steps of a chain.
      chord, large_chord: members of a chord.
      recovery_limit: seconds after which recovery is given up.
    """

    drain: int = 20_000
    enqueue: int = 5_000
    bulk: int = 20_000
    io: int = 6_000
    samples: int = 200
    silences: int = 5
    silence: float = 2.0
    queued: int = 20_000
    delayed: int = 1_000_000
    settle: float = 10.0
    due: int = 100
    chain: int = 200
    chord: int = 1_000
    large_chord: int = 100_000
    recovery_limit: float = 30.0


FULL = Scale()
QUICK = Scale(
    drain=4_000,
    enqueue=1_000,
    bulk=4_000,
    io=1_500,
    samples=60,
    silences=2,
    queued=4_000,
    delayed=100_000,
    settle=3.0,
    due=50,
    chain=50,
    chord=200,
    large_chord=5_000,
    recovery_limit=12.0,
)
