"""What happens to a house full of main actors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.plant import Worker
from understudy import clock
from understudy.handle import Handle
from understudy.states import State
from understudy.testing.conditions import wait_until

from . import domains
from .house import Call, House, house
from .mains import MAINS, Main

assert domains  # importing them has filled MAINS

#: Seconds; as generous as a busy machine needs.
TIMEOUT = 120.0
#: Messages of each main actor that wait behind the one whose body runs.
WAITING = 2
#: What a worker has to import so that it knows all of them.
MODULE = "workflows"


@contextmanager
def furnished(directory: Path) -> Iterator[House]:
    """A house in which every main actor can work."""
    with house(directory) as made:
        for main in MAINS.values():
            main.open(made)
        yield made


@dataclass
class Work:
    """A house with one worker of one thread."""

    house: House
    worker: Worker
    _batches: Counter[str] = field(default_factory=Counter)

    def calls(self, main: Main, count: int) -> list[Call]:
        """Calls with effects that no others have."""
        self._batches[main.name] += 1
        return main.calls(self.house, f"w{self._batches[main.name]}", count)

    def compare(self, main: Main, count: int) -> tuple[float, float]:
        """Seconds that a plain loop needs for so many bodies, and this worker for as many messages."""
        for call in self.calls(main, 1):
            self.run(call)  # whatever is imported or made at the first time
        self.wait(self.house.enqueue(self.calls(main, 1)))
        calls = self.calls(main, count)
        began = clock.monotonic()
        for call in calls:
            self.run(call)
        loop = clock.monotonic() - began
        calls = self.calls(main, count)
        began = clock.monotonic()
        self.wait(self.house.enqueue(calls))
        worker = clock.monotonic() - began
        effects = main.effects(self.house)
        assert [effects[call.effect] for call in calls] == [1] * count
        return loop, worker

    def run(self, call: Call) -> None:
        """Run the body here."""
        (main,) = (main for main in MAINS.values() if main.name == call.message.actor_name)
        main.actor.fn(*call.message.args, **call.message.kwargs)

    def wait(self, handles: list[Handle]) -> None:
        """Wait until all have succeeded."""
        self.house.plant.wait_for_all(handles, timeout=TIMEOUT)
        for handle in handles:
            handle.get(timeout=1)


@contextmanager
def work(directory: Path) -> Iterator[Work]:
    """A house whose worker has one thread: what holds it up holds everything up."""
    with furnished(directory) as made:
        yield Work(made, made.start(module=MODULE, threads=1))


@dataclass(frozen=True)
class Aftermath:
    """What became of one main actor's messages: states and counts of effects, of the one whose body ran when it
    happened, and of those that waited. ``said`` is what the workers logged at WARNING and above."""

    running: tuple[State, int]
    waiting: list[tuple[State, int]]
    said: str = field(default="", compare=False, repr=False)


def deaths(directory: Path, *, waiting: int = WAITING) -> dict[str, dict[str, Aftermath]]:
    """In one house: while a body of every main actor runs and nothing answers, kill -9 of the server; then the same
    again with the worker. What became of the messages, by what was killed and main actor."""
    with furnished(directory) as made:
        worker = made.start(module=MODULE, threads=len(MAINS))
        return {
            "server": _interrupted(made, "server", waiting, made.plant.server.kill, made.plant.server.start),
            # One thread in the place of many: it has all the time.
            "worker": _interrupted(made, "worker", waiting, worker.kill, lambda: made.start(module=MODULE, threads=1)),
        }


def _interrupted(
    made: House, what: str, count: int, kill: Callable[[], object], replace: Callable[[], object]
) -> dict[str, Aftermath]:
    first = {name: main.calls(made, f"{what}-running", 1) for name, main in MAINS.items()}
    rest = {name: main.calls(made, f"{what}-waiting", count) for name, main in MAINS.items()}
    arrived, mailed = len(made.target.seen), len(made.smtp.journal())
    with made.silence():
        running = {name: made.enqueue(calls) for name, calls in first.items()}
        for name, (handle,) in running.items():
            _await_body(made, name, handle)
        wait_until(lambda: len(made.target.seen) > arrived, timeout=TIMEOUT, what="the webhook has arrived")
        waiting = {name: made.enqueue(calls) for name, calls in rest.items()}
        kill()
    if what == "server":
        wait_until(lambda: len(made.smtp.journal()) > mailed, timeout=TIMEOUT, what="a body ends in the outage")
    replace()
    everything = [one for sent in (running, waiting) for handles in sent.values() for one in handles]
    made.plant.wait_for_all(everything, timeout=TIMEOUT)
    lines = [line for worker in made.plant.workers for line in worker.said().splitlines()]
    said = "\n".join(line for line in lines if "[warning" in line or "[error" in line)
    found = {}
    for name, main in MAINS.items():
        effects = main.effects(made)
        told = [
            (handle.status, effects[call.effect])
            for handle, call in zip(running[name] + waiting[name], first[name] + rest[name], strict=True)
        ]
        found[main.name] = Aftermath(told[0], told[1:], said)
    return found


def _await_body(made: House, name: str, handle: Handle) -> None:
    begun = (State.STARTED, State.PROGRESS)
    what = f"the body of {name} runs\n{made.plant.logs()}"
    wait_until(lambda: handle.status in begun, timeout=TIMEOUT, what=what)
