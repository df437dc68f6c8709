"""Processes that die at an exact point between a message and its server (P1, P2, P6).

All of them die at the same time, each in a namespace of its own, so that their leases run out together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.chaos.journal import blamed
from tests.chaos.leftovers import leftovers
from tests.chaos.plant import Plant, Server
from understudy.testing.conditions import wait_until

TIMEOUT = 60.0
NEIGHBOURS = 12
#: Messages of an outcome that is staged in three pages.
LARGE = 1_200


@dataclass(frozen=True)
class Case:
    """Where the process dies, and how often the body of the target begins and ends."""

    points: str
    leaves: int
    begins: int
    ends: int
    #: The deaths that its last delivery is blamed for.
    deaths: int


CASES = {
    "after the body ended and before the settlement is sent": Case("settle:before:1", 2, 2, 2, 1),
    "after the settlement took effect and before its reply is read": Case("settle:after:1", 2, 1, 1, 0),
    "between fetch and hold": Case("fetch:after:1", 2, 1, 1, 0),
    # A mark comes before its body only when an earlier delivery died; so this one dies twice. The body that was about
    # to begin is blamed: nobody can know that it had not.
    "between the started mark and the body": Case("fetch:after:1,started:after:1", 2, 1, 1, 1),
    "in the middle of staging a large outcome": Case("stage:after:2", LARGE, 2, 2, 1),
    "between staging and publishing a large outcome": Case("settle:before:1", LARGE, 2, 2, 1),
    "between publishing a large outcome and moving it to its queues": Case("settle:after:1", LARGE, 1, 1, 0),
    "in the middle of moving a large outcome to its queues": Case("pump:after:2", LARGE, 1, 1, 0),
}


class Scene:
    """One case: a plant, a target, its neighbours."""

    def __init__(self, directory: Path, server: Server, case: Case) -> None:
        self.case = case
        self.plant = Plant(directory, server=server)
        self.target = self.plant.send("target", "target", case.leaves)
        self.neighbours = [self.plant.send("leaf", f"neighbour-{number}") for number in range(NEIGHBOURS)]
        # One thread, and more messages behind the target than it can run: they are fetched with it.
        self.worker = self.plant.worker(
            threads=1,
            module="tests.chaos.failpoints",
            environment={
                "CHAOS_FAILPOINTS": case.points,
                "CHAOS_TARGET": self.target.id,
                "CHAOS_FLAGS": str(directory),
                "dramatiq_queue_prefetch": str(NEIGHBOURS + 1),
            },
        )

    def leaves(self) -> dict[str, set[str]]:
        """The messages that ran under each name."""
        found = defaultdict(set)
        for line in self.plant.effects():
            if line.startswith(("leaf-", "neighbour-")):
                name, message_id = line.split()
                found[name].add(message_id)
        return found


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Scene]]:
    directory = tmp_path_factory.mktemp("failpoints")
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
def test_a_process_that_dies(name: str, scenes: dict[str, Scene]) -> None:
    scene, case = scenes[name], CASES[name]
    stage = scene.plant
    stage.wait_for_all([scene.target, *scene.neighbours], timeout=TIMEOUT)
    wait_until(lambda: stage.broker.size("chaos") == 0, timeout=TIMEOUT, what="every leaf has run")
    effects, begun = stage.effects(), stage.begun()

    points = [point.rpartition(":")[0].replace(":", "-") for point in case.points.split(",")]
    assert [effects[f"killed {point}"] for point in points] == [1] * len(points), "it died where it should"
    assert scene.worker.said().count(" ended: killed by SIGKILL") == len(points)

    # The target: executed as often as it must be, ended once, and not by a retry.
    assert scene.target.successful(), stage.logs()
    assert (effects["target begins"], effects["target ends"]) == (case.begins, case.ends)
    assert begun["target"][-1].deaths == case.deaths
    assert scene.target.retries == 0
    # What follows from it was accepted once: each leaf is one message, although a message may have run twice.
    leaves = scene.leaves()
    assert {name: len(ids) for name, ids in leaves.items() if name.startswith("leaf-")} == {
        f"leaf-{number}": 1 for number in range(case.leaves)
    }
    # Its neighbours were fetched along, and are blamed for nothing unless they had begun.
    assert all(handle.successful() for handle in scene.neighbours)
    assert not blamed(begun)
    assert not stage.dead()
    # Nothing is left but what goes away by itself.
    assert not leftovers(stage.broker)
