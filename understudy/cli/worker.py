"""``understudy worker``: Dramatiq's own command line, with our settings, checks and log lines."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from understudy import logs
from understudy.durations import to_millis
from understudy.options import did_you_mean
from understudy.settings import Settings, load

from . import preflight
from .console import Exit, fail

Modules = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="MODULES",
        help="What to import to know the actors. Default: UNDERSTUDY_MODULES, else tasks and workflows.",
    ),
]
Processes = Annotated[
    int | None,
    typer.Option("--processes", "-p", min=1, max=1024, help="Worker processes. Default: UNDERSTUDY_PROCESSES, else 2."),
]
Threads = Annotated[
    int | None,
    typer.Option("--threads", "-t", min=1, max=1024, help="Threads of each. Default: UNDERSTUDY_THREADS, else 8."),
]
Queues = Annotated[
    list[str] | None,
    typer.Option("--queues", "-Q", help="Work on these queues only; repeat it, or separate by commas. Default: all."),
]
ShutdownTimeout = Annotated[
    float | None,
    typer.Option(
        "--shutdown-timeout",
        min=0,
        help="Seconds that running work may go on after SIGTERM. Default: UNDERSTUDY_SHUTDOWN_TIMEOUT, else 30.",
    ),
]


def worker(
    modules: Modules = None,
    processes: Processes = None,
    threads: Threads = None,
    queues: Queues = None,
    shutdown_timeout: ShutdownTimeout = None,
) -> None:
    """Run worker processes.

    SIGTERM or Ctrl-C ends them: running work may finish within the shutdown timeout, what has not finished is handed
    back and burns no attempt. A second signal kills. SIGHUP stops and starts again with new code.

    Exit codes: 0 stopped, 1 killed, 2 a module, an argument or a setting is wrong, 3 the server is not reached.
    """
    raise typer.Exit(run(modules, processes, threads, queues, shutdown_timeout))


def run(
    modules: list[str] | None,
    processes: int | None,
    threads: int | None,
    queues: list[str] | None,
    shutdown_timeout: float | None,
    *,
    announce: Callable[[Settings, preflight.Modules], None] = lambda settings, found: None,
) -> int:
    """Check, call ``announce``, run the workers until they are told to stop. Returns Dramatiq's exit code."""
    settings = _settle(modules, processes, threads, shutdown_timeout)
    preflight.require_server(settings)
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # as Dramatiq does, but before the modules are looked at
    found = preflight.examine(settings.modules)
    if found.problem is not None:
        fail(found.problem, Exit.USAGE)
    wanted = [name.strip() for part in queues or [] for name in part.split(",") if name.strip()]
    for name in wanted:
        if name not in found.queues:
            known = ", ".join(found.queues) or "none"
            fail(
                f"--queues: no actor has the queue {name!r}{did_you_mean(name, found.queues)}; there are: {known}",
                Exit.USAGE,
            )
    server = preflight.reach(settings)
    logs.configure(settings)
    announce(settings, found)
    code = _dramatiq(settings, wanted)
    del server  # it kept the embedded server running until here
    return code


def _settle(
    modules: list[str] | None, processes: int | None, threads: int | None, shutdown_timeout: float | None
) -> Settings:
    """Arguments go through the environment: the worker processes, and `tasks` in them, load the same settings."""
    given = {
        "UNDERSTUDY_MODULES": ",".join(modules) if modules else None,
        "UNDERSTUDY_PROCESSES": processes,
        "UNDERSTUDY_THREADS": threads,
        "UNDERSTUDY_SHUTDOWN_TIMEOUT": shutdown_timeout,
    }
    os.environ.update({name: str(value) for name, value in given.items() if value is not None})
    return load(Settings)


def _dramatiq(settings: Settings, queues: list[str]) -> int:
    # Imported here: it is of use only now, and brings multiprocessing and argparse with it.
    from dramatiq import cli

    arguments = ["understudy.cli.boot:boot", *settings.modules[1:], "--skip-logging"]
    arguments += ["--processes", str(settings.processes), "--threads", str(settings.threads)]
    arguments += ["--worker-shutdown-timeout", str(to_millis(settings.shutdown_timeout))]
    if queues:
        arguments += ["--queues", *queues]
    parser = cli.make_argument_parser()  # type: ignore[no-untyped-call]
    return int(cli.main(parser.parse_args(arguments)))  # type: ignore[no-untyped-call]
