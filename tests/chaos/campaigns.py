"""Campaigns whose workers are killed, paused and stopped at random, and what must hold of them at the end (P3, P4)."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import suppress
from itertools import groupby
from pathlib import Path

from dramatiq import Message

from tests.chaos import deliveries
from tests.chaos.aof import AppendOnlyFile
from tests.chaos.deliveries import STOPPED, Delivery
from tests.chaos.journal import blamed, lines_of
from tests.chaos.leftovers import dead_workers, leftovers
from tests.chaos.plant import Plant, Worker
from tests.chaos.soak import Trouble
from understudy.deadletters import DeadLetters
from understudy.errors import InDoubt
from understudy.handle import Handle
from understudy.runtime import build
from understudy.settings import Settings, load
from understudy.testing.conditions import wait_until

MODULE = "tests.chaos.campaign_actors"
#: Seconds for what must come to an end.
TIMEOUT = 240.0
#: One message each; ``keyed`` is sent by both senders.
ALONE = ("repeating", "skipping", "isolated")
KINDS = (*ALONE, "keyed")
#: Messages with a key of their own beside the campaigns, for so many items of one; both senders send each.
WELCOMES = 1 / 10


class Load:
    """Four campaigns of ``count`` items, and many short messages with keys, which two senders send at the same time."""

    def __init__(self, stage: Plant, count: int, seconds: float) -> None:
        self.count = count
        #: By the name of a campaign, or of a key.
        self.campaigns: dict[str, list[Handle]] = defaultdict(list)
        self.welcomes: dict[str, list[Handle]] = defaultdict(list)
        self._stage, self._seconds = stage, seconds
        self._senders = [threading.Thread(target=self._send_all, args=(number,)) for number in range(2)]

    def start(self) -> None:
        """Send the campaigns; the senders go on with the short messages."""
        for name in ALONE:
            self.campaigns[name].append(self._stage.send(name, name, self.count, self._seconds))
        for sender in self._senders:
            sender.start()
        wait_until(lambda: len(self.campaigns["keyed"]) == 2, what="both senders have sent it")

    def join(self) -> None:
        """Until everything is sent."""
        for sender in self._senders:
            sender.join(TIMEOUT)
            assert not sender.is_alive()

    @property
    def handles(self) -> list[Handle]:
        return [one for sent in (self.campaigns, self.welcomes) for handles in sent.values() for one in handles]

    @property
    def ready(self) -> bool:
        """Whether all campaigns have ended."""
        return all(handle.ready() for handles in self.campaigns.values() for handle in handles)

    def _send_all(self, sender: int) -> None:
        stage = self._stage
        broker = build(load(Settings, environ={"REDIS_URL": stage.server.url, "UNDERSTUDY_NAMESPACE": stage.namespace}))
        broker.declare_queue("chaos")

        def send(actor: str, *args: object) -> Handle:
            message: Message[object] = Message("chaos", actor, args, {}, {})
            broker.enqueue(message)
            return Handle(message.message_id, stage.broker.records)

        self.campaigns["keyed"].append(send("keyed", "keyed", self.count, self._seconds))
        for number in range(int(self.count * WELCOMES)):
            name = f"welcome-{number}"
            self.welcomes[name].append(send("welcome", name))
            threading.Event().wait(self._seconds * 20)  # spread over the time of the campaigns
        broker.storage.close()


class Havoc(Trouble):
    """Kills and pauses, mostly where a campaign is at work."""

    def __init__(self, stage: Plant, seed: int, count: int, *, workers_too: bool) -> None:
        #: How many deliveries were alive in a process that was paused, and have stopped as zombies.
        self.zombies = 0
        self._count, self._workers_too = count, workers_too
        super().__init__(stage, seed)
        # One may wait behind the others, in a process whose threads are all at work.
        wait_until(lambda: len(self._live()) >= len(KINDS) - 1, timeout=TIMEOUT, what="the campaigns have begun")

    @property
    def kinds(self) -> list[Callable[[], None]]:
        """Those that change whole workers only if that is wanted: it takes a while."""
        inside = [self.pause_a_process, self.kill_a_child, self.kill_a_process]
        return [*inside, self.kill_a_worker, self.stop_a_worker] if self._workers_too else inside

    def kill_a_child(self) -> None:
        """The process of a body alone."""
        live = self._live().get("isolated")
        # Whatever else has that number by now is left alone.
        if live is not None and _parent(live.pid) in self._processes():
            self.disturbed.add(live.pid)
            with suppress(ProcessLookupError):
                os.kill(live.pid, signal.SIGKILL)

    def pause_a_process(self) -> None:
        """Past its lease; what it was at must stop when it goes on."""
        pid = self._some_process()
        if pid is None:
            return
        worker = next(one for one in self.workers if pid in one.processes())
        refused = worker.said().count("was refused")
        os.kill(pid, signal.SIGSTOP)
        try:
            paused = {name: run for name, run in self._live().items() if pid in (run.pid, _parent(run.pid))}
            wait_until(lambda: not self._has_lease(pid), timeout=TIMEOUT, what="its lease is lost")
        finally:
            os.kill(pid, signal.SIGCONT)
        for name, run in paused.items():
            wait_until(
                lambda name=name, run=run: self._stopped(name, run),  # type: ignore[misc]
                timeout=TIMEOUT,
                what=f"the zombie stops that works on {name}",
            )
            self.zombies += 1
        if paused:
            wait_until(lambda: worker.said().count("was refused") > refused, timeout=TIMEOUT, what="it is refused")

    def _stopped(self, name: str, paused: Delivery) -> bool:
        run = next(run for run in self._runs()[name] if run.token == paused.token)
        return run.left == STOPPED or run.last == ("ends", self._count - 1)  # it came to its end before

    def _runs(self) -> dict[str, list[Delivery]]:
        found = deliveries.deliveries(lines_of(self._stage.directory / "effects"))
        return {name: found.get(name, []) for name in KINDS}

    def _live(self) -> dict[str, Delivery]:
        """The last delivery of each campaign that has items left."""
        last = {name: runs[-1] for name, runs in self._runs().items() if runs}
        return {name: run for name, run in last.items() if not run.left and run.last != ("ends", self._count - 1)}

    def _some_process(self) -> int | None:
        bodies = {pid for run in self._live().values() for pid in (run.pid, _parent(run.pid))}
        busy = sorted(bodies & set(self._processes()))
        if not busy:
            return super()._some_process()
        self.disturbed.add(pid := self._rng.choice(busy))
        return pid

    def _processes(self) -> list[int]:
        return [pid for worker in self.workers for pid in worker.processes()]

    def _new(self) -> Worker:
        return self._stage.worker(threads=3, processes=2, module=MODULE)


def _parent(pid: int) -> int:
    """The process that has started ``pid``; 0 when it is gone."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except FileNotFoundError:
        return 0


