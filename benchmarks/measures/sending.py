"""What it costs to send, on the sender and on the server. No worker runs."""

from __future__ import annotations

from benchmarks.contenders import Contender
from benchmarks.lab import Server
from benchmarks.scale import Scale

Values = dict[str, float]
SLOWEST = 25.0


def one_by_one(server: Server, contender: Contender, scale: Scale) -> Values:
    """Messages a second, one call of send for each."""
    return _send(server, contender, contender.count(scale.enqueue), bulk=False)


def in_bulk(server: Server, contender: Contender, scale: Scale) -> Values:
    """Messages a second, in the side's best way of sending many."""
    return _send(server, contender, contender.count(scale.bulk), bulk=True)


def queued_bytes(server: Server, contender: Contender, scale: Scale) -> Values:
    """Bytes on the server per waiting message."""
    count = contender.count(scale.queued)
    with server.bench(contender, capacity=0) as bench:
        sender = bench.sender()
        sender.ask("send", kind=contender.kind, count=1, bulk=True)  # connections, scripts
        before = server.used_memory()
        sender.ask("send", kind=contender.kind, count=count, bulk=True, timeout=30 + count / SLOWEST)
        return {"bytes": (server.used_memory() - before) / (count + 1)}


def _send(server: Server, contender: Contender, count: int, *, bulk: bool) -> Values:
    with server.bench(contender, capacity=0) as bench:
        answer = bench.sender().ask("send", kind=contender.kind, count=count, bulk=bulk, timeout=30 + count / SLOWEST)
        return {"rate": count / answer["seconds"]}
