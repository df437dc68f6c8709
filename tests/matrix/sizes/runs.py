"""A house, a new worker for each piece of work, and what is measured of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from dramatiq import Message

from tests.chaos.plant import Worker
from tests.matrix.mains.house import House
from understudy import clock
from understudy.handle import Handle
from understudy.metrics.reading import read
from understudy.testing.conditions import wait_until

from .figures import Figure

#: Seconds that one piece of work may take.
TIMEOUT = 3_600.0
#: Seconds between two looks at what the processes weigh.
LOOK = 0.25
#: How an execution may end. What waits for a limit is handed back until it is its turn.
ENDS = {"success", "continued", "handed_back"}
#: Threads of a worker.
THREADS = 2

T = TypeVar("T")


@dataclass(frozen=True)
class Done:
    """What came of a piece of work: results in the order of the messages, seconds of all, seconds of the bodies of each
    actor, and the most memory of a worker process and of one that runs bodies."""

    results: list[Any]
    seconds: float
    bodies: dict[str, float]
    worker: int
    body: int

    def figure(self, subject: str, on: str, count: int, unit: str, checked: str) -> Figure:
        """All of it as the figure of ``subject``."""
        return Figure(subject, on, count, unit, self.seconds, self.worker, self.body, checked)

    def of_bodies(self, subject: str, on: str, count: int, unit: str, checked: str) -> Figure:
        """The same with the time of the bodies of ``subject`` alone."""
        return Figure(subject, on, count, unit, self.bodies[subject], self.worker, self.body, checked)


class Run:
    """Where a scene plays.

    Args:
      quick: it is to show that it works, and not how large it may be. Then one worker does for all.
      tell: is given a line now and then.
    """

    def __init__(self, house: House, *, quick: bool, tell: Callable[[str], object]) -> None:
        self.house, self.quick, self.tell = house, quick, tell
        self._worker: Worker | None = None
        self._looked = 0.0

    def of(self, size: T, quick: T) -> T:
        """``size``, or what is in its place when it is to be quick."""
        return quick if self.quick else size

    def work(self, messages: Iterable[Message[Any]]) -> Done:
        """Have ``messages`` worked off by a new worker.

        Raises:
          AssertionError: one did not end well at its first attempt, or not at all.
        """
        return self.watch(lambda: self.house.put(messages))

    def watch(self, send: Callable[[], Sequence[Handle]]) -> Done:
        """The same of what ``send`` sends."""
        self._renew()
        before, began = self._counted(), clock.monotonic()
        handles = send()
        self._await(handles)
        seconds = clock.monotonic() - began
        self.house.look()
        results = [handle.get(timeout=1) for handle in handles]
        ended, bodies = self._counted()
        ended.subtract(before[0])
        bodies.subtract(before[1])
        wrong = {f"{actor} {end}": count for (actor, end), count in ended.items() if count and end not in ENDS}
        assert not wrong, f"what did not end well at its first attempt: {wrong}\n{self.house.plant.logs()}"
        micros = {actor: spent / 1_000_000 for actor, spent in bodies.items() if spent}
        return Done(results, seconds, micros, self.house.peaks["worker"], self.house.peaks["body"])

    def prepare(self, messages: Iterable[Message[Any]]) -> None:
        """Have ``messages`` worked off, however they end, without measuring it."""
        self._renew()
        self._await(self.house.put(messages))

    def restart(self) -> None:
        """End the worker; the next one has the environment as it is then."""
        if self._worker is not None:
            self._worker.stop()
            self.house.plant.workers.remove(self._worker)
            self._worker = None

    def _renew(self) -> None:
        """A new worker: what another had to do is not in its memory."""
        if self._worker is not None and self.quick:
            return
        self.restart()
        self._worker = worker = self.house.start(module="workflows", threads=THREADS)
        self.house.peaks = dict.fromkeys(self.house.peaks, 0)
        wait_until(lambda: "ready for action" in worker.said(), timeout=60, what=f"a worker\n{worker.said()}")

    def _await(self, handles: Sequence[Handle]) -> None:
        self.house.plant.wait_for_all(handles, timeout=TIMEOUT, meanwhile=self._look)

    def _look(self) -> None:
        if clock.monotonic() - self._looked > LOOK:
            self._looked = clock.monotonic()
            self.house.look()

    def _counted(self) -> tuple[Counter[tuple[str, str]], Counter[str]]:
        """How many executions of each actor ended how, and the microseconds of all their bodies."""
        ended, bodies = Counter[tuple[str, str]](), Counter[str]()
        for found in read(self.house.plant.broker.storage).executions:
            ended[found.actor, found.end] += found.count
            bodies[found.actor] += round(found.seconds * 1_000_000)
        return ended, bodies