class Operator:
    """Requeues campaigns that are dead letters because we have killed them three times."""

    def __init__(self, stage: Plant) -> None:
        self.requeued = 0
        self._letters = DeadLetters(stage.broker.storage)

    def look(self) -> None:
        """Requeue what is there."""
        for letter in list(self._letters.walk()):
            if letter.poison:
                self.requeued += self._letters.requeue(letter) == "requeued"


class Judge:
    """Compares the journal with what the messages report. ``check`` raises at the first thing that is wrong."""

    def __init__(self, stage: Plant, load: Load, havoc: Havoc, operator: Operator) -> None:
        self._stage, self._load, self._havoc, self._operator = stage, load, havoc, operator
        #: How many items, and short messages, are reported as in doubt.
        self.in_doubt: Counter[str] = Counter()

    def check(self) -> None:
        stage, load = self._stage, self._load

        def over() -> bool:
            self._operator.look()
            return load.ready and all(handle.ready() for handle in load.handles)

        wait_until(over, timeout=TIMEOUT, what="everything has ended")
        self.runs = deliveries.deliveries(lines_of(stage.directory / "effects"))
        for name, handles in load.campaigns.items():
            self._campaign(name, handles)
        for name, handles in load.welcomes.items():
            self._welcome(name, handles)
        assert [handle for handle in load.handles if handle.retries] == [], "an attempt was burned"
        assert not blamed(stage.begun()), "prefetched messages are blamed"
        wait_until(lambda: stage.broker.size("chaos") == 0, timeout=TIMEOUT, what="nothing waits any more")
        wait_until(lambda: not dead_workers(stage.broker), timeout=TIMEOUT, what="the dead workers are buried")
        assert not leftovers(stage.broker)
        self._server_saw_no_zombie()

    def _campaign(self, name: str, handles: list[Handle]) -> None:
        assert all(handle.successful() for handle in handles), [(handle.id, handle.result) for handle in handles]
        self._one_outcome(name, handles)
        runs, count, result = self.runs[name], self._load.count, handles[0].result
        assert result["successful"] == count - len(result["in_doubt"])
        if name == "repeating":
            assert result["in_doubt"] == []
            deliveries.check_repeated(name, runs, count)
        else:
            deliveries.check_skipped(name, runs, count, result["in_doubt"])
        deliveries.check_zombies(name, runs)
        self.in_doubt[name] = len(result["in_doubt"])

    def _welcome(self, name: str, handles: list[Handle]) -> None:
        doubtful = [handle for handle in handles if isinstance(handle.result, InDoubt)]
        good = [handle for handle in handles if handle not in doubtful]
        assert all(handle.successful() for handle in good), [handle.result for handle in good]
        self._one_outcome(name, good)
        runs = self.runs.get(name, [])
        assert len(runs) <= 1 + len(doubtful), f"{name} took effect twice"
        lost = [run for run in runs if run.pid in self._havoc.disturbed]
        assert len(doubtful) <= len(lost) + self._havoc.happened.total(), f"{name} is in doubt, and nobody died"
        self.in_doubt["welcome"] += len(doubtful)

    def _one_outcome(self, name: str, handles: list[Handle]) -> None:
        """One of the messages has the outcome, each other has a copy of it."""
        owners = [handle for handle in handles if handle.read().text("duplicate_of") is None]
        assert len(owners) == (1 if handles else 0), f"{name} has {len(owners)} outcomes"
        for handle in handles:
            assert handle.result == owners[0].result
            assert handle is owners[0] or handle.read().text("duplicate_of") == owners[0].id

    def _server_saw_no_zombie(self) -> None:
        """By the server's own file: once another delivery has stored an intent, the one before stores none."""
        stage, keys = self._stage, self._stage.broker.storage.keys
        scopes = {keys.items(self._load.campaigns[name][0].id): name for name in ALONE}
        scopes[keys.claimed_items("keyed:keyed")] = "keyed"
        tokens: dict[str, list[bytes]] = defaultdict(list)
        stage.server.kill()
        for command in AppendOnlyFile(stage.server.directory).commands:
            if command.name == "HSET" and (name := scopes.get(command.words[1].decode())) is not None:
                tokens[name] += [word.lstrip(b"?") for word in command.words[3::2] if word.startswith(b"?")]
        for name in KINDS:
            in_turn = [token for token, _ in groupby(tokens[name])]
            assert len(in_turn) == len(set(in_turn)), f"{name}: a zombie wrote: {in_turn}"
            assert {token.decode() for token in in_turn} >= {run.token for run in self.runs[name] if run.begun}
