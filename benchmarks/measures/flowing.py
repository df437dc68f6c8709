"""Workflows in a system that is idle: one worker process, 8 threads, every result stored."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.contenders import Contender
from benchmarks.lab import Server, Worker
from benchmarks.process import Process
from benchmarks.scale import Scale
from benchmarks.spec import BenchmarkError

Values = dict[str, float]
#: Messages before the clock runs, and with that the index of the first step or member.
FIRST = 10
SPARE = 2_000
#: No contender runs fewer members a second; a chord that takes longer is given up.
SLOWEST = 100.0


def chain(server: Server, contender: Contender, scale: Scale) -> Values:
    """Milliseconds from the body of a step to the body of the next: the mean of a chain."""
    steps = contender.count(scale.chain)
    with _idle_system(server, contender, steps) as (worker, sender):
        sender.ask("run_chain", first=FIRST, steps=steps, timeout=60)
        found = _runs(contender, worker, {FIRST, FIRST + steps - 1}, timeout=30 + steps)
    return {"hop": (found[FIRST + steps - 1] - found[FIRST]) / (steps - 1) * 1000}


def chord(server: Server, contender: Contender, scale: Scale) -> Values:
    """From run() to the end of the body."""
    return _chord(server, contender, contender.count(scale.chord))


def large_chord(server: Server, contender: Contender, scale: Scale) -> Values:
    """The same of many members."""
    return _chord(server, contender, contender.count(scale.large_chord))


def _chord(server: Server, contender: Contender, members: int) -> Values:
    """Milliseconds for each member, so that chords of different sizes can be compared; and in all, in seconds."""
    timeout = 60 + members / SLOWEST
    with _idle_system(server, contender, members) as (worker, sender):
        answer = sender.ask("run_chord", first=FIRST, members=members, timeout=timeout)
        # The body notes that it runs, and does nothing after it.
        body = FIRST + members
        took = _runs(contender, worker, {body}, timeout=timeout)[body] - answer["began"]
    return {"member": took / members * 1000, "seconds": took, "accepted": answer["seconds"]}


def _runs(contender: Contender, worker: Worker, wanted: set[int], *, timeout: float) -> dict[int, float]:
    """When each of the messages ``wanted`` ran first."""
    first: dict[int, float] = {}
    deadline = time.monotonic() + timeout
    while not wanted <= first.keys():
        for index, at in worker.tape.new():
            first.setdefault(index, at)
        if time.monotonic() > deadline:
            raise BenchmarkError(
                f"{contender.label}: not at its end within {timeout:g} seconds, {len(first)} bodies ran"
            )
        time.sleep(0.005)
    return first


@contextmanager
def _idle_system(server: Server, contender: Contender, count: int) -> Iterator[tuple[Worker, Process]]:
    """A worker that is under way and idle, and the process that sends."""
    with server.bench(contender, capacity=count + SPARE) as bench:
        worker = bench.worker()
        sender = bench.sender()
        worker.process.ask("start_worker")
        sender.ask("warm_up", kind="noop", count=FIRST, timeout=120)
        yield worker, sender
