"""Messages a second, of what waits already."""

from __future__ import annotations

import time
from dataclasses import replace

from benchmarks import stats
from benchmarks.contenders import Contender
from benchmarks.lab import Server, Worker
from benchmarks.scale import Scale
from benchmarks.spec import BenchmarkError

Values = dict[str, float]

#: Room on a tape for messages that are run more than once.
SPARE = 2_000
#: No contender is slower than this, per second; a drain that takes longer is given up.
SLOWEST = 25.0


def drain(server: Server, contender: Contender, scale: Scale, *, processes: int = 1) -> Values:
    """No-op messages with 8 threads in each of ``processes``: messages a second, worker CPU per message (us)."""
    return _drain(server, contender, contender.count(scale.drain), processes=processes)


def io(server: Server, contender: Contender, scale: Scale) -> Values:
    """Messages that wait 5 ms, 16 at a time, in one process."""
    return _drain(server, replace(contender, kind="io"), contender.count(scale.io), threads=16)


def guards(server: Server, contender: Contender, scale: Scale) -> Values:
    """The same drain, then with one thread and no prefetch: nothing can share a round trip."""
    alone = replace(contender, environ={**contender.environ, "dramatiq_queue_prefetch": "1"})
    saturated = _drain(server, contender, contender.count(scale.drain))
    single = _drain(server, alone, max(20, contender.count(scale.drain) // 10), threads=1)
    return {"rate": saturated["rate"], "cpu": saturated["cpu"], "single": single["rate"]}


def _drain(server: Server, contender: Contender, count: int, *, processes: int = 1, threads: int = 8) -> Values:
    with server.bench(contender, capacity=count + SPARE) as bench:
        workers = [bench.worker(threads=threads) for _ in range(processes)]
        bench.sender().ask("send", kind=contender.kind, count=count, bulk=True, timeout=30 + count / SLOWEST)
        for worker in workers:
            worker.process.ask("facts")  # all is imported
        for worker in workers:
            worker.process.tell("start_worker")
        before = sum(worker.process.answer()["cpu"] for worker in workers)
        times = first_runs(contender.label, workers, count, timeout=30 + count / SLOWEST)
        after = sum(worker.process.ask("facts")["cpu"] for worker in workers)
        return {"rate": stats.rate(times), "cpu": (after - before) / count * 1e6}


def first_runs(label: str, workers: list[Worker], count: int, *, timeout: float) -> list[float]:
    """When each of messages 0 to ``count`` ran first; returns when all have.

    Raises:
      BenchmarkError: some did not, in ``timeout`` seconds.
    """
    first: dict[int, float] = {}
    deadline = time.monotonic() + timeout
    while len(first) < count:
        for worker in workers:
            for index, at in worker.tape.new():
                if index < count:
                    first.setdefault(index, at)
        if time.monotonic() > deadline:
            raise BenchmarkError(f"{label}: {len(first)} of {count} ran within {timeout:g} seconds")
        time.sleep(0.01)
    return list(first.values())
