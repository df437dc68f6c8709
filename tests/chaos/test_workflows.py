"""Workflows while workers are killed and the server is restarted (P2, P8, P9): all complete, no step's outcome twice,
each body once, none stuck."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import pytest
from dramatiq import Message

from tests.chaos.leftovers import leftovers
from tests.chaos.plant import Plant, Worker, plant, sending
from understudy import chain, chord
from understudy.canvas.handles import WorkflowHandle
from understudy.errors import PoisonMessage
from understudy.testing.conditions import wait_until

TIMEOUT = 240.0
STEPS = 5


def message(actor: str, *args: object) -> Message[int]:
    return Message(queue_name="chaos", actor_name=actor, args=args, kwargs={}, options={})


def survive(
    directory: Path,
    *,
    chains: int,
    chords: int,
    members: int,
    kills: int,
    pause: float,
    seconds: float,
    seed: int,
) -> str:
    """``seconds``: how long a step takes, so that there is work to be killed at until the end."""
    rng = random.Random(seed)
    with plant(directory) as stage, sending(stage):
        workers = [_worker(stage) for _ in range(2)]
        wait_until(lambda: all(len(one.processes()) == 1 for one in workers), what="the workers are there")
        flows = [
            chain(message("hop", *([0] if not n else []), seconds) for n in range(STEPS)).run() for _ in range(chains)
        ]
        sums = [
            chord(
                [message("member", n, seconds / 10) for n in range(members)], message("total", f"chord-{number}")
            ).run()
            for number in range(chords)
        ]
        for number in range(kills):
            threading.Event().wait(pause)  # there is no signal for a moment of one's choice
            if number == kills // 2:
                assert not all(one.ready() for one in flows), "it was over before the trouble was"
                stage.server.kill()
                stage.server.start()
            victim = workers.pop(rng.randrange(2))
            victim.kill()
            workers.append(_worker(stage))
        unlucky = _all_end(stage, [*flows, *sums])
        assert [one.get() for one in flows if one.id not in unlucky] == [STEPS] * (chains - len(unlucky))
        assert [one.get() for one in sums] == [sum(range(members))] * chords
        effects = stage.effects()
        twice = [line for line, count in effects.items() if line.startswith("committed") and count > 1]
        assert not twice, twice
        bodies = [effects[f"body chord-{number}"] for number in range(chords)]
        # A body whose process died before its outcome was committed has begun once more.
        assert min(bodies) >= 1
        assert sum(bodies) <= chords + kills
        wait_until(lambda: stage.broker.size("chaos") == 0, timeout=TIMEOUT, what="nothing waits any more")
        # All that is kept of a workflow goes when its time is over, and it is known when that is.
        ended = stage.broker.storage.call("ZCARD", stage.broker.storage.keys.ended_workflows)
        assert ended == chains + chords
        assert not [line for line in leftovers(stage.broker) if ":composed:" in line or ":fanouts" in line]
        return (
            f"seed {seed}: {chains} chains, {chords} chords, {kills} kills, {sum(bodies) - chords} bodies begun again"
        )


def _worker(stage: Plant) -> Worker:
    return stage.worker(threads=4, module="tests.chaos.workflow_actors")


def _all_end(stage: Plant, flows: list[WorkflowHandle]) -> set[str]:
    """Wait until all have ended; those whose step was running at three deaths of its process, by bad luck."""
    stage.wait_for_all(list(flows), timeout=TIMEOUT)
    unlucky = {one.id for one in flows if not one.successful()}
    for one in flows:
        if one.id in unlucky:
            assert isinstance(one.get(propagate=False), PoisonMessage), one.get(propagate=False)
    return unlucky


def test_workflows_come_through_kills_and_a_restart(tmp_path: Path) -> None:
    survive(tmp_path, chains=12, chords=2, members=30, kills=2, pause=1.0, seconds=0.2, seed=5)


@pytest.mark.chaos_long
@pytest.mark.timeout(0)
def test_two_hundred_chains_and_twenty_chords_come_through(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seed = random.randrange(1_000_000)
    said = survive(tmp_path, chains=200, chords=20, members=100, kills=12, pause=2.0, seconds=0.2, seed=seed)
    with capsys.disabled():
        print(f"\n{said}")  # noqa: T201 - for people
