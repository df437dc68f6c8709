"""Schedulers under real signals and on servers whose clocks are moved: every tick once, none missing (P10)."""

from __future__ import annotations

import importlib.util
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import dramatiq.broker
import pytest

from middleware.stack import stack
from tests.chaos.plant import Server
from tests.chaos.schedulers import TIMEOUT, Theatre, judge, theatre
from understudy import actor, clock, periodic
from understudy.brokers.redis import RedisBroker
from understudy.embedded.binary import find_binary
from understudy.runtime import build
from understudy.scheduler.loop import Scheduler
from understudy.settings import Settings, load
from understudy.testing.conditions import wait_until


def kill_the_leader(here: Theatre) -> None:
    term = here.term()
    here.leader().kill()
    here.schedulers = [one for one in here.schedulers if one.process.returncode is None]
    here.start()
    here.leader(after=term)


def stop_the_leader(here: Theatre) -> None:
    """It is paused for longer than its lease, and wakes when another one leads."""
    term, paused = here.term(), here.leader()
    followed = paused.said.count("follow")
    paused.signal(signal.SIGSTOP)
    here.leader(after=term)
    here.ticks(1)
    paused.signal(signal.SIGCONT)
    wait_until(lambda: paused.said.count("follow") > followed, timeout=TIMEOUT, what=f"it follows\n{here.logs()}")


def restart_the_server(here: Theatre) -> None:
    here.stage.server.kill()
    here.stage.server.start()


def test_every_tick_of_three_schedulers_is_sent_once_whoever_dies(tmp_path: Path) -> None:
    with theatre(tmp_path, lease="2s") as here:
        for _ in range(3):
            here.start()
        here.leader()
        here.ticks(2)
        for trouble in (kill_the_leader, stop_the_leader, restart_the_server):
            trouble(here)
            here.ticks(2)
        here.end()
        assert judge(here.stage.effects()) == []
        (job,) = here.overview.jobs(runs=100)
        assert {run.word for run in job.runs} == {"sent"}
        assert sum(run.missed for run in job.runs) == 0
        # Whoever took over a second or two after a kill was late, and the history says so.
        assert max(run.lateness for run in job.runs) > 0.3
        assert sorted(run.fire for run in job.runs) == [run.fire for run in reversed(job.runs)]


@pytest.mark.chaos_long
def test_a_minute_of_kills_pauses_and_restarts_loses_and_doubles_nothing(tmp_path: Path) -> None:
    seed = int(os.environ.get("CHAOS_SEED", random.randrange(10**6)))
    sys.stdout.write(f"CHAOS_SEED={seed}\n")
    dice, ends = random.Random(seed), clock.monotonic() + float(os.environ.get("CHAOS_SECONDS", "90"))
    done: Counter[str] = Counter()
    with theatre(tmp_path, lease="3s") as here:
        for _ in range(3):
            here.start()
        here.ticks(3)
        order = [kill_the_leader, stop_the_leader, restart_the_server]
        while clock.monotonic() < ends:
            trouble = order[len(done)] if len(done) < len(order) else dice.choice(order)
            trouble(here)
            done[trouble.__name__] += 1
            here.ticks(dice.randrange(1, 5))
        here.end()
        found = here.stage.effects()
        assert judge(found) == []
        assert len(found) >= 60
        (job,) = here.overview.jobs(runs=100)
        # By default another one leads within 5 s.
        late = max(run.lateness for run in job.runs)
        sys.stdout.write(f"{len(found)} ticks, at the most {late:.2f} s late; {dict(done)}\n")
        assert late < 5 + 3


# -- clocks --------------------------------------------------------------------------------------------------


class MovedServer(Server):
    """A server whose clock is moved by what is written to a file: libfaketime between it and the kernel."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, "everysec")
        self._file = directory / "clock"
        self.move(0)

    def move(self, seconds: int) -> None:
        """From now on its clock is so many seconds ahead of the real one."""
        self._file.write_text(f"{seconds:+d}\n")

    def start(self) -> None:
        moving = {
            "LD_PRELOAD": str(_library()),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        self._process = subprocess.Popen(
            [str(find_binary()), *self._options], stdin=subprocess.DEVNULL, env={**os.environ, **moving}
        )
        wait_until(self.answers, what="the server answers")


def _library() -> Path:
    spec = importlib.util.find_spec("libfaketime")
    assert spec is not None
    assert spec.submodule_search_locations
    (found,) = Path(spec.submodule_search_locations[0]).rglob("libfaketime.so.1")
    return found


@pytest.fixture
def own_broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RedisBroker:
    monkeypatch.setattr(dramatiq.broker, "global_broker", None)
    settings = load(Settings, environ={"REDIS_URL": f"unix://{tmp_path}/server/s.sock"})
    return build(settings, middleware=stack(settings))


@pytest.mark.skipif(sys.platform != "linux", reason="libfaketime is put before a program by the loader of Linux")
def test_a_server_clock_that_jumps_hours_in_both_directions_doubles_no_tick(
    tmp_path: Path, own_broker: RedisBroker
) -> None:
    @periodic(every=0.2)
    @actor(broker=own_broker)
    def often() -> None: ...

    server = MovedServer(tmp_path / "server")
    server.start()
    one, other = Scheduler(own_broker, lease=1), Scheduler(own_broker, lease=1)
    stream = own_broker.keys_of("default").streams[1]

    def sent() -> list[str]:
        found: Any = own_broker.storage.client.xrange(stream)
        return [fields[b"m"].split(b"often@")[1].split(b"Z")[0].decode() for _, fields in found]

    def work(*schedulers: Scheduler, until: float = 0.0, more: int = 0) -> None:
        """Let them run for so many seconds, or until so many more ticks are sent."""
        wanted, ends = len(sent()) + more, clock.monotonic() + (until or TIMEOUT)
        while clock.monotonic() < ends and (until or len(sent()) < wanted):
            time.sleep(min(0.1, max(0.005, min(scheduler.run_once() for scheduler in schedulers))))

    try:
        work(one, other, more=3)
        before = len(sent())
        server.move(3_600)
        work(one, other, more=3)
        assert before + 3 <= len(sent()) <= before + 8  # what was jumped over is one tick, the last of them
        server.move(-3_600)
        at_rest = len(sent())
        work(other, until=1.5)  # the other one leads within its lease, although the old one's lay hours ahead
        assert other.leadership.term > 0
        assert len(sent()) == at_rest
        server.move(3_700)
        work(one, other, more=3)
        fires = sent()
        assert fires == sorted(set(fires))
    finally:
        own_broker.close()
        server.kill()
