"""A process of a contender, from within: takes orders as lines of JSON, answers each with one line.

It ends when its standard input does, so it never outlives its parent, however that ends.
"""

from __future__ import annotations

import json
import os
import random
import resource
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TextIO

from benchmarks.sides import Bodies, open_side
from benchmarks.spec import BenchmarkError, Spec
from benchmarks.tape import Tape

Answer = dict[str, Any]

#: Seconds between two looks at the tapes. The times compared are those noted, so this blurs nothing.
LOOK = 0.0005


class Child:
    """Each public method is an order; its arguments and its answer are plain values."""

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        own = None if spec.tape is None else Tape(Path(spec.tape), spec.capacity)
        self._side = open_side(spec, Bodies(own.hit if own is not None else _must_not_run, hold=spec.hold))
        self._watched = [Tape(Path(path), spec.capacity) for path in spec.watched]

    def facts(self) -> Answer:
        """CPU seconds used so far, resident bytes, versions."""
        return {"cpu": time.process_time(), "rss": resident_bytes(), "versions": self._side.versions()}

    def start_worker(self) -> Answer:
        """Begin to consume."""
        facts = self.facts()
        if self._spec.core is not None:
            os.sched_setaffinity(0, {self._spec.core})
        self._side.start_worker(self._spec.threads)
        return facts

    def send(self, kind: str, count: int, bulk: bool, delay: float | None = None) -> Answer:
        """Send messages 0 to ``count``; how many seconds that took."""
        # The first message connects and loads scripts; it is one more, of an index that nobody waits for.
        self._side.send_many(kind, [count], delay)
        began = time.monotonic()
        if bulk:
            self._side.send_many(kind, range(count), delay)
        else:
            for index in range(count):
                self._side.send(kind, index)
        return {"seconds": time.monotonic() - began}

    def warm_up(self, kind: str, count: int) -> Answer:
        """One message after the other, until the worker is under way."""
        for index in range(count):
            self._side.send(kind, index)
            self._await(index, 20.0)
        return {}

    def pick_up(self, kind: str, first: int, count: int, pauses: tuple[float, float]) -> Answer:
        """From the call of send to the start of the body, one message at a time, each after a pause."""
        dice = random.Random(first)
        found = []
        for index in range(first, first + count):
            time.sleep(dice.uniform(*pauses))
            sent = time.monotonic()
            self._side.send(kind, index)
            found.append(self._await(index, 20.0) - sent)
        return {"seconds": found}

    def send_and_wait(self, kind: str, first: int, count: int) -> Answer:
        """From the call of send to the result in hand, one message at a time, each after a short pause."""
        dice = random.Random(first)
        found = []
        for index in range(first, first + count):
            time.sleep(dice.uniform(0.002, 0.02))
            sent = time.monotonic()
            self._side.send_and_wait(kind, index, 10.0)
            found.append(time.monotonic() - sent)
        return {"seconds": found}

    def send_due(self, kind: str, first: int, count: int, delay: float, spacing: float) -> Answer:
        """Messages that come due one after the other: the monotonic time at which each is due, in order."""
        due = []
        for index in range(first, first + count):
            due.append(time.monotonic() + delay)
            self._side.send_delayed(kind, index, delay)
            time.sleep(spacing)
        return {"due": due}

    def run_chain(self, first: int, steps: int) -> Answer:
        """Run a chain; nothing is waited for."""
        self._side.run_chain(first, steps)
        return {}

    def run_chord(self, first: int, members: int) -> Answer:
        """Run a chord: the monotonic time at which that began, and how many seconds it took to hand it over."""
        began = time.monotonic()
        self._side.run_chord(first, members)
        return {"began": began, "seconds": time.monotonic() - began}

    def _await(self, index: int, timeout: float) -> float:
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            for tape in self._watched:
                for found, at in tape.new():
                    if found == index:
                        return at
            time.sleep(LOOK)
        raise BenchmarkError(f"message {index} was not run within {timeout:g} seconds")


def _must_not_run(index: int) -> None:
    raise BenchmarkError(f"message {index} was run by a process that only sends")


def resident_bytes() -> int:
    """The memory of this process that is in RAM."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def serve(child: Child, orders: Iterable[str], answers: TextIO) -> None:
    """Carry out orders until there are no more."""
    for line in orders:
        order = json.loads(line)
        method: Callable[..., Answer] = getattr(child, order["order"])
        try:
            answer = method(**order["arguments"])
        except Exception as error:  # noqa: BLE001 - whatever it is, the parent has to know
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def main(argument: str) -> None:
    """Answers go where standard output went; whatever else is printed goes to standard error, a log file."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    serve(Child(Spec.loads(argument)), sys.stdin, answers)
    os._exit(0)  # threads of a worker need not be waited for: nothing of theirs is wanted any more


if __name__ == "__main__":
    main(sys.argv[1])
