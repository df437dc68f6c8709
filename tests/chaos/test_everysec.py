"""What ``appendfsync everysec`` may lose when the machine crashes, and what it may not.

A crash of the machine is a server that is killed and whose append-only file ends earlier than it did: at any command,
in the middle of a transaction, too. Whatever is lost, what remains is whole: a message is still there, or all of its
outcome is.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from dramatiq import Message

from tests.chaos.aof import AppendOnlyFile, Command
from tests.chaos.journal import blamed
from tests.chaos.leftovers import leftovers
from tests.chaos.plant import Plant, Server, plant
from understudy.brokers.redis import RedisBroker
from understudy.handle import Handle
from understudy.runtime import build
from understudy.settings import Settings, load
from understudy.states import State
from understudy.testing.conditions import wait_until

TIMEOUT = 60.0
FAMILIES, CHILDREN = 12, 2
#: A crash may lose everything from any command on: these, counted from one that commits a family ...
NEAR = range(-4, 8)
#: ... and those that share out the file in so many parts.
PARTS = 12


def names() -> dict[str, list[str]]:
    """The messages of the load by id, and the ids of those that each sends when it is committed."""
    families = {f"family-{n}": [f"family-{n}/{child}" for child in range(CHILDREN)] for n in range(FAMILIES)}
    return {**families, **{f"{kind}-{n}": [] for kind in ("flaky", "steps", "later") for n in range(4)}}


def send_load(stage: Plant, *, at_once: int = FAMILIES) -> list[Handle]:
    """Send so many families ``at_once``, which may be settled together, and the next ones when these are over."""
    sent: list[Handle] = []
    for n in range(FAMILIES):
        sent.append(stage.send("family", f"family-{n}", CHILDREN, message_id=f"family-{n}"))
        if n % at_once == at_once - 1 and n + 1 < FAMILIES:
            stage.wait_for_all(sent, timeout=TIMEOUT)
    for n in range(4):
        sent.append(stage.send("flaky", f"flaky-{n}", 2, message_id=f"flaky-{n}"))
        sent.append(stage.send("steps", f"steps-{n}", 5, message_id=f"steps-{n}"))
        sent.append(stage.send("innocent", f"later-{n}", message_id=f"later-{n}", delay=500))
    return sent


def places(broker: RedisBroker) -> Counter[str]:
    """Where messages lie, by their ids: waiting, held, or delayed."""
    queue, client = broker.keys_of("chaos"), broker.storage.client
    entries: Any = [entry for stream in queue.streams for entry in client.xrange(stream) or []]
    bodies: Any = client.hvals(queue.payloads)
    found = [fields[b"m"] for _, fields in entries] + [body.partition(b":")[2] for body in bodies]
    return Counter(Message.decode(data).message_id for data in found)


def torn(broker: RedisBroker) -> list[str]:
    """Messages of which a half is there."""
    where, wrong = places(broker), []
    for name, children in names().items():
        state = Handle(name, broker.records).status
        there = [child for child in children if where[child] or Handle(child, broker.records).status.terminal]
        if state.terminal:
            whole = where[name] == 0 and there == children
        else:
            # Nothing of what it sends exists. One that nobody knows was not accepted yet, or its sending is lost.
            whole = not there and where[name] <= 1 and (where[name] == 1 or state is State.PENDING)
        wrong += [] if whole else [f"{name}: {state}, in {where[name]} places, sent {there}"]
    return wrong


def leaks(broker: RedisBroker) -> list[str]:
    """What is left, but for what is bounded by what workers held at the crash.

    A started mark that came back by it goes with its worker.
    """
    return [left for left in leftovers(broker) if ":started has no end" not in left]


@contextmanager
def left_after(stage: Plant, directory: Path, commands: int) -> Iterator[RedisBroker]:
    """A second server with a copy of the data that lacks the last ``commands``."""
    server = Server(directory, "everysec")
    shutil.copytree(stage.server.directory / "appendonlydir", directory / "appendonlydir")
    AppendOnlyFile(directory).cut_back(commands)
    server.start()
    settings = load(Settings, environ={"REDIS_URL": server.url, "UNDERSTUDY_NAMESPACE": stage.namespace})
    broker = build(settings)
    try:
        yield broker
    finally:
        broker.storage.close()
        server.kill()


def ready(handles: Iterable[Handle]) -> bool:
    return all(handle.ready() for handle in handles)


def test_wherever_the_file_ends_no_outcome_is_there_by_half(tmp_path: Path) -> None:
    with plant(tmp_path, "everysec") as stage:
        worker = stage.worker(threads=4)
        sent = send_load(stage, at_once=3)
        stage.wait_for_all(sent, timeout=TIMEOUT)
        stage.server.kill()
        worker.kill()
        commands = AppendOnlyFile(stage.server.directory).commands
        cuts = {len(commands) * part // PARTS for part in range(1, PARTS)}
        for name in ("family-1/0", f"family-{FAMILIES - 1}/1"):
            committed = next(at for at, command in enumerate(commands) if command.mentions(name))
            cuts |= {committed + distance for distance in NEAR}
        finished = set()
        for kept in sorted(cuts):
            with left_after(stage, tmp_path / f"cut-{kept}", len(commands) - kept) as broker:
                assert not torn(broker), f"the first {kept} of {len(commands)} commands were left"
                finished.add(sum(Handle(name, broker.records).ready() for name in names()))
        assert len(finished) > 3, "the cuts lost more and more outcomes"


@pytest.mark.parametrize("commands", [3, 40, 160])
def test_workers_end_what_a_crash_has_left_and_go_on(commands: int, tmp_path: Path) -> None:
    with plant(tmp_path, "everysec") as stage:
        worker = stage.worker(threads=4)
        sent = send_load(stage)
        wait_until(lambda: ready(sent[: FAMILIES // 2]), timeout=TIMEOUT)
        stage.server.kill()
        AppendOnlyFile(stage.server.directory).cut_back(commands)
        stage.server.start()
        later = [stage.send("innocent", f"after-{n}", 0.01) for n in range(40)]
        stage.wait_for_all(later, timeout=TIMEOUT)
        wait_until(lambda: stage.broker.size("chaos") == 0, timeout=20, what="what was left has ended")
        assert not torn(stage.broker)
        assert all(one.successful() for one in later)
        # What is not known any more is lost: nobody says that it has ended. A handle remembers an end that it saw.
        now = {name: Handle(name, stage.broker.records).status for name in names()}
        assert set(now.values()) <= {State.SUCCESS, State.PENDING}, stage.logs()
        assert not stage.dead()
        assert not blamed(stage.begun())
        assert not leaks(stage.broker)
        assert not worker.ended()
        assert "unexpected error" not in worker.said()


def test_a_live_worker_finds_out_what_the_server_has_forgotten(tmp_path: Path) -> None:
    gate, other = tmp_path / "gate", tmp_path / "other"
    with plant(tmp_path, "everysec") as stage:
        worker = stage.worker(threads=4)
        sent = {}
        for name in ("settled", "delivered", "sent"):
            sent[name] = stage.send("gated", name, str(other if name == "settled" else gate))
            wait_until(lambda name=name: stage.effects()[f"{name} begins"] == 1, timeout=TIMEOUT)  # type: ignore[misc]
        other.touch()
        assert sent["settled"].get(timeout=TIMEOUT) == "settled"
        stage.server.kill()
        file = AppendOnlyFile(stage.server.directory)
        # From here on all is lost: that `delivered` was handed out, that `sent` was sent, that `settled` has ended.
        entry = next(command.words[2] for command in file.commands if command.mentions(sent["delivered"].id))
        file.cut_before(lambda command: is_delivery(command, entry.decode()))
        stage.server.start()
        gate.touch()
        again = {name: Handle(one.id, stage.broker.records) for name, one in sent.items()}
        stage.wait_for_all([again["settled"], again["delivered"]], timeout=TIMEOUT)
        wait_until(lambda: stage.effects()["sent ends"] == 1, timeout=TIMEOUT)
        wait_until(lambda: f"gated[{sent['sent'].id}]: another worker has it now" in worker.said(), timeout=TIMEOUT)
        assert again["sent"].status is State.PENDING
        assert stage.effects()["settled begins"] == 2, "its outcome was lost, so it ran again"
        assert stage.send("innocent", "after").get(timeout=TIMEOUT) == "after"
        assert not stage.dead()
        assert not leaks(stage.broker)


def is_delivery(command: Command, entry: str) -> bool:
    """A read is told to the file as a claim."""
    return command.name == "XCLAIM" and command.mentions(entry)


def test_a_server_that_has_lost_everything_is_told_of_and_worked_with(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with plant(tmp_path, "everysec") as stage:
        worker = stage.worker(threads=2)
        running = [stage.send("gated", "body", str(gate)), stage.send("gated_steps", "items", str(gate))]
        wait_until(lambda: {"body begins", "items/0"} <= set(stage.effects()), timeout=TIMEOUT)
        waiting = [stage.send("innocent", f"n{n}") for n in range(20)]
        waiting.append(stage.send("innocent", "delayed", delay=300))
        stage.server.kill()
        shutil.rmtree(stage.server.directory / "appendonlydir")
        stage.server.start()

        after = [stage.send("innocent", f"after-{n}") for n in range(20)]
        # It reads again when it holds less than it may, which is little with two threads: when a body is over.
        gate.touch()
        wait_until(lambda: "queue chaos: the server has lost it" in worker.said(), timeout=TIMEOUT)
        stage.wait_for_all(after, timeout=TIMEOUT)
        assert all(one.successful() for one in after)
        wait_until(lambda: f"gated[{running[0].id}]: another worker has it now" in worker.said(), timeout=TIMEOUT)
        wait_until(lambda: stage.broker.size("chaos") == 0, timeout=TIMEOUT)
        # The body that asks the server stopped at its next item; the other ran to its end, and left nothing.
        assert stage.effects()["items/1"] == 0
        assert stage.effects()["body ends"] == 1
        assert {one.status for one in [*running, *waiting]} == {State.PENDING}
        assert not stage.dead()
        assert not leaks(stage.broker)
        assert not worker.ended()
