from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.understudy.isolation import actors_for_tests as them
from tests.understudy.isolation.test_runner import run
from understudy import client, errors
from understudy.brokers.redis import RedisBroker
from understudy.handle import Handle
from understudy.isolation.memory import Watch, is_used_up, resident
from understudy.testing.worker import StepWorker

assert run, "a fixture"

pytestmark = pytest.mark.brokers("stub")
Run = Callable[..., Handle]
MIB = 2**20


def test_what_a_process_takes_is_known_and_nothing_of_one_that_is_gone() -> None:
    before = resident(os.getpid())
    ballast = os.urandom(1) * 64 * MIB
    assert resident(os.getpid()) - before > 32 * MIB
    del ballast
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert resident(gone.pid) == 0


def test_a_limit_that_is_over_is_told_with_both_sizes() -> None:
    watch = Watch(os.getpid(), MIB)
    assert watch.is_over()
    assert "stopped at its memory limit of 1 MiB: its process took " in str(watch.error("; it was there"))
    assert str(watch.error("; it was there")).endswith(" MiB; it was there")
    assert "raise memory_limit" in str(watch.no_room())
    assert not Watch(os.getpid(), 2**50).is_over()


@pytest.mark.parametrize(("taken", "used_up"), [(50, False), (54, False), (56, True), (200, True)])
def test_a_child_that_kept_a_tenth_of_what_a_body_may_take_is_used_up(taken: int, used_up: bool) -> None:
    assert is_used_up(50, taken, 100) is used_up


def test_a_body_that_takes_too_much_is_ended_and_not_run_again(run: Run, tmp_path: Path) -> None:
    log = tmp_path / "log"
    found = run(them.grows, str(log), 100_000)
    with pytest.raises(
        errors.MemoryLimitExceeded, match=r"limit of 300 MiB: its process took 3.* MiB; it was at .*grows"
    ):
        found.get()
    assert found.status == "FAILURE"
    assert "in grows" in (found.traceback or "")
    assert log.read_text().split() == ["run"]
    assert run(them.grows, str(log), 10).successful(), "another process serves the next one"


def test_a_message_may_have_a_limit_of_its_own(run: Run, broker: RedisBroker, tmp_path: Path) -> None:
    assert run(them.sees_its_memory_limit).get()[1] == 400 * MIB
    pid, limit = run(them.sees_its_memory_limit, memory_limit="1GiB").get()
    assert (pid != os.getpid(), limit) == (True, 1024 * MIB)
    assert run(them.plain, memory_limit=2**40).get() != os.getpid()
    with pytest.raises(errors.DeclarationError, match="isolation\\.plain: memory_limit is a number of bytes"):
        them.plain.send_with_options(memory_limit="5 MB")
    with pytest.raises(TypeError, match="no memory_limit can be kept"):
        them.in_a_thread.send_with_options(memory_limit=2**30)


def test_a_sender_by_name_gives_it_too(broker: RedisBroker, step_worker: StepWorker) -> None:
    message: Any = client.send_with_options("isolation.plain", queue_name="default", memory_limit="1GiB")
    assert message.options["memory_limit"] == 1024 * MIB
    with pytest.raises(errors.DeclarationError, match="memory_limit is a number of bytes"):
        client.send_with_options("isolation.plain", queue_name="default", memory_limit=0)


def test_a_limit_below_what_a_process_takes_is_told_as_such(run: Run) -> None:
    with pytest.raises(errors.MemoryLimitExceeded, match="below what a process takes before any body begins"):
        run(them.plain, memory_limit="1MiB").get()


def test_nobody_pays_for_what_an_earlier_body_left_behind(run: Run) -> None:
    first = run(them.leaks).get()
    assert run(them.sees_its_memory_limit).get()[0] != first
    assert run(them.where).successful()
