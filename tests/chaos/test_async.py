"""``async def`` bodies in real worker processes: a thousand at once, limits, revokes, deaths, the end of the worker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.journal import blamed
from tests.chaos.plant import Plant, Worker, plant
from understudy.errors import PoisonMessage, Revoked, TimeLimitExceeded
from understudy.testing.conditions import wait_until

TIMEOUT = 60.0
MODULE = "tests.chaos.async_actors"
THREADS = 16


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Plant]:
    with plant(tmp_path) as found:
        yield found


def start(stage: Plant, **environment: str) -> Worker:
    return stage.worker(threads=THREADS, module=MODULE, environment=environment)


def test_a_thousand_bodies_sleep_in_one_process_and_a_neighbour_in_a_thread_is_served(stage: Plant) -> None:
    sleeping = [stage.send("gather", f"g{number}") for number in range(1_000)]
    neighbour = stage.send("release", 1_000)
    start(stage)
    # It is served while all of them run, or none of them would ever end.
    assert neighbour.get(timeout=TIMEOUT) == 1_000
    stage.wait_for_all(sleeping, timeout=TIMEOUT)
    found = [handle.get(timeout=1) for handle in sleeping]
    assert max(peak for peak, _ in found) == 1_000
    assert max(threads for _, threads in found) <= THREADS + 24
    assert stage.broker.size("chaos") == 0
    assert not blamed(stage.begun())


def test_limits_revokes_and_a_body_that_blocks_the_loop(stage: Plant) -> None:
    worker = start(stage)
    over, warned, swallows = (stage.send(name, name) for name in ("overdue", "warned", "swallows"))
    apart, revoked = stage.send("apart", "apart"), stage.send("naps", "revoked", 600)
    wait_until(lambda: stage.effects()["revoked begins"], timeout=TIMEOUT)
    revoked.revoke(terminate=True)
    with pytest.raises(Revoked):
        revoked.get(timeout=TIMEOUT)
    wait_until(lambda: stage.effects()["revoked is cancelled"], timeout=TIMEOUT)
    assert warned.get(timeout=TIMEOUT) == "warned was warned"
    for handle in (over, swallows):
        with pytest.raises(TimeLimitExceeded, match=r"time limit of 1 s; it was at .* in sleep"):
            handle.get(timeout=TIMEOUT)
        assert handle.retries == 0
    assert stage.effects()["overdue cleaned up"] == 1
    # It caught the cancellation and went on, and its end and began anew; then it was left where it stood.
    assert stage.effects()["swallows goes on"] == 3
    assert apart.get(timeout=TIMEOUT)[1] not in worker.processes()

    blocks = stage.send("blocks", "blocks", 1.6)
    wait_until(lambda: stage.effects()["blocks begins"], timeout=TIMEOUT)
    beside = stage.send("advances", "beside", 20)
    assert blocks.get(timeout=TIMEOUT) == "blocks"
    assert beside.get(timeout=TIMEOUT) == "beside"
    assert beside.progress == {"current": 20}
    said = worker.said()
    assert f"blocked for 1.0 s by blocks[{blocks.id}]" in said.replace("1.1 s", "1.0 s").replace("1.2 s", "1.0 s")
    assert ", in blocks" in said
    assert "time.sleep(seconds)" in said


def test_p6_all_that_ran_at_a_kill_run_again_and_a_poison_is_told_from_innocents(stage: Plant) -> None:
    """They are suspected with it, and run in groups: one by one a thousand would take a thousand times as long."""
    innocents = [stage.send("naps", f"n{number}", 0.3) for number in range(12)]
    poison = stage.send("dies", "poison")
    worker = start(stage, UNDERSTUDY_HEARTBEAT_TIMEOUT="1s", UNDERSTUDY_ASYNC_CONCURRENCY="16")
    stage.wait_for_all([*innocents, poison], timeout=TIMEOUT)
    with pytest.raises(PoisonMessage, match="the last time alone"):
        poison.get(timeout=1)
    assert [handle.get(timeout=1) for handle in innocents] == [f"n{number}" for number in range(12)]
    assert [letter.message_id for letter in stage.dead()] == [poison.id]
    assert not blamed(stage.begun())
    assert not worker.ended()
    # It ran with all, with all, in a fourth of the places, and alone; once more if it died before that was known.
    assert stage.effects()["poison"] in (4, 5)


def test_p11_what_runs_at_sigterm_goes_back_and_burns_nothing(stage: Plant) -> None:
    worker = start(stage, UNDERSTUDY_SHUTDOWN_TIMEOUT="1s")
    sleeping = [stage.send("naps", f"s{number}", 2) for number in range(50)]
    loop = stage.send("steps", "loop", 20, 0.1)
    wait_until(lambda: stage.effects()["loop/3"] and stage.effects()["s49 begins"], timeout=TIMEOUT)
    worker.stop()
    assert stage.broker.size("chaos") == 51, "all of it is back"
    start(stage)
    stage.wait_for_all([*sleeping, loop], timeout=TIMEOUT)
    assert [handle.get(timeout=1) for handle in sleeping] == [f"s{number}" for number in range(50)]
    assert loop.get(timeout=1) == 20
    effects = stage.effects()
    assert all(effects[f"loop/{number}"] == 1 for number in range(20))
    assert [handle.retries for handle in (*sleeping, loop)] == [0] * 51
    assert {begin.deaths for begins in stage.begun().values() for begin in begins} == {0}
