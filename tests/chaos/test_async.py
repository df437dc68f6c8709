"""``async def`` bodies in real worker processes: a thousand at once, limits, revokes, deaths, the end of the worker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.journal import blamed
from tests.chaos.plant import Plant, Worker, plant
from understudy import Handle
from understudy.errors import PoisonMessage, Revoked, TimeLimitExceeded
from understudy.testing.conditions import wait_until

TIMEOUT = 60.0
MODULE = "tests.chaos.async_actors"
THREADS = 16
#: How many run at once.
COUNTS = [150, pytest.param(1_000, marks=pytest.mark.chaos_long)]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Plant]:
    with plant(tmp_path) as found:
        yield found


def start(stage: Plant, **environment: str) -> Worker:
    environment = {"UNDERSTUDY_SHUTDOWN_TIMEOUT": "1s", **environment}
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


def wait_for_marks(handles: list[Handle]) -> None:
    """The server is told soon that bodies have begun, not at once; a death before that counts for nobody."""
    left = list(handles)

    def all_marked() -> bool:
        while left and left[-1].status == "STARTED":
            left.pop()
        return not left

    wait_until(all_marked, timeout=TIMEOUT)


@pytest.mark.parametrize("count", COUNTS)
def test_all_that_run_at_a_kill_or_at_sigterm_end_elsewhere_once(stage: Plant, count: int) -> None:
    """The first worker is killed with all of them in flight, the second one stopped, the third one does them."""
    handles = [stage.send("once", f"o{number}") for number in range(count)]

    first = start(stage)
    wait_for_marks(handles)
    first.kill()
    second = start(stage)
    stage.wait_for_all(handles, timeout=TIMEOUT)
    effects, begun = stage.effects(), stage.begun()
    assert all(effects[f"o{number}"] == 1 for number in range(count))
    assert {tuple(run.deaths for run in runs) for runs in begun.values()} == {(0, 1)}

    again = [stage.send("once", f"p{number}") for number in range(count - 1)]
    threaded = stage.send("in_a_thread", "t")
    names = ["t", *(f"p{number}" for number in range(count - 1))]
    wait_until(lambda: all(stage.effects()[f"{name} begins"] for name in names), timeout=TIMEOUT)
    process = second.process
    assert process is not None
    second.stop()
    assert process.returncode == 0, "it ended by itself, and no thread kept it"
    assert stage.broker.size("chaos") == count, "all of it is back"
    assert "do not end" not in second.said()
    start(stage)
    stage.wait_for_all([*again, threaded], timeout=TIMEOUT)
    effects, begun = stage.effects(), stage.begun()
    assert all(effects[f"p{number}"] == 1 for number in range(count - 1))
    assert {tuple(run.deaths for run in runs) for name, runs in begun.items() if name in names} == {(0, 0)}
    assert {handle.retries for handle in (*handles, *again, threaded)} == {0}
    assert not stage.dead()


@pytest.mark.parametrize("count", COUNTS)
def test_all_that_run_when_the_server_is_away_go_on(stage: Plant, count: int) -> None:
    """They ask it for their next items just then."""
    worker = start(stage)
    handles = [stage.send("steps", f"s{number}", 4, 0.5) for number in range(count)]
    wait_until(lambda: all(stage.effects()[f"s{number}/1"] for number in range(count)), timeout=TIMEOUT)
    stage.server.kill()
    wait_until(lambda: "the server did not answer (item)" in worker.said(), timeout=TIMEOUT)
    stage.server.start()
    stage.wait_for_all(handles, timeout=TIMEOUT)
    assert [handle.get(timeout=1) for handle in handles] == [4] * count
    effects = stage.effects()
    assert {effects[f"s{number}/{step}"] for number in range(count) for step in range(4)} == {1}
    assert {handle.retries for handle in handles} == {0}
    assert {run.deaths for runs in stage.begun().values() for run in runs} == {0}
    assert not worker.ended()


@pytest.mark.chaos_long
def test_p11_sigterm_while_the_server_is_away_burns_nothing(stage: Plant) -> None:
    """What goes back then is told to the server when it is there again."""
    worker = start(stage)
    handles = [stage.send("steps", f"s{number}", 4, 0.5) for number in range(200)]
    wait_until(lambda: all(stage.effects()[f"s{number}/1"] for number in range(200)), timeout=TIMEOUT)
    stage.server.kill()
    wait_until(lambda: "the server did not answer (item)" in worker.said(), timeout=TIMEOUT)
    assert worker.process is not None
    worker.process.terminate()
    wait_until(lambda: "Shutting down" in worker.said(), timeout=TIMEOUT)
    stage.server.start()
    assert worker.process.wait(TIMEOUT) == 0
    worker.process = None
    assert "do not end" not in worker.said()
    start(stage)
    stage.wait_for_all(handles, timeout=TIMEOUT)
    effects = stage.effects()
    assert {effects[f"s{number}/{step}"] for number in range(200) for step in range(4)} == {1}
    assert {handle.retries for handle in handles} == {0}
    assert {run.deaths for runs in stage.begun().values() for run in runs} == {0}


def test_limits_revokes_and_a_body_that_blocks_the_loop(stage: Plant) -> None:
    worker = start(stage, UNDERSTUDY_HEARTBEAT_TIMEOUT="1s")
    over, warned, swallows = (stage.send(name, name) for name in ("overdue", "warned", "swallows"))
    at_once = stage.send("at_once", "at_once")
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
    assert (at_once.get(timeout=TIMEOUT), at_once.retries) == (1, 1)
    assert at_once.progress == {"current": 3, "total": 4}
    wait_until(lambda: stage.effects()["at_once-sent"], timeout=TIMEOUT)
    assert stage.effects()["at_once-sent"] == 1, "what the first run wanted to send with its success was not sent"

    blocks = stage.send("blocks", "blocks", 1.6)
    wait_until(lambda: stage.effects()["blocks begins"], timeout=TIMEOUT)
    beside = stage.send("advances", "beside", 20)
    assert blocks.get(timeout=TIMEOUT) == "blocks"
    assert len(stage.begun()["blocks"]) == 1, "its lease does not depend on the loop"
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
