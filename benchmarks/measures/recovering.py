"""What a killed worker held runs on another one: when?"""

from __future__ import annotations

import math
import time

from benchmarks.contenders import Contender
from benchmarks.lab import Server
from benchmarks.scale import Scale
from benchmarks.spec import BenchmarkError

Values = dict[str, float]
#: Messages whose bodies run when the worker is killed: one for each thread.
HELD = 8


def recovery(server: Server, contender: Contender, scale: Scale) -> Values:
    """Seconds from kill -9 of the only worker, with 8 bodies running and a new worker at once in an otherwise idle
    system, until the last of the 8 runs again. Infinite when the limit is passed."""
    with server.bench(contender, capacity=1_000) as bench:
        victim = bench.worker(hold=True)
        sender = bench.sender()
        heir = bench.worker()
        heir.process.ask("facts")  # all is imported: a supervisor would have it ready, too
        victim.process.ask("start_worker")
        sender.ask("send", kind="hold", count=HELD - 1, bulk=False)
        seen: set[int] = set()
        deadline = time.monotonic() + 30
        while len(seen) < HELD:
            seen.update(index for index, _ in victim.tape.new())
            if time.monotonic() > deadline:
                raise BenchmarkError(f"{contender.label}: only {len(seen)} of {HELD} bodies began")
            time.sleep(0.005)
        killed = time.monotonic()
        victim.process.kill()
        heir.process.ask("start_worker")
        again: dict[int, float] = {}
        while len(again) < HELD and time.monotonic() < killed + scale.recovery_limit:
            for index, at in heir.tape.new():
                again.setdefault(index, at)
            time.sleep(0.005)
    return {"seconds": max(again.values()) - killed if len(again) == HELD else math.inf}
