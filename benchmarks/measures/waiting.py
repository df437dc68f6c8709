"""How long one message takes in a system that is idle. One worker process, 8 threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks import stats
from benchmarks.contenders import Contender
from benchmarks.lab import Server
from benchmarks.process import Process
from benchmarks.scale import Scale

Values = dict[str, float]
WARM_UP = 10
#: Seconds between two messages: short and uneven, so that no poll can fall into step with them.
PAUSES = (0.005, 0.05)


def pick_up(server: Server, contender: Contender, scale: Scale) -> Values:
    """Milliseconds from send to the start of the body: p50, p99, and the median after silence."""
    with _idle_system(server, contender, scale) as sender:
        first = WARM_UP
        quick = sender.ask(
            "pick_up", kind=contender.kind, first=first, count=scale.samples, pauses=PAUSES, timeout=300
        )["seconds"]
        late = sender.ask(
            "pick_up",
            kind=contender.kind,
            first=first + scale.samples,
            count=scale.silences,
            pauses=(scale.silence, scale.silence),
            timeout=60 + scale.silences * (scale.silence + 20),
        )["seconds"]
    return {
        "p50": stats.percentile(quick, 0.5) * 1000,
        "p99": stats.percentile(quick, 0.99) * 1000,
        "silence": stats.percentile(late, 0.5) * 1000,
        "silence_worst": max(late) * 1000,
    }


def result(server: Server, contender: Contender, scale: Scale) -> Values:
    """Milliseconds from send to the result in the sender's hand."""
    with _idle_system(server, contender, scale) as sender:
        found = sender.ask(
            "send_and_wait", kind=contender.kind, first=WARM_UP, count=scale.samples, timeout=60 + 5 * scale.samples
        )["seconds"]
    return {"p50": stats.percentile(found, 0.5) * 1000, "p99": stats.percentile(found, 0.99) * 1000}


def isolated(server: Server, contender: Contender, scale: Scale) -> Values:
    """The same of a body in the worker's thread, or in a process of its own that is there already; and the first, for
    which the process is made."""
    with _idle_system(server, contender, scale, warm_up="noop") as sender:
        ask: dict[str, Any] = {"kind": contender.kind, "timeout": 60 + 5 * scale.samples}
        (first,) = sender.ask("send_and_wait", first=WARM_UP, count=1, **ask)["seconds"]
        # A worker thread has a process of its own, too: let each have made one.
        sender.ask("send_and_wait", first=WARM_UP + 1, count=4 * WARM_UP, **ask)
        found = sender.ask("send_and_wait", first=5 * WARM_UP + 1, count=scale.samples, **ask)["seconds"]
    return {
        "p50": stats.percentile(found, 0.5) * 1000,
        "p99": stats.percentile(found, 0.99) * 1000,
        "first": first * 1000,
    }


@contextmanager
def _idle_system(
    server: Server, contender: Contender, scale: Scale, *, warm_up: str | None = None
) -> Iterator[Process]:
    """A worker that is under way and idle; yields the process that sends."""
    with server.bench(contender, capacity=scale.samples + scale.silences + 1_000) as bench:
        worker = bench.worker()
        sender = bench.sender()
        worker.process.ask("start_worker")
        sender.ask("warm_up", kind=warm_up or contender.kind, count=WARM_UP, timeout=120)
        yield sender
