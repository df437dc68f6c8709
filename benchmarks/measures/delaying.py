"""Many messages that are due in an hour, and a few that come due beside them."""

from __future__ import annotations

import math
import time

from benchmarks import stats
from benchmarks.contenders import Contender
from benchmarks.lab import Server
from benchmarks.scale import Scale

Values = dict[str, float]
HOUR = 3600.0
#: Seconds until the few come due, and between two of them.
DELAY, SPACING = 1.0, 0.02
#: Seconds after which one that came due counts as never run.
PATIENCE = 8.0
SLOWEST = 25.0
MIB = 1024 * 1024
WARM_UP = 10


def delayed(server: Server, contender: Contender, scale: Scale) -> Values:
    """Lateness (ms) of the few; growth of the worker's memory (MiB) and bytes on the server for the many."""
    count = contender.count(scale.delayed)
    with server.bench(contender, capacity=scale.due + 1_000) as bench:
        worker = bench.worker()
        sender = bench.sender()
        worker.process.ask("start_worker")
        sender.ask("warm_up", kind=contender.kind, count=WARM_UP, timeout=120)
        at_first, weighed = worker.process.ask("facts")["rss"], server.used_memory()
        sender.ask("send", kind=contender.kind, count=count, bulk=True, delay=HOUR, timeout=60 + count / SLOWEST)
        time.sleep(scale.settle)  # not for a signal: the question is what a worker does when left alone
        grown = worker.process.ask("facts")["rss"] - at_first
        weight = (server.used_memory() - weighed) / count
        order = {"first": WARM_UP, "count": scale.due, "delay": DELAY, "spacing": SPACING}
        due = sender.ask("send_due", kind=contender.kind, timeout=120, **order)["due"]
        started: dict[int, float] = {}
        while len(started) < scale.due and time.monotonic() < due[-1] + PATIENCE:
            started.update({index: at for index, at in worker.tape.new() if WARM_UP <= index < WARM_UP + scale.due})
            time.sleep(0.005)
    late = [started.get(WARM_UP + place, math.inf) - at for place, at in enumerate(due)]
    return {
        "p50": stats.percentile(late, 0.5) * 1000,
        "p99": stats.percentile(late, 0.99) * 1000,
        "rss_before": at_first / MIB,
        "growth": grown / MIB,
        "bytes": weight,
    }
