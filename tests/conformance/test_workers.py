"""Group W: worker loss and shutdown, on real processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from dramatiq import Message

from tests.understudy.cli.helpers import Running
from tests.understudy.supervisor.real import Rig, alive, children, ready, rig
from understudy import clock
from understudy.handle import Handle
from understudy.supervisor.signals import SAME_SIGNAL
from understudy.testing.conditions import wait_until

from .actors import noted
from .behaviours import Outcome, behaviour, got

TIMEOUT = 30.0
#: Seconds for which a silent worker keeps what it holds.
LEASE = "2s"
#: What a worker says that has been told to stop.
STOPPING = "Shutting down..."


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A server and a sender."""
    with rig(tmp_path_factory.mktemp("w")) as made:
        made.env.update(UNDERSTUDY_MODULES="tests.conformance.actors", UNDERSTUDY_HEARTBEAT_TIMEOUT=LEASE)
        yield made


@pytest.fixture(scope="module")
def running(shared: Rig) -> Iterator[Running]:
    """A worker for the scenarios in which only a process dies. It has two, because a new one takes its time."""
    with shared.worker("--processes", "2", "--threads", "1") as started:
        ready(started, 2)
        yield started


def send(stage: Rig, name: str, *args: object) -> Handle:
    return stage.send(f"conformance_{name}", *args, queue="conformance")


def deaths(stage: Rig, times: int) -> tuple[Handle, Path]:
    """A message whose body kills its process so many times."""
    journal = stage.file()
    return send(stage, "dies", str(journal), times), journal


@dataclass
class Death:
    """What was seen of a message at whose first run the process was killed."""

    get: dict[str, Any]
    seen: list[str]
    lines: list[str]
    retries: int


@pytest.fixture(scope="module")
def death(shared: Rig, running: Running) -> Death:
    """One death for all the ways that Celery has to meet one: here there is one way."""
    found, journal = deaths(shared, 1)
    seen: list[str] = []

    def ended() -> bool:
        seen.append(found.status.value)
        return found.ready()

    wait_until(ended, timeout=TIMEOUT, what="it has ended")
    seen.append(found.status.value)
    return Death(got(found.get), list(dict.fromkeys(seen)), noted(journal), found.retries)


@behaviour("W01")
def test_w01_a_killed_process_is_replaced_and_its_message_runs_again(
    shared: Rig, death: Death, outcome: Outcome
) -> None:
    outcome(get=death.get, runs=len(death.lines))
    outcome(goes_on=isinstance(send(shared, "pid").get(timeout=TIMEOUT), int))


@behaviour("W02")
def test_w02_there_is_one_way_to_acknowledge(death: Death, outcome: Outcome) -> None:
    outcome(get=death.get, runs=len(death.lines))


@behaviour("W03")
def test_w03_redelivery_is_seen_by_the_body_and_has_a_bound(shared: Rig, death: Death, outcome: Outcome) -> None:
    outcome(get=death.get, redelivered=[line == "True" for line in death.lines])
    poison, journal = deaths(shared, 99)
    outcome(bounded=got(lambda: poison.get(timeout=60)).get("raised") == "understudy.errors.PoisonMessage")
    assert len(noted(journal)) <= 4


@behaviour("W04")
def test_w04_a_death_burns_no_attempt(death: Death, outcome: Outcome) -> None:
    outcome(seen=death.seen, runs=len(death.lines), get=death.get)
    assert death.retries == 0


@behaviour("W05")
def test_w05_sys_exit_ends_the_body_and_not_the_process(shared: Rig, running: Running, outcome: Outcome) -> None:
    journal = shared.file()
    found = send(shared, "leaves", str(journal))
    outcome(get=got(lambda: found.get(timeout=TIMEOUT)), runs=len(noted(journal)))
    assert found.result.type_name == "builtins.SystemExit"
    outcome(process_lives=alive(int(noted(journal)[0])))


@behaviour("W10")
def test_w10_a_process_is_replaced_between_its_messages(tmp_path: Path, outcome: Outcome) -> None:
    with rig(tmp_path) as alone:
        alone.env["UNDERSTUDY_MODULES"] = "tests.conformance.actors"
        with alone.worker("--processes", "1", "--threads", "1", UNDERSTUDY_MAX_MESSAGES="5"):
            handles = [send(alone, "pid") for _ in range(20)]
            pids = {found.get(timeout=TIMEOUT) for found in handles}
    outcome(replaced=len(pids) > 1, states=sorted({found.status.value for found in handles}))


