"""One worker process, spoken to as the supervisor does. The whole is tested in ``test_run.py``."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from understudy.supervisor.messages import KILLED, OK, USAGE, Drain, Draining, Failed, Report, Up
from understudy.supervisor.spawn import Spawned, Spawner
from understudy.testing.conditions import wait_until

from .real import TIMEOUT, Rig, begun, rig


class Child:
    """A process and everything that it has said."""

    def __init__(self, link: Spawned) -> None:
        self.link = link
        self.said: list[Report] = []

    def await_report(self, report: Report) -> None:
        def said() -> bool:
            self.said += self.link.hear()
            return report in self.said or self.link.poll() is not None

        wait_until(said, timeout=TIMEOUT)
        assert report in self.said

    def wait(self) -> int:
        wait_until(lambda: self.link.poll() is not None, timeout=TIMEOUT)
        self.said += self.link.hear()
        code = self.link.poll()
        assert code is not None
        return code


class Nursery:
    def __init__(self, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rig = rig
        self.children: list[Child] = []
        self._monkeypatch = monkeypatch

    def __call__(self, *queues: str, **more: str) -> Child:
        for name, text in {**self.rig.env, "UNDERSTUDY_THREADS": "1", **more}.items():
            self._monkeypatch.setenv(name, text)
        self.children.append(Child(Spawner(queues)(1)))
        return self.children[-1]


@pytest.fixture
def spawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Nursery]:
    for name in ("REDIS_URL", "BROKER_URL"):
        monkeypatch.delenv(name, raising=False)
    with rig(tmp_path) as made:
        nursery = Nursery(made, monkeypatch)
        yield nursery
        for child in nursery.children:
            child.link.signal(signal.SIGKILL)
            child.wait()


def test_it_comes_up_drains_and_ends_in_good_order(spawn: Nursery) -> None:
    child = spawn()
    child.await_report(Up())
    assert spawn.rig.send("pid").get(timeout=TIMEOUT) == child.link.pid
    child.link.tell(Drain("shutdown", 30.0))
    assert child.wait() == OK
    assert child.said == [Up(), Draining("shutdown")]


def test_the_collector_does_not_look_at_what_is_loaded(spawn: Nursery) -> None:
    child = spawn()
    child.await_report(Up())
    assert spawn.rig.send("frozen").get(timeout=TIMEOUT) > 10_000


def test_a_terminal_does_not_reach_it(spawn: Nursery) -> None:
    child = spawn()
    for number in (signal.SIGINT, signal.SIGHUP):  # also before it has set its signals
        child.link.signal(number)
    child.await_report(Up())
    for number in (signal.SIGINT, signal.SIGHUP):
        child.link.signal(number)
    assert spawn.rig.send("pid").get(timeout=TIMEOUT) == child.link.pid


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"UNDERSTUDY_MODULES": "nowhere_at_all"}, "cannot import 'nowhere_at_all'"),
        ({"UNDERSTUDY_MODULES": "json"}, "the modules json install no broker"),
        ({"UNDERSTUDY_THREADS": "many"}, "UNDERSTUDY_THREADS='many' is not a whole number"),
        ({"UNDERSTUDY_MAX_MEMORY": "5MiB"}, "UNDERSTUDY_MAX_MEMORY (--max-memory) is 5 MiB"),
    ],
)
def test_it_says_why_it_cannot_start(spawn: Nursery, more: dict[str, str], reason: str) -> None:
    child = spawn(**more)
    assert child.wait() == USAGE
    (failed,) = child.said
    assert isinstance(failed, Failed)
    assert failed.code == USAGE
    assert reason in failed.reason


def test_what_is_sent_while_it_drains_goes_to_others_at_once(spawn: Nursery) -> None:
    old = spawn()
    old.await_report(Up())
    path = spawn.rig.file()
    running_on = spawn.rig.send("release", str(path))
    begun(path)
    fetched = spawn.rig.send("pid")
    old.link.tell(Drain("reload"))
    old.await_report(Draining("reload"))
    new = spawn()
    handles = [fetched, *(spawn.rig.send("pid") for _ in range(3))]
    assert [handle.get(timeout=TIMEOUT) for handle in handles] == [new.link.pid] * 4
    path.touch()
    assert running_on.get(timeout=TIMEOUT) == old.link.pid
    assert old.wait() == OK


def test_without_any_time_an_idle_process_still_ends_in_good_order(spawn: Nursery) -> None:
    child = spawn()
    child.await_report(Up())
    child.link.tell(Drain("shutdown", 0.0))
    assert child.wait() == OK
    handle, next_one = spawn.rig.send("pid"), spawn()
    assert handle.get(timeout=TIMEOUT) == next_one.link.pid


def test_a_later_order_shortens_the_time(spawn: Nursery) -> None:
    child = spawn()
    child.await_report(Up())
    path = spawn.rig.file()
    spawn.rig.send("release", str(path))
    begun(path)
    child.link.tell(Drain("reload"))
    child.await_report(Draining("reload"))
    child.link.tell(Drain("shutdown", 0.1))
    assert child.wait() == KILLED


def test_it_works_only_on_the_queues_it_was_given(spawn: Nursery) -> None:
    child = spawn("slow")
    child.await_report(Up())
    path = spawn.rig.file()
    path.touch()
    other = spawn.rig.send("pid")
    assert spawn.rig.send("wait_for_file", str(path), queue="slow").get(timeout=TIMEOUT) == "found"
    assert not other.ready()


def test_it_ends_at_once_when_its_supervisor_is_gone_before_it_is_up(spawn: Nursery) -> None:
    started = spawn.rig.directory / "started"
    (spawn.rig.directory / "mine.py").write_text(
        f"import pathlib, time\npathlib.Path({str(started)!r}).touch()\ntime.sleep(600)\n"
    )
    child = spawn(UNDERSTUDY_MODULES="mine")
    wait_until(started.exists, timeout=TIMEOUT)
    child.link._close_control()
    assert child.wait() == OK
    assert child.said == [Draining("the supervisor is gone")]


def test_a_child_of_somebody_else_does_not_begin(spawn: Nursery, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.getpid
    monkeypatch.setattr(os, "getpid", lambda: 999_999)
    child = spawn()
    monkeypatch.setattr(os, "getpid", real)
    assert child.wait() == OK
    assert child.said == []
