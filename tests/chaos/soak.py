"""Everything that can happen to workers and their server, over a mixed load, and what must hold at the end."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import suppress

from tests.chaos.journal import blamed
from tests.chaos.leftovers import dead_workers, leftovers
from tests.chaos.plant import Plant, Worker
from understudy.errors import InDoubt, PoisonMessage, ServerUnavailable
from understudy.handle import Handle
from understudy.states import State
from understudy.testing.conditions import wait_until

#: Seconds for what must come to an end.
TIMEOUT = 120.0
#: Messages sent per second, about.
RATE = 60
ITEMS, CHILDREN = 20, 3
WORKERS, PROCESSES, THREADS = 2, 2, 4


class Load:
    """Sends a mixed load from a thread of its own until it is told to stop. ``sent``: by kind, then by name."""

    def __init__(self, stage: Plant, seed: int) -> None:
        self.sent: dict[str, dict[str, list[Handle]]] = defaultdict(lambda: defaultdict(list))
        #: Retries that a flaky message asks for.
        self.failures: dict[str, int] = {}
        #: Sends that got no answer: such a message may have been accepted, or not.
        self.unsure = 0
        self._stage = stage
        self._rng = random.Random(seed)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(TIMEOUT)
        assert not self._thread.is_alive()

    @property
    def handles(self) -> list[Handle]:
        return [one for by_name in self.sent.values() for handles in by_name.values() for one in handles]

    def _run(self) -> None:
        number = 0
        kinds = [self._plain, self._plain, self._flaky, self._delayed, self._steps, self._once, self._fan]
        while not self._stop.wait(1 / RATE):
            number += 1
            self._rng.choice(kinds)(number)

    def _send(self, kind: str, actor: str, name: str, *args: float, delay: int | None = None) -> None:
        try:
            handle = self._stage.send(actor, name, *args, delay=delay)
        except ServerUnavailable:
            self.unsure += 1
        else:
            self.sent[kind][name].append(handle)

    def _plain(self, number: int) -> None:
        self._send("plain", "innocent", f"plain-{number}", self._rng.uniform(0, 0.03))

    def _flaky(self, number: int) -> None:
        name = f"flaky-{number}"
        self.failures[name] = self._rng.randint(1, 3)
        self._send("flaky", "flaky", name, self.failures[name])

    def _delayed(self, number: int) -> None:
        self._send("delayed", "innocent", f"delayed-{number}", delay=self._rng.randint(100, 3_000))

    def _steps(self, number: int) -> None:
        self._send("steps", "steps", f"steps-{number}", ITEMS)

    def _once(self, number: int) -> None:
        for _ in range(2):
            self._send("once", "once", f"once-{number}")

    def _fan(self, number: int) -> None:
        self._send("fan", "fan", f"fan-{number}", CHILDREN)


class Trouble:
    """What happens to the workers and the server, in an order that ``seed`` decides."""

    def __init__(self, stage: Plant, seed: int) -> None:
        self.happened: Counter[str] = Counter()
        #: Worker processes that were killed or paused: only these can have died at a message.
        self.disturbed: set[int] = set()
        self._stage = stage
        self._rng = random.Random(seed)
        self.workers = [self._new() for _ in range(WORKERS)]
        wait_until(lambda: all(len(one.processes()) == PROCESSES for one in self.workers), what="the workers are there")

    @property
    def kinds(self) -> list[Callable[[], None]]:
        return [self.kill_a_process, self.kill_a_worker, self.pause_a_process, self.kill_the_server, self.stop_a_worker]

    def round(self) -> None:
        """Each kind once, in some order."""
        kinds = self.kinds
        self._rng.shuffle(kinds)
        for kind in kinds:
            threading.Event().wait(self._rng.uniform(0.3, 1.5))  # there is no signal for a moment of one's choice
            self.happened[kind.__name__] += 1
            kind()

    def kill_a_process(self) -> None:
        pid = self._some_process()
        if pid is not None:
            os.kill(pid, signal.SIGKILL)

    def kill_a_worker(self) -> None:
        worker = self._some_worker()
        self.disturbed.update(worker.processes())
        worker.kill()
        self.workers.append(self._new())

    def pause_a_process(self) -> None:
        """Until another has taken what it held, if there is one that can."""
        pid = self._some_process()
        if pid is None:
            return
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            try:
                wait_until(lambda: not self._has_lease(pid), timeout=TIMEOUT, what="its lease is lost")
            finally:
                os.kill(pid, signal.SIGCONT)

    def kill_the_server(self) -> None:
        self._stage.server.kill()
        threading.Event().wait(self._rng.uniform(0.0, 1.5))
        self._stage.server.start()

    def stop_a_worker(self) -> None:
        worker = self._some_worker()
        worker.stop()
        self.workers.append(self._new())

    def _new(self) -> Worker:
        return self._stage.worker(threads=THREADS, processes=PROCESSES)

    def _some_worker(self) -> Worker:
        worker = self._rng.choice(self.workers)
        self.workers.remove(worker)
        return worker

    def _some_process(self) -> int | None:
        pids = sorted(pid for worker in self.workers for pid in worker.processes())
        if not pids:
            return None
        self.disturbed.add(pid := self._rng.choice(pids))
        return pid

    def _has_lease(self, pid: int) -> bool:
        storage = self._stage.broker.storage
        names = [name.decode() for name in storage.call("HKEYS", storage.keys.leases)]
        return any(name.split(":")[-2] == str(pid) for name in names)


class Judge:
    """Compares what was accepted with what took effect. ``check`` raises at the first thing that is wrong."""

    def __init__(self, stage: Plant, load: Load, trouble: Trouble) -> None:
        self._stage, self._load, self._trouble = stage, load, trouble
        #: Messages that ended as in doubt, and such as we killed three times ourselves.
        self.in_doubt: set[str] = set()
        self.unlucky: set[str] = set()

    def check(self) -> None:
        stage = self._stage
        stage.wait_for_all(self._load.handles, timeout=TIMEOUT)
        wait_until(lambda: stage.broker.size("chaos") == 0, timeout=TIMEOUT, what="nothing waits any more")
        self.begun, self.effects = stage.begun(), stage.effects()
        for kind, by_name in self._load.sent.items():
            for name, handles in by_name.items():
                getattr(self, f"_{kind}")(name, handles)
        assert not blamed(self.begun), "prefetched messages are blamed"
        assert {letter.message_id for letter in stage.dead()} <= self.in_doubt | self.unlucky
        assert len(self.unlucky) <= self._trouble.happened.total() / 20, "more bad luck than there can be"
        assert not any(worker.ended() for worker in self._trouble.workers), stage.logs()
        wait_until(lambda: not dead_workers(stage.broker), timeout=TIMEOUT, what="the dead workers are buried")
        assert not leftovers(stage.broker)

    def _succeeded(self, name: str, handle: Handle) -> bool:
        """Whether it did; if not, it must have been running whenever we killed or paused its process, three times."""
        if handle.successful():
            return True
        error = handle.result
        assert isinstance(error, PoisonMessage), f"{name}: {handle.status} {error!r}"
        ours = [begin for begin in self.begun[name] if begin.pid in self._trouble.disturbed]
        assert len(ours) >= 3, f"{name} is an innocent dead letter: {self.begun[name]}"
        self.unlucky.add(handle.id)
        return False

    def _plain(self, name: str, handles: list[Handle]) -> None:
        if self._succeeded(name, handles[0]):
            assert {begin.message_id for begin in self.begun[name]} == {handles[0].id}

    _delayed = _plain

    def _flaky(self, name: str, handles: list[Handle]) -> None:
        if self._succeeded(name, handles[0]):
            # However often a process died in between: attempts are burned by failures alone.
            assert handles[0].retries == self._load.failures[name], name
            assert self.effects[name] >= 1

    def _steps(self, name: str, handles: list[Handle]) -> None:
        done = Counter({number: self.effects[f"{name}/{number}"] for number in range(ITEMS)})
        assert max(done.values()) <= 1, f"{name}: an item was done twice"
        if self._succeeded(name, handles[0]):
            # An item that was not done, or may have been, is reported: it is missing in the number.
            assert handles[0].result <= sum(done.values())

    def _once(self, name: str, handles: list[Handle]) -> None:
        doubtful = [handle for handle in handles if isinstance(handle.result, InDoubt)]
        self.in_doubt.update(handle.id for handle in doubtful)
        assert self.effects[f"{name} once"] <= 1 + len(doubtful), f"{name} took effect twice"
        good = [one for one in handles if one not in doubtful and self._succeeded(name, one)]
        if len(good) == 2:
            first, second = (one.read().text("duplicate_of") for one in good)
            # One has the outcome, the other a copy of it.
            assert [first, second] in ([None, good[0].id], [good[1].id, None]), name

    def _fan(self, name: str, handles: list[Handle]) -> None:
        if not self._succeeded(name, handles[0]):
            return
        for number in range(CHILDREN):
            child = f"{name}/{number}"
            ids = {begin.message_id for begin in self.begun[child]}
            assert len(ids) == 1, f"{child} was sent {len(ids)} times"
            handle = Handle(ids.pop(), self._stage.broker.records)
            assert handle.status is State.SUCCESS or not self._succeeded(child, handle)
