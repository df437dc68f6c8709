"""``understudy up``: what development needs, in one terminal."""

from __future__ import annotations

import os
import subprocess
import sys

import typer
from rich.markup import escape

from understudy.settings import Settings, mask_url
from understudy.supervisor.kept import Kept

from . import preflight
from .console import out
from .worker import Modules, Processes, Queues, ShutdownTimeout, Threads, run


def up(
    modules: Modules = None,
    processes: Processes = None,
    threads: Threads = None,
    queues: Queues = None,
    shutdown_timeout: ShutdownTimeout = None,
) -> None:
    """Run a server, workers and a scheduler until Ctrl-C: all that development needs.

    The server is the one of REDIS_URL, else the embedded one of this checkout, which keeps its data and ends with
    its last user. The scheduler runs if the modules have periodic jobs, and is started again if it dies. Ctrl-C or
    SIGTERM ends the workers cleanly, with exit code 0; a second one kills them.
    """
    beside: list[Kept] = []

    def begin(settings: Settings, found: preflight.Modules) -> None:
        announce(settings, found)
        if found.jobs:
            beside.append(Kept("the scheduler", start_scheduler))

    try:
        code = run(modules, processes, threads, queues, shutdown_timeout, announce=begin, beside=beside)
    finally:
        for kept in beside:
            kept.stop()
    raise typer.Exit(code)


def start_scheduler() -> subprocess.Popen[bytes]:
    """A scheduler that ends with this process, with the settings of its environment."""
    command = [sys.executable, "-m", "understudy.cli", "scheduler", "--parent", str(os.getpid())]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL)


def announce(settings: Settings, found: preflight.Modules) -> None:
    """Say what runs where, and what to do next."""
    console = out()
    url = settings.server_url
    where = f"embedded, data in {settings.data_dir / 'server'}" if url is None else mask_url(url)
    console.print(f"[bold]Server[/]   {escape(where)}")
    console.print(f"[bold]Workers[/]  {settings.processes} processes of {settings.threads} threads")
    console.print(f"[bold]Modules[/]  {', '.join(settings.modules)}")
    console.print("[bold]Actors[/]")
    for name, queue in sorted(found.actors.items()):
        console.print(f"  {escape(name)} [dim](queue {escape(queue)})[/]")
    if not found.actors:
        console.print("  none: the modules declare no actor, so nothing will be worked on")
    if found.jobs:
        console.print("[bold]Periodic jobs[/]")
    for name, schedule in sorted(found.jobs.items()):
        console.print(f"  {escape(name)} [dim]({escape(schedule)})[/]")
    console.print()
    console.print("In another terminal:")
    console.print("  understudy send ACTOR --args '\\[...]' --wait")
    console.print("  understudy status ID --watch")
    if found.jobs:
        console.print("  understudy schedule list")
    console.print("  understudy doctor")
    console.print("[dim]Ctrl-C ends it.[/]\n")
