"""The second part of the demo: two schedulers, one of which is killed; each tick is sent once all the same."""

from __future__ import annotations

import time
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

from rich.console import Console

from understudy import clock
from understudy.errors import UnderstudyError
from understudy.scheduler.overview import Overview, Run
from understudy.settings import Settings
from understudy.storage.client import Storage

from .processes import WorkerProcess

JOB, MODULES = "demo_tick", ("tasks", "understudy.cli.demo.jobs")
#: Seconds between two ticks.
INTERVAL = 0.5
#: Ticks before the leader is killed, and after it.
BEFORE, AFTER = 3, 5
#: Seconds after which the other one leads: short, so that the demo is.
LEASE = 1.5


def show_ticks(
    console: Console, settings: Settings, storage: Storage, place: Path, *, smtp_port: int, deadline: float
) -> list[str]:
    """Run a periodic job under two schedulers, kill the leader with -9; returns what is wrong with the ticks.

    Raises:
      UnderstudyError: they did not come in time.
    """
    console.print("[bold]3.[/] a job every half second, two schedulers, kill -9 of the one that leads")
    overview = Overview(storage)
    with ExitStack() as stack:
        schedulers = [
            WorkerProcess(
                settings,
                smtp_port=smtp_port,
                log=place / f"scheduler-{number}.log",
                command=("scheduler", *MODULES),
                more={"UNDERSTUDY_SCHEDULER_LEASE": str(LEASE)},
            )
            for number in (1, 2)
        ]
        for one in schedulers:
            stack.enter_context(one)
        runs = _wait_for(overview, BEFORE, schedulers, deadline)
        leader = overview.leader()
        name = "" if leader is None else leader.name
        killed = next((one for one in schedulers if f":{one.pid}:" in name), schedulers[0])
        killed.kill()
        schedulers.remove(killed)
        console.print(f"   [red]kill -9[/] of the leader after {len(runs)} ticks; the other one takes over")
        runs = _wait_for(overview, len(runs) + AFTER, schedulers, deadline)
    late = max(run.lateness for run in runs)
    console.print(f"   {len(runs)} ticks, term {terms(runs)}; the latest came {late:.2f} s late")
    problems = judge(runs)
    if not problems:
        console.print("[green]Each tick was sent once, and none is missing.[/]")
    for problem in problems:
        console.print(f"[red]differs:[/] {problem}")
    return problems


def judge(runs: list[Run]) -> list[str]:
    """What is wrong with ticks that should be half a second apart, in order of time."""
    return [
        f"between the ticks of {before.fire:%H:%M:%S.%f} and {after.fire:%H:%M:%S.%f} is not half a second"
        for before, after in pairwise(runs)
        if abs((after.fire - before.fire).total_seconds() - INTERVAL) > 0.001
    ]


def terms(runs: list[Run]) -> str:
    """The terms in which ticks were sent."""
    return " and ".join(str(term) for term in sorted({run.term for run in runs}))


def _wait_for(overview: Overview, count: int, schedulers: list[WorkerProcess], deadline: float) -> list[Run]:
    while len(runs := overview.runs(JOB, 100)) < count:
        for one in schedulers:
            one.check()
        if clock.monotonic() > deadline:
            raise UnderstudyError(f"{len(runs)} ticks of {count} in time; --timeout gives it longer")
        time.sleep(0.1)
    return runs[::-1]
