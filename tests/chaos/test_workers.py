"""Real worker processes under Dramatiq's own command line, real signals, a real server (P1, P2, P7)."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.chaos.runners import LEASE, Runner, Stage, stage_with
from tests.understudy.brokers.servers import real_server
from understudy.testing.conditions import wait_until

TIMEOUT = 30.0


def test_what_a_killed_worker_held_runs_elsewhere_within_twice_its_lease(tmp_path: Path) -> None:
    with stage_with(tmp_path, 2) as (stage, _):
        handles = [stage.send("work", x, "go") for x in range(6)]
        wait_until(lambda: len(stage.journal("begin")) == 4, timeout=TIMEOUT, what="all threads are at work")
        killed = stage.journal("begin")[0].pid
        theirs = {line.x for line in stage.journal("begin") if line.pid == killed}
        os.kill(killed, signal.SIGKILL)
        stage.open_gate()
        wait_until(
            lambda: all(len(stage.journal("begin", x)) == 2 for x in theirs),
            timeout=2 * LEASE + 1,
            what="what it ran runs again",
        )
        results = [handle.get(timeout=TIMEOUT) for handle in handles]
        assert killed not in results
        assert len(stage.journal("end")) == 6, "every message ran to its end once"


def test_a_worker_that_was_stopped_past_its_lease_is_refused_when_it_goes_on(tmp_path: Path) -> None:
    with stage_with(tmp_path, 2, threads=1) as (stage, runners):
        handle = stage.send("work", 1, "go")
        wait_until(lambda: stage.journal("begin", 1), timeout=TIMEOUT)
        zombie = stage.journal("begin", 1)[0].pid
        os.kill(zombie, signal.SIGSTOP)
        try:
            wait_until(lambda: len(stage.journal("begin", 1)) == 2, timeout=TIMEOUT, what="another worker has it")
            stage.open_gate()
            other = handle.get(timeout=TIMEOUT)
            assert other != zombie
        finally:
            os.kill(zombie, signal.SIGCONT)
        wait_until(lambda: len(stage.journal("end", 1)) == 2, timeout=TIMEOUT, what="the zombie's body ends")
        wait_until(
            lambda: any(runner.says("this outcome was refused") for runner in runners),
            timeout=TIMEOUT,
            what="the zombie is refused",
        )
        assert handle.get(timeout=TIMEOUT) == other
        assert stage.broker.size("default") == 0


def test_a_zombie_works_on_under_a_new_name(tmp_path: Path) -> None:
    with stage_with(tmp_path, 1, threads=1) as (stage, _):
        assert stage.send("work", 1).get(timeout=TIMEOUT)
        worker = stage.journal("begin", 1)[0].pid
        leases = stage.broker.storage.keys.leases
        stage.broker.storage.call("DEL", leases)
        wait_until(lambda: stage.broker.storage.call("HLEN", leases) == 1, timeout=TIMEOUT, what="a new lease")
        assert stage.send("work", 2).get(timeout=TIMEOUT) == worker


def test_a_server_that_is_killed_and_comes_back_loses_nothing_that_was_accepted(tmp_path: Path) -> None:
    with stage_with(tmp_path, 2) as (stage, _):
        running = [stage.send("work", x, "go") for x in range(4)]
        waiting = [stage.send("work", x) for x in range(4, 20)]
        wait_until(lambda: all(stage.journal("begin", x) for x in range(4)), timeout=TIMEOUT)
        stage.server.kill()
        stage.open_gate()
        wait_until(lambda: len(stage.journal("end")) >= 4, timeout=TIMEOUT, what="the bodies end in the outage")
        stage.server.start()
        for handle in [*running, *waiting]:
            assert handle.get(timeout=TIMEOUT)
        assert len(stage.journal("begin")) == 20, "a live worker's body runs once, whatever the server does"


def test_one_poison_is_one_dead_letter(tmp_path: Path) -> None:
    with stage_with(tmp_path, 1) as (stage, runners):
        bad = stage.send("poison", 99)
        good = [stage.send("work", x) for x in range(20)]
        spare = [Runner(stage, f"spare-{number}") for number in range(4)]
        try:
            wait_until(bad.ready, timeout=60, what="the poison is found")
            assert bad.status == "FAILURE"
            for handle in good:
                handle.get(timeout=TIMEOUT)
            assert len(stage.journal("begin", 99)) <= 4
            keys = stage.broker.keys_of("default")
            assert stage.broker.storage.call("ZCARD", keys.dead) == 1
        finally:
            for runner in [*spare, *runners]:
                runner.stop()


def test_the_dramatiq_command_runs_our_modules(tmp_path: Path) -> None:
    with real_server(tmp_path) as server:
        stage = Stage(tmp_path, server)
        runner = Runner(stage, "tasks", module="tasks")
        try:
            runner.ready()
            wait_until(lambda: stage.broker.records.announced_queue("send_email") == "email", timeout=TIMEOUT)
        finally:
            code = runner.stop()
            stage.broker.close()
        assert code == 0
        assert not runner.says("Traceback")
