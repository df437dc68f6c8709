"""The transport under real signals: what was accepted is compared with what took effect (P1, P2, P7, P11)."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.chaos.plant import plant
from understudy.testing.conditions import wait_until

TIMEOUT = 60.0


def test_kill_9_of_one_of_two_workers_under_load_loses_nothing(tmp_path: Path) -> None:
    with plant(tmp_path) as stage:
        first, _ = stage.worker(), stage.worker()
        sent = [stage.send("note", f"n{n}") for n in range(300)]
        sent += [stage.send("flaky", f"f{n}", 1) for n in range(40)]
        sent += [stage.send("note", f"d{n}", delay=1_000) for n in range(40)]
        sent += [stage.send("steps", f"s{n}", 20) for n in range(10)]
        wait_until(lambda: len(stage.effects()) > 100, timeout=TIMEOUT)
        pids = first.processes()
        first.kill()
        in_hand = stage.in_hand(pids)
        stage.wait_for_all(sent)
        assert all(handle.successful() for handle in sent)
        effects = stage.effects()
        for name in [f"n{n}" for n in range(300)] + [f"f{n}" for n in range(40)] + [f"d{n}" for n in range(40)]:
            assert effects[name] >= 1
        # Only what the killed process held may have run again.
        assert sum(count - 1 for name, count in effects.items() if not name.startswith("s")) <= in_hand
        assert not [name for name, count in effects.items() if name.startswith("s") and count > 1]


def test_kill_9_of_all_workers_and_new_ones_recover_everything(tmp_path: Path) -> None:
    with plant(tmp_path) as stage:
        workers = [stage.worker(), stage.worker()]
        sent = [stage.send("slow", f"n{n}", 0.05) for n in range(100)]
        wait_until(lambda: len(stage.effects()) > 20, timeout=TIMEOUT)
        for worker in workers:
            worker.kill()
        stage.worker()
        stage.wait_for_all(sent)
        assert all(handle.successful() for handle in sent)


@pytest.mark.parametrize("fsync", ["always", "everysec"])
def test_a_server_that_is_killed_and_restarted_loses_nothing_that_it_had_confirmed(tmp_path: Path, fsync: str) -> None:
    # With everysec up to the last second may be lost in a power failure; a killed process leaves what it had written
    # to the kernel, so nothing is lost here either.
    with plant(tmp_path, fsync) as stage:  # type: ignore[arg-type]  # one of the two
        stage.worker()
        sent = [stage.send("note", f"n{n}") for n in range(200)]
        sent += [stage.send("note", f"d{n}", delay=3_000) for n in range(100)]
        sent += [stage.send("flaky", f"f{n}", 3) for n in range(40)]
        sent += [stage.send("slow", f"l{n}", 3.0) for n in range(4)]
        wait_until(lambda: stage.effects()["l3 begins"] == 1, timeout=TIMEOUT)
        stage.server.kill()
        stage.server.start()
        stage.wait_for_all(sent)
        assert all(handle.successful() for handle in sent)
        effects = stage.effects()
        # A body that ran through the outage on a live worker runs once, and its outcome commits.
        assert [effects[f"l{n} begins"] for n in range(4)] == [1, 1, 1, 1]
        assert all(effects[f"d{n}"] == 1 for n in range(100))


def test_a_worker_that_was_paused_past_its_lease_is_refused_and_not_believed(tmp_path: Path) -> None:
    with plant(tmp_path) as stage:
        paused = stage.worker()
        sent = stage.send("slow", "it", 1.0)
        wait_until(lambda: stage.effects()["it begins"] == 1, timeout=TIMEOUT)
        paused.signal(signal.SIGSTOP)
        stage.worker()
        assert sent.get(timeout=TIMEOUT) == "it"
        paused.signal(signal.SIGCONT)
        wait_until(lambda: "refused" in paused.log.read_text(), timeout=TIMEOUT, what="the zombie's refusal")
        assert stage.effects()["it begins"] == 2
        assert stage.broker.size("chaos") == 0


def test_sigterm_hands_the_rest_back_and_burns_no_attempt(tmp_path: Path) -> None:
    with plant(tmp_path) as stage:
        worker = stage.worker(threads=2)
        sent = [stage.send("slow", f"n{n}", 0.2) for n in range(30)]
        wait_until(lambda: stage.effects()["n3"] == 1, timeout=TIMEOUT)
        worker.stop()
        done = sum(handle.ready() for handle in sent)
        assert done < 30
        stage.worker()
        stage.wait_for_all(sent)
        assert all(stage.effects()[f"n{n}"] == 1 for n in range(30))
        assert all(handle.retries == 0 for handle in sent)
