"""Processes that die at an exact point between a body that returns a workflow, its settlement and the start of that:
its callback is sent once, and its unique key refuses others until the end (P2, C15).

All of them die at the same time, each in a namespace of its own, so that their leases run out together.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.chaos.leftovers import leftovers
from tests.chaos.plant import Plant, Server
from understudy import AlreadyEnqueued
from understudy.testing.conditions import wait_until

TIMEOUT = 60.0
NAME = "message"
MEMBERS = 3
KEY = str(MEMBERS)
RESULT = sum(range(1, MEMBERS + 1))
#: What of the traffic with the server is meant: the message's own settlement, or what moves its members to their queue.
OWN, MEMBER = f'"message_id":"{NAME}"', '"actor_name":"step"'

#: Where the process dies, and how often the body runs.
CASES = {
    "between the body and its settlement": (OWN, "settle:before:1", 2),
    "between the settlement and what follows": (OWN, "settle:after:1", 1),
    "before its members are moved": (MEMBER, "fan:before:1", 1),
    "when its members have been moved": (MEMBER, "fan:after:1", 1),
}


class Scene:
    """One case: a plant and the message that goes on."""

    def __init__(self, directory: Path, server: Server, target: str, point: str) -> None:
        self.plant = Plant(directory, server=server)
        self.handle = self.plant.send("goes_on", MEMBERS, message_id=NAME, unique_key=KEY)
        environment = {"CHAOS_FAILPOINTS": point, "CHAOS_TARGET": target, "CHAOS_FLAGS": str(directory)}
        if target == MEMBER:
            environment["CHAOS_NAMED"] = MEMBER
        self.worker = self.plant.worker(threads=1, module="tests.chaos.failpoints", environment=environment)

    def die(self, point: str) -> None:
        """Wait until the process has died, and see at once whether the message stands."""
        exchange, when, _ = point.split(":")
        wait_until(lambda: self.plant.effects()[f"killed {exchange}-{when}"], timeout=TIMEOUT, what="it died")
        self.let_in = not self.another_is_refused()
        self.had_ended = self.handle.ready()

    def another_is_refused(self) -> bool:
        """Whether another one is refused because this message stands."""
        try:
            self.plant.send("goes_on", MEMBERS, unique_key=KEY)
        except AlreadyEnqueued as error:
            return error.message_id == NAME
        return False


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Scene]]:
    directory = tmp_path_factory.mktemp("continued")
    with ExitStack() as stack:
        server = Server(directory / "server", "always")
        stack.callback(server.kill)
        server.start()
        made = {}
        for number, (name, (target, point, _)) in enumerate(CASES.items()):
            made[name] = Scene(directory / str(number), server, target, point)
            stack.callback(made[name].plant.close)
        for name, (_, point, _) in CASES.items():
            made[name].die(point)
        yield made


@pytest.mark.parametrize("name", CASES)
def test_a_message_that_goes_on_and_whose_process_dies(name: str, scenes: dict[str, Scene]) -> None:
    scene, (_, point, runs) = scenes[name], CASES[name]
    stage = scene.plant
    exchange, when, _ = point.split(":")
    assert scene.had_ended or not scene.let_in
    assert scene.handle.get(timeout=TIMEOUT) == RESULT
    assert scene.let_in or not scene.another_is_refused()

    def all_has_run() -> bool:
        told = sum(count for line, count in stage.effects().items() if line.startswith("told "))
        return told == 2 and not stage.broker.size("chaos")

    wait_until(all_has_run, timeout=TIMEOUT, what="all has run")
    effects = stage.effects()
    assert effects[f"told {NAME} {RESULT}"] == 1
    assert effects[f"ran {NAME}"] == runs
    assert effects[f"killed {exchange}-{when}"] == 1
    assert scene.worker.said().count(" ended: killed by SIGKILL") == 1
    # Of both messages the members and the body of the chord have run, each once: what was put aside for a body that ran
    # again has no effect.
    ran = [count for line, count in effects.items() if line.startswith("ran ") and line != f"ran {NAME}"]
    assert len(ran) == 1 + 2 * (MEMBERS + 1)
    # Who has moved members to their queue may be killed when another thread of it has begun them.
    moved = MEMBERS if point.startswith("fan:after") else 0
    assert max(ran) <= 2
    assert 0 <= sum(ran) - len(ran) <= moved
    assert not stage.dead()
    assert not [line for line in leftovers(stage.broker) if ":fanouts" in line or ":composed:" in line]
