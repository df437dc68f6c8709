"""``understudy scheduler``: turns the ticks of periodic jobs into messages."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Mapping
from typing import Annotated

import typer

import understudy
from understudy import logs
from understudy.brokers.redis import RedisBroker
from understudy.scheduler.jobs import Job
from understudy.scheduler.loop import Scheduler
from understudy.scheduler.wake import Waker
from understudy.settings import Settings, load
from understudy.supervisor.boot import CannotStart, import_modules
from understudy.supervisor.signals import die_with_parent

from . import preflight
from .console import Exit, fail
from .worker import Modules, setting

logger = logging.getLogger(__name__)

Lease = Annotated[
    float | None,
    typer.Option(
        "--lease",
        parser=setting("scheduler_lease"),
        metavar="SECONDS",
        help="Another scheduler leads when this one was silent for so long: seconds, or 500ms, 1m. Default: "
        "UNDERSTUDY_SCHEDULER_LEASE, else 3.",
    ),
]
Parent = Annotated[int | None, typer.Option("--parent", hidden=True, help="End with this process.")]


def scheduler(modules: Modules = None, lease: Lease = None, parent: Parent = None) -> None:
    """Run a scheduler: each tick of each periodic job becomes one message.

    Run as many as you like, on any number of machines: one leads, another one takes over within the lease when it dies,
    and at once when it is told to stop. No tick is sent twice, and none is lost. SIGTERM or Ctrl-C ends it.

    Exit codes: 0 stopped, 2 a module, an argument or a setting is wrong, 3 the server is not reached.
    """
    if parent is not None:
        die_with_parent()
        if os.getppid() != parent:
            raise typer.Exit
    if modules:
        os.environ["UNDERSTUDY_MODULES"] = ",".join(modules)
    settings = load(Settings)
    preflight.require_server(settings)
    server = preflight.reach(settings)
    logs.configure(settings)
    try:
        broker = import_modules(settings.modules)
    except CannotStart as error:
        fail(str(error), Exit.USAGE)
    assert isinstance(broker, RedisBroker)  # what `install` makes
    work = Scheduler(broker, lease=lease)
    _say(settings, work.jobs)
    _run(work)
    broker.close()
    del server  # it kept the embedded server running until here


def _say(settings: Settings, jobs: Mapping[str, Job]) -> None:
    logger.info(
        "understudy %s scheduler: modules %s; %d periodic jobs", understudy.__version__, settings.modules, len(jobs)
    )
    for job in jobs.values():
        logger.info("periodic job %s: %s", job.name, job.ticks)


def _run(work: Scheduler) -> None:
    waker = Waker()

    def stop(*_: object) -> None:
        work.stop()
        waker.wake()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, stop)
    work.run(waker)