@behaviour("W06")
def test_w06_what_a_killed_worker_held_runs_elsewhere(tmp_path: Path, outcome: Outcome) -> None:
    with rig(tmp_path) as alone:
        alone.env.update(UNDERSTUDY_MODULES="tests.conformance.actors", UNDERSTUDY_HEARTBEAT_TIMEOUT=LEASE)
        journals, gate = [alone.file(), alone.file()], alone.file()
        with alone.worker("--processes", "1", "--threads", "2") as first:
            handles = [send(alone, "waits", str(journal), str(gate)) for journal in journals]
            wait_until(lambda: all(noted(journal) for journal in journals), timeout=TIMEOUT, what="both bodies run")
            victims = [first.process.pid, *children(first.process.pid)]
            for pid in victims:
                os.kill(pid, signal.SIGKILL)
        with alone.worker("--processes", "1", "--threads", "2") as second:
            ready(second, 1)
            wait_until(lambda: all(len(noted(one)) == 2 for one in journals), timeout=10, what="both run again")
            gate.touch()
            assert [found.get(timeout=TIMEOUT) for found in handles] == ["done", "done"]
        runs = [len(noted(journal)) for journal in journals]
        outcome(early_runs=runs[0], late_runs=runs[1], within_ten_seconds=True)


@behaviour("W07")
def test_w07_a_warm_shutdown_finishes_what_runs_and_gives_back_the_rest(tmp_path: Path, outcome: Outcome) -> None:
    with rig(tmp_path) as alone:
        alone.env["UNDERSTUDY_MODULES"] = "tests.conformance.actors"
        journal, gate = alone.file(), alone.file()
        with alone.worker("--processes", "1", "--threads", "1") as worker:
            found = send(alone, "waits", str(journal), str(gate))
            wait_until(lambda: noted(journal), timeout=TIMEOUT, what="its body runs")
            rest = [send(alone, "pid") for _ in range(3)]
            worker.tell(signal.SIGTERM)
            worker.await_line(STOPPING)
            gate.touch()
            outcome(rc=worker.wait())
        outcome(state=found.status, left_in_queue=sum(not one.exists() for one in rest))
        assert alone.broker.storage.call("XLEN", alone.broker.streams_of("conformance")[1]) == 3


@behaviour("W08")
def test_w08_a_delay_beyond_the_lease_is_one_run(shared: Rig, running: Running, outcome: Outcome) -> None:
    journal, gate = shared.file(), shared.file()
    gate.touch()
    delayed: Message[object] = Message("conformance", "conformance_waits", (str(journal), str(gate)), {}, {})
    shared.broker.enqueue(delayed, delay=5_000)  # more than twice the lease
    assert Handle(delayed.message_id, shared.broker.records).get(timeout=TIMEOUT) == "done"
    assert send(shared, "pid").get(timeout=TIMEOUT)
    outcome(runs=len(noted(journal)))


@behaviour("W09")
def test_w09_a_cold_shutdown_cuts_off_what_runs_and_another_worker_takes_it(tmp_path: Path, outcome: Outcome) -> None:
    with rig(tmp_path) as alone:
        alone.env.update(UNDERSTUDY_MODULES="tests.conformance.actors", UNDERSTUDY_HEARTBEAT_TIMEOUT=LEASE)
        journal, gate = alone.file(), alone.file()
        with alone.worker("--processes", "1", "--threads", "1") as worker:
            found = send(alone, "waits", str(journal), str(gate))
            wait_until(lambda: noted(journal), timeout=TIMEOUT, what="its body runs")
            worker.tell(signal.SIGTERM)
            told = clock.monotonic()
            worker.await_line(STOPPING)
            wait_until(lambda: clock.monotonic() - told > SAME_SIGNAL, what="another signal is another one")
            worker.tell(signal.SIGTERM)
            worker.wait()
        outcome(running_body="finished" if found.ready() else "cancelled")
        gate.touch()
        with alone.worker("--processes", "1", "--threads", "1"):
            outcome(acknowledged_late="restored" if found.get(timeout=TIMEOUT) == "done" else "lost")
