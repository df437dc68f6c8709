"""A body that kills its process, among others that do not, under the supervisor (P6)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.journal import blamed
from tests.chaos.plant import Plant, Worker, plant
from understudy.errors import PoisonMessage
from understudy.handle import Handle
from understudy.testing.conditions import wait_until

TIMEOUT = 60.0
THREADS = 8
#: A short lease, because each death takes one.
LEASE = {"UNDERSTUDY_HEARTBEAT_TIMEOUT": "1s"}
#: Bodies long enough that others run, and more are prefetched, when a process dies.
SECONDS = 0.02
#: A body that kills its process within its first milliseconds may do so once before its mark is written.
MOST_RUNS = 4


def send_all(stage: Plant, poisons: dict[str, str]) -> tuple[list[Handle], dict[str, Handle]]:
    """200 innocents, and so many poisons in their middle, before any worker is there: so prefetch is full."""
    innocents = [stage.send("innocent", f"n{n}", SECONDS) for n in range(100)]
    bad = {name: stage.send("poison", name, how) for name, how in poisons.items()}
    innocents += [stage.send("innocent", f"m{n}", SECONDS) for n in range(100)]
    return innocents, bad


def check(stage: Plant, worker: Worker, innocents: list[Handle], bad: dict[str, Handle]) -> None:
    stage.wait_for_all([*innocents, *bad.values()], timeout=TIMEOUT)
    for name, handle in bad.items():
        with pytest.raises(PoisonMessage, match="running at 3 deaths"):
            handle.get(timeout=1)
        # Of two at once one may die before its first line, by the other: it was about to begin, and is blamed.
        assert len(stage.begun()[name]) >= 3
        assert stage.effects()[name] <= MOST_RUNS
    assert not [(one.status, one.result) for one in innocents if not one.successful()], stage.logs()
    letters = stage.dead()
    assert sorted(letter.message_id for letter in letters) == sorted(handle.id for handle in bad.values())
    assert all(letter.poison for letter in letters)
    # What was only prefetched when a process died is not blamed for it.
    assert not blamed(stage.begun())
    assert stage.broker.size("chaos") == 0


def deaths(worker: Worker) -> int:
    """How many of its processes have ended."""
    return worker.said().count(" ended: ")


# The other pairs run with the long tests.
CASES = [
    pytest.param(1, "exit"),
    pytest.param(2, "sigkill"),
    pytest.param(1, "sigkill", marks=pytest.mark.chaos_long),
    pytest.param(1, "segfault", marks=pytest.mark.chaos_long),
    pytest.param(2, "exit", marks=pytest.mark.chaos_long),
    pytest.param(2, "segfault", marks=pytest.mark.chaos_long),
]


@pytest.mark.parametrize(("processes", "how"), CASES)
def test_one_poison_among_200_innocents_is_the_only_dead_letter_and_the_worker_goes_on(
    processes: int, how: str, tmp_path: Path
) -> None:
    with plant(tmp_path) as stage:
        innocents, bad = send_all(stage, {"poison": how})
        worker = stage.worker(threads=THREADS, processes=processes, environment=LEASE)
        check(stage, worker, innocents, bad)
        begun, runs = stage.begun(), stage.effects()["poison"]
        assert len(begun.pop("poison")) == runs
        # Only those that ran the poison died, each at once replaced by another; the last one died with it alone.
        assert deaths(worker) == runs
        # What runs or has ended, and is not committed, counts against prefetch, which is twice the threads.
        assert sum(len(begins) - 1 for begins in begun.values()) < (runs - 1) * 2 * THREADS
        wait_until(lambda: len(worker.processes()) == processes, timeout=TIMEOUT, what="all places are filled")
        assert not worker.ended()
        assert stage.send("innocent", "after it").get(timeout=TIMEOUT) == "after it"


def test_two_poisons_at_once_are_two_dead_letters_and_no_more(tmp_path: Path) -> None:
    with plant(tmp_path) as stage:
        innocents, bad = send_all(stage, {"one": "segfault", "two": "exit"})
        worker = stage.worker(threads=THREADS, processes=2, environment=LEASE)
        check(stage, worker, innocents, bad)
        # Both may have been running at the same death at first, never at the last.
        assert 4 <= deaths(worker) <= sum(stage.effects()[name] for name in bad)
        assert not worker.ended()
