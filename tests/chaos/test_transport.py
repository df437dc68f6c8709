"""The transport under real signals: what was accepted is compared with what took effect (P1, P2, P6, P7, P11)."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.chaos.plant import Plant, plant
from understudy.errors import PoisonMessage
from understudy.handle import Handle
from understudy.testing.conditions import wait_until

TIMEOUT = 60.0


def wait_for_all(stage: Plant, handles: list[Handle], timeout: float = TIMEOUT) -> None:
    def all_ready() -> bool:
        while handles and handles[-1].ready():
            handles.pop()
        return not handles

    try:
        wait_until(all_ready, timeout=timeout)
    except AssertionError:
        raise AssertionError(f"{len(handles)} messages did not end\n{stage.logs()}") from None


def test_kill_9_of_one_of_two_workers_under_load_loses_nothing(tmp_path: Path) -> None:
    with plant(tmp_path) as stage:
        first, _ = stage.worker(), stage.worker()
        sent = [stage.send("note", f"n{n}") for n in range(300)]
        sent += [stage.send("flaky", f"f{n}", 1) for n in range(40)]
        sent += [stage.send("note", f"d{n}", delay=1_000) for n in range(40)]
        sent += [stage.send("steps", f"s{n}", 20) for n in range(10)]
        wait_until(lambda: len(stage.effects()) > 100, timeout=TIMEOUT)
        first.kill()
        wait_for_all(stage, list(sent))
        assert all(handle.successful() for handle in sent)
        effects = stage.effects()
        for name in [f"n{n}" for n in range(300)] + [f"f{n}" for n in range(40)] + [f"d{n}" for n in range(40)]:
            assert effects[name] >= 1
        # Only what was in flight in the killed process may have run again.
        assert sum(count - 1 for name, count in effects.items() if not name.startswith("s")) <= 40
        assert not [name for name, count in effects.items() if name.startswith("s") and count > 1]


def test_kill_9_of_all_workers_and_new_ones_recover_everything(tmp_path: Path) -> None:
    with plant(tmp_path) as stage:
        workers = [stage.worker(), stage.worker()]
        sent = [stage.send("slow", f"n{n}", 0.05) for n in range(100)]
        wait_until(lambda: len(stage.effects()) > 20, timeout=TIMEOUT)
        for worker in workers:
            worker.kill()
        stage.worker()
        wait_for_all(stage, list(sent))
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
        wait_for_all(stage, list(sent))
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


def test_one_poison_among_innocents_is_the_only_dead_letter(tmp_path: Path) -> None:
    with plant(tmp_path) as stage:
        worker = stage.worker()
        innocents = [stage.send("note", f"n{n}") for n in range(100)]
        poison = stage.send("poison")
        innocents += [stage.send("note", f"m{n}") for n in range(100)]
        left = list(innocents)

        def over() -> bool:
            if worker.ended():
                worker.start()
            while left and left[-1].ready():
                left.pop()
            return not left and poison.ready()

        wait_until(over, timeout=TIMEOUT)
        with pytest.raises(PoisonMessage, match="running at 3 deaths"):
            poison.get(timeout=1)
        wrong = [(handle.status, handle.result) for handle in innocents if not handle.successful()]
        assert not wrong, stage.logs()
        # A body that kills its process within its first milliseconds may do so once before its mark is written.
        assert stage.effects()["poison"] in (3, 4)
        assert stage.broker.storage.call("ZCARD", stage.broker.keys_of("chaos").dead) == 1


def test_sigterm_hands_the_rest_back_and_burns_no_attempt(tmp_path: Path) -> None:
    with plant(tmp_path) as stage:
        worker = stage.worker(threads=2)
        sent = [stage.send("slow", f"n{n}", 0.2) for n in range(30)]
        wait_until(lambda: stage.effects()["n3"] == 1, timeout=TIMEOUT)
        worker.stop()
        done = sum(handle.ready() for handle in sent)
        assert done < 30
        stage.worker()
        wait_for_all(stage, list(sent))
        assert all(stage.effects()[f"n{n}"] == 1 for n in range(30))
        assert all(handle.retries == 0 for handle in sent)
