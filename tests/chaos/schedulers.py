"""Schedulers as real processes, on the plant of the chaos tests, and what is expected of their ticks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from itertools import count, pairwise
from pathlib import Path

from tests.chaos.plant import ROOT, Plant, Server
from understudy.errors import ServerUnavailable
from understudy.scheduler.overview import Overview
from understudy.testing.conditions import wait_until

MODULE = "tests.chaos.tick_actors"
TIMEOUT = 60.0


class SchedulerProcess:
    """``understudy scheduler`` on the chaos job, its output in a log file."""

    def __init__(self, stage: Plant, name: str, *, lease: str) -> None:
        self.log = stage.directory / f"{name}.log"
        environment = {
            **{key: value for key, value in os.environ.items() if key != "BROKER_URL"},
            "REDIS_URL": stage.server.url,
            "UNDERSTUDY_NAMESPACE": stage.namespace,
            "UNDERSTUDY_SCHEDULER_LEASE": lease,
            "CHAOS_JOURNAL": str(stage.directory / "effects"),
        }
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "understudy.cli", "scheduler", MODULE],
                env=environment,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """kill -9; also of one that is stopped."""
        self.process.kill()
        self.process.wait()


class Theatre:
    """A server, a worker, and any number of schedulers."""

    def __init__(self, stage: Plant, *, lease: str) -> None:
        self.stage, self.lease = stage, lease
        self.overview = Overview(stage.broker.storage)
        self.schedulers: list[SchedulerProcess] = []
        self._numbers = count(1)
        stage.worker(module=MODULE, threads=2)

    def start(self) -> SchedulerProcess:
        made = SchedulerProcess(self.stage, f"scheduler-{next(self._numbers)}", lease=self.lease)
        self.schedulers.append(made)
        return made

    def leader(self, *, after: int = 0) -> SchedulerProcess:
        """Who leads, in a later term than ``after``, when somebody does."""
        found: list[SchedulerProcess] = []

        def leads() -> bool:
            found[:] = [one for one in self.schedulers if self._where() == (one.process.pid, True)]
            return bool(found) and self.term() > after

        wait_until(leads, timeout=TIMEOUT, what=f"a scheduler leads after term {after}\n{self.logs()}")
        return found[0]

    def term(self) -> int:
        """The present term."""
        try:
            leader = self.overview.leader()
        except ServerUnavailable:
            return 0
        return 0 if leader is None else leader.term

    def ticks(self, more: int) -> None:
        """Wait for so many more ticks to be worked off."""
        wanted = len(self.stage.effects()) + more
        what = f"{wanted} ticks\n{self.logs()}"
        wait_until(lambda: len(self.stage.effects()) >= wanted, timeout=TIMEOUT, what=what)

    def end(self) -> None:
        """SIGTERM to all schedulers; what they have sent is worked off."""
        for one in self.schedulers:
            one.signal(signal.SIGTERM)
        for one in self.schedulers:
            one.process.wait(30)
        wait_until(lambda: self.stage.broker.size("chaos") == 0, timeout=TIMEOUT)

    def kill_all(self) -> None:
        for one in self.schedulers:
            one.kill()

    def logs(self) -> str:
        return "\n".join(f"{one.log.name}:\n{one.said[-2_000:]}" for one in self.schedulers)

    def _where(self) -> tuple[int, bool]:
        try:
            leader = self.overview.leader()
            where = self.stage.broker.storage.call("HGET", self.stage.broker.storage.keys.leader, "where")
        except ServerUnavailable:
            return 0, False
        return (0, False) if leader is None or where is None else (int(where.split()[-1]), leader.alive)


@contextmanager
def theatre(directory: Path, *, lease: str, server: Server | None = None) -> Iterator[Theatre]:
    """A theatre in ``directory``; everything is stopped at the end."""
    with ExitStack() as stack:
        stage = Plant(directory, server=server)
        stack.callback(stage.close)
        made = Theatre(stage, lease=lease)
        stack.callback(made.kill_all)
        yield made


def judge(effects: dict[str, int]) -> list[str]:
    """What is wrong with the ticks of a job that is due every second: doubled ones, and missing ones."""
    fires = sorted(datetime.fromisoformat(text) for text in effects)
    doubled = [f"{text} ran {count} times" for text, count in effects.items() if count > 1]
    gaps = [
        f"nothing between {before} and {after}"
        for before, after in pairwise(fires)
        if after - before != timedelta(seconds=1)
    ]
    return doubled + gaps
