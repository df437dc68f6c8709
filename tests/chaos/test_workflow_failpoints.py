"""Processes that die at an exact point between a body, its settlement and the next step of a workflow (P2, P8, P9).

All of them die at the same time, each in a namespace of its own, so that their leases run out together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.chaos.leftovers import leftovers
from tests.chaos.plant import Plant, Server, sending
from tests.chaos.test_workflows import message
from understudy import chain, chord
from understudy.testing.conditions import wait_until

TIMEOUT = 60.0
NAME = "flow"
MEMBERS = 3
#: The nodes of the workflow: a step, a second one, a chord and its body, a last step; the members, and what is told.
SECOND, GROUP, BODY, LAST, MEMBER = 2, 3, 4, 5, 6
LAST_MEMBER = MEMBER + MEMBERS - 1
TOLD = f"{NAME}.{LAST}.c{LAST_MEMBER + 1}"
IDS = {f"{NAME}.{node}" for node in range(1, LAST_MEMBER + 1) if node != GROUP} | {TOLD}


@dataclass(frozen=True)
class Case:
    """Where the process dies: at a point of a node, whose body runs so many times."""

    node: int
    point: str
    runs: int


CASES = {
    "a step, between its body and its settlement": Case(SECOND, "settle:before:1", 2),
    "a step, between its settlement and what follows": Case(SECOND, "settle:after:1", 1),
    "a group, before its members are moved": Case(GROUP, "fan:before:1", 0),
    "a group, when its members have been moved": Case(GROUP, "fan:after:1", 0),
    "the last member, between its body and its settlement": Case(LAST_MEMBER, "settle:before:1", 2),
    "the last member, between its settlement and the body of the chord": Case(LAST_MEMBER, "settle:after:1", 1),
    "the body of the chord, between fetch and its beginning": Case(BODY, "fetch:after:1", 1),
    "the body of the chord, between its body and its settlement": Case(BODY, "settle:before:1", 2),
    "the body of the chord, between its settlement and the next step": Case(BODY, "settle:after:1", 1),
}


class Scene:
    """One case: a plant and its workflow."""

    def __init__(self, directory: Path, server: Server, case: Case) -> None:
        self.plant = Plant(directory, server=server)
        with sending(self.plant):
            header = [message("step") for _ in range(MEMBERS)]
            self.flow = chain(
                message("step", 0), message("step"), chord(header, message("gather")), message("step")
            ).run(workflow_id=NAME, on_success=message("step"))
        # One thread, so that the member that was declared last is the last one.
        self.worker = self.plant.worker(
            threads=1,
            module="tests.chaos.failpoints",
            environment={
                "CHAOS_FAILPOINTS": case.point,
                "CHAOS_TARGET": f'"message_id":"{NAME}.{case.node}"',
                "CHAOS_NAMED": f"{NAME} {case.node}",
                "CHAOS_FLAGS": str(directory),
            },
        )


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Scene]]:
    directory = tmp_path_factory.mktemp("workflows")
    with ExitStack() as stack:
        server = Server(directory / "server", "always")
        stack.callback(server.kill)
        server.start()
        made = {}
        for number, (name, case) in enumerate(CASES.items()):
            made[name] = Scene(directory / str(number), server, case)
            stack.callback(made[name].plant.close)
        yield made


@pytest.mark.parametrize("name", CASES)
def test_a_workflow_whose_process_dies(name: str, scenes: dict[str, Scene]) -> None:
    scene, case = scenes[name], CASES[name]
    stage, flow = scene.plant, scene.flow
    stage.wait_for_all([flow], timeout=TIMEOUT)
    told = f"ran {TOLD}"
    wait_until(lambda: stage.effects()[told] and not stage.broker.size("chaos"), timeout=TIMEOUT, what="all has run")
    effects = stage.effects()

    name, when, _ = case.point.split(":")
    assert effects[f"killed {name}-{when}"] == 1, "it died where it should"
    assert scene.worker.said().count(" ended: killed by SIGKILL") == 1

    # It is complete, and the numbers are those of every step once.
    with sending(stage):
        assert flow.get(propagate=True) == MEMBERS * 3 + 1
        body = flow.parent
        assert body is not None
        assert body.parent is not None
        assert body.parent.completed_count == MEMBERS
    # Each body ran once; again only that whose outcome was not committed, and members whose outcomes stood in line with
    # it.
    ran = Counter({line.removeprefix("ran "): count for line, count in effects.items() if line.startswith("ran ")})
    target = f"{NAME}.{case.node}"
    members = {f"{NAME}.{node}" for node in range(MEMBER, LAST_MEMBER + 1)}
    # Who has moved members to their queue may be killed when another thread of it has begun them.
    moved = members if case.point.startswith("fan:after") else set()
    with_it = members if case.node == LAST_MEMBER else moved
    assert ran.keys() == IDS
    assert ran[target] == case.runs
    again = {id for id, count in ran.items() if count > 1}
    assert again <= ({target} | with_it if case.runs > 1 else moved)
    assert max(ran.values()) <= 2
    # Nothing was committed twice; what the death hid is committed all the same. That a message is committed is told
    # after it is, so it may have to be waited for.
    hidden = {target} | with_it if case.point.startswith("settle:after") else moved
    if case.point.startswith("fetch"):
        # What is fetched may kill the process before it has told that what came before is committed.
        hidden = members
    wait_until(lambda: IDS - _committed(stage).keys() <= hidden, timeout=TIMEOUT, what="all is told")
    assert set(_committed(stage).values()) == {1}
    assert not stage.dead()
    assert not [line for line in leftovers(stage.broker) if ":composed:" in line or ":fanouts" in line]


def _committed(stage: Plant) -> Counter[str]:
    """What was told to be committed, and how often."""
    effects = stage.effects().items()
    return Counter({line.split()[1]: count for line, count in effects if line.startswith("committed ")})
