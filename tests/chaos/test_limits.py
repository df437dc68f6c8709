"""Limits that stop (P5), and the deaths of bodies (P6), in a real worker on a real server."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.chaos.plant import Plant, plant
from understudy import clock
from understudy.errors import MemoryLimitExceeded, PoisonMessage, TimeLimitExceeded
from understudy.testing.conditions import wait_until

MODULE = "tests.chaos.limit_actors"
#: As it stands there. (Imported here, its actors would stand on the broker of every test.)
LIMIT = 1.5
TIMEOUT = 60.0
HOPELESS = ["sleeps", "loops_in_c", "backtracks", "swallows"]


def began(stage: Plant) -> list[int]:
    """The processes in which bodies began that note it."""
    return [int(line.split()[1]) for line in stage.effects().elements() if line.startswith("began ")]


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def await_effects(stage: Plant, count: int, *, what: str) -> None:
    wait_until(lambda: len(stage.effects()) >= count, timeout=TIMEOUT, what=what)


def test_hard_limits_end_four_hopeless_bodies_and_delay_no_neighbour(tmp_path: Path) -> None:
    with plant(tmp_path) as stage:
        worker = stage.worker(threads=6, module=MODULE)
        stage.send("neighbour", "first").get(timeout=TIMEOUT)
        pids = worker.processes()
        hopeless = {name: stage.send(name) for name in HOPELESS}
        wait_until(lambda: len(began(stage)) == len(HOPELESS), timeout=TIMEOUT, what="all four have begun")
        start = clock.monotonic()
        done = 0
        while not all(handle.ready() for handle in hopeless.values()):
            assert stage.send("neighbour", f"n{done}").get(timeout=TIMEOUT) in pids
            done += 1
            assert clock.monotonic() - start < 10 * LIMIT, stage.logs()
        for name, handle in hopeless.items():
            with pytest.raises(TimeLimitExceeded, match=f"time limit of {LIMIT:g} s; it was at .* in "):
                handle.get(timeout=1)
            assert f"in {name}" in (handle.traceback or "")
            assert handle.retries == 0
            ended = handle.read().seconds("done_at") or 0.0
            started = handle.read().seconds("started_at") or 0.0
            # It began after it was marked as started, and the starts of four processes share two cores.
            assert ended - started < 10 * LIMIT
        # A stalled interpreter would have let through one or two in all that time.
        assert done > 20, f"{done} neighbours; {stage.logs()}"
        assert worker.processes() == pids
        assert not any(lives(pid) for pid in began(stage))


def test_a_memory_limit_ends_a_body_that_grows_and_no_neighbour_notices(tmp_path: Path) -> None:
    with plant(tmp_path) as stage:
        worker = stage.worker(threads=3, module=MODULE)
        stage.send("neighbour", "first").get(timeout=TIMEOUT)
        pids = worker.processes()
        grows, done = stage.send("grows"), 0
        while not grows.ready():
            assert stage.send("neighbour", f"n{done}").get(timeout=TIMEOUT) in pids
            done += 1
        with pytest.raises(
            MemoryLimitExceeded, match=r"memory limit of 500 MiB: its process took 5\d\d.* MiB; it was at"
        ):
            grows.get(timeout=1)
        assert "in grows" in (grows.traceback or "")
        assert len(began(stage)) == 1
        assert worker.processes() == pids
        assert not any(lives(pid) for pid in began(stage))
        assert done > 5, f"{done} neighbours; {stage.logs()}"


def test_kill_9_of_the_worker_process_leaves_no_child(tmp_path: Path) -> None:
    with plant(tmp_path) as stage:
        worker = stage.worker(threads=3, module=MODULE)
        for _ in range(2):
            stage.send("hangs")
        wait_until(lambda: len(began(stage)) == 2, timeout=TIMEOUT)
        bodies = began(stage)
        assert all(lives(pid) for pid in bodies)
        (process,) = worker.processes()
        os.kill(process, signal.SIGKILL)
        wait_until(lambda: not any(lives(pid) for pid in bodies), timeout=10, what="the children are gone")


def test_a_body_that_crashes_is_one_dead_letter_and_the_worker_does_not_notice(tmp_path: Path) -> None:
    with plant(tmp_path) as stage:
        worker = stage.worker(threads=4, module=MODULE)
        stage.send("neighbour", "first").get(timeout=TIMEOUT)
        pids = worker.processes()
        bad = stage.send("crashes")
        good = [stage.send("neighbour", f"n{n}") for n in range(50)] + [
            stage.send("steps", f"s{n}", 20) for n in range(2)
        ]
        stage.wait_for_all([bad, *good])
        with pytest.raises(
            PoisonMessage, match=r"died 3 times, the last time alone: killed by SIGSEGV; it was at .*string_at"
        ):
            bad.get(timeout=1)
        assert all(handle.successful() for handle in good)
        (letter,) = stage.dead()
        assert (letter.exception, letter.poison, letter.deaths) == ("PoisonMessage", True, 3)
        assert "died 3 times" in letter.reason
        assert len(began(stage)) == 3
        assert worker.processes() == pids


def test_a_campaign_of_isolated_items_survives_kill_9_with_one_item_in_doubt(tmp_path: Path) -> None:
    with plant(tmp_path) as stage:
        first = stage.worker(threads=1, module=MODULE)
        handle = stage.send("steps", "s", 100)
        wait_until(lambda: len(stage.effects()) > 20, timeout=TIMEOUT)
        first.kill()
        stage.worker(threads=1, module=MODULE)
        done = handle.get(timeout=TIMEOUT)
        effects = stage.effects()
        assert max(effects.values()) == 1, "nothing was done twice"
        assert 100 - done <= 1
        assert len(effects) >= done


def test_a_campaign_survives_more_kills_than_make_poison_because_it_comes_on(tmp_path: Path) -> None:
    with plant(tmp_path) as stage:
        handle = stage.send("steps", "s", 200)
        for kills in range(1, 5):
            worker = stage.worker(threads=1, module=MODULE)
            await_effects(stage, len(stage.effects()) + 15, what=f"kill {kills}")
            worker.kill()
        stage.worker(threads=1, module=MODULE)
        done = handle.get(timeout=TIMEOUT)
        assert stage.dead() == []
        assert max(stage.effects().values()) == 1, "nothing was done twice"
        assert 200 - done <= 4


def test_a_stop_hands_isolated_work_back_at_the_next_item(tmp_path: Path) -> None:
    with plant(tmp_path) as stage:
        worker = stage.worker(threads=1, module=MODULE)
        handle = stage.send("steps", "s", 400)
        wait_until(lambda: len(stage.effects()) > 5, timeout=TIMEOUT)
        worker.stop()
        stopped_at = len(stage.effects())
        assert stopped_at < 400
        stage.worker(threads=1, module=MODULE)
        assert handle.get(timeout=TIMEOUT) == 400
        assert stage.effects() == {f"s/{n}": 1 for n in range(400)}
        assert handle.retries == 0
