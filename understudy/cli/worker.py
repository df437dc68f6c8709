"""``understudy worker``: checks, then the supervisor and its processes."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

import understudy
from understudy import logs
from understudy.errors import SettingsError
from understudy.options import did_you_mean
from understudy.settings import Settings, load
from understudy.supervisor.kept import Kept
from understudy.supervisor.limits import can_measure_memory, mebibytes
from understudy.supervisor.run import supervise

from . import preflight
from .console import Exit, fail

logger = logging.getLogger(__name__)


def setting(field: str) -> Callable[[str], Any]:
    """Reads an option as the setting ``field`` is read, with its bounds and its words."""
    name = f"UNDERSTUDY_{field.upper()}"

    def parse(text: str) -> Any:
        try:
            return getattr(load(Settings, environ={name: text}), field)
        except SettingsError as error:
            raise typer.BadParameter("; ".join(error.problems).removeprefix(f"{name}=")) from None

    return parse


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
        parser=setting("shutdown_timeout"),
        metavar="SECONDS",
        help="How long running work may go on after SIGTERM: seconds, or 500ms, 5m, 1h. What runs then still is cut "
        "off and runs again elsewhere. Default: UNDERSTUDY_SHUTDOWN_TIMEOUT, else 30.",
    ),
]
MaxMessages = Annotated[
    int | None,
    typer.Option(
        "--max-messages",
        parser=setting("max_messages"),
        metavar="NUMBER",
        help="Replace a process after so many messages, or up to a tenth less, so that not all are replaced at once; "
        "its running work is finished first. Default: UNDERSTUDY_MAX_MESSAGES, else never.",
    ),
]
MaxMemory = Annotated[
    int | None,
    typer.Option(
        "--max-memory",
        parser=setting("max_memory"),
        metavar="SIZE",
        help="Replace a process whose resident memory is above this: bytes, or 512MiB, 2GiB; its running work is "
        "finished first. Default: UNDERSTUDY_MAX_MEMORY, else never.",
    ),
]


def worker(
    modules: Modules = None,
    processes: Processes = None,
    threads: Threads = None,
    queues: Queues = None,
    shutdown_timeout: ShutdownTimeout = None,
    max_messages: MaxMessages = None,
    max_memory: MaxMemory = None,
) -> None:
    """Run worker processes.

    One that dies is replaced, and the others go on. SIGTERM or Ctrl-C ends them: running work may finish within the
    shutdown timeout, what has not finished is handed back and burns no attempt. A second signal kills. SIGHUP replaces
    one process after the other by a fresh one with new code. SIGTTIN writes the stack of every thread to the log.

    Exit codes: 0 stopped, 1 running work was killed, 2 a module, an argument or a setting is wrong, 3 the server is
    not reached.
    """
    code = run(modules, processes, threads, queues, shutdown_timeout, max_messages, max_memory, announce=banner)
    raise typer.Exit(code)


def run(
    modules: list[str] | None,
    processes: int | None,
    threads: int | None,
    queues: list[str] | None,
    shutdown_timeout: float | None,
    max_messages: int | None = None,
    max_memory: int | None = None,
    *,
    announce: Callable[[Settings, preflight.Modules], None],
    beside: Sequence[Kept] = (),
) -> int:
    """Check, call ``announce``, run the workers, and what is ``beside`` them by then, until they are told to stop.
    Returns the exit code."""
    settings = _settle(modules, processes, threads, shutdown_timeout, max_messages, max_memory)
    preflight.require_server(settings)
    if settings.max_memory is not None and not can_measure_memory():
        fail("--max-memory (UNDERSTUDY_MAX_MEMORY) needs /proc, which this system does not have", Exit.USAGE)
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
    ended = supervise(settings, wanted, beside=beside)
    del server  # it kept the embedded server running until here
    if ended.reason:
        fail(ended.reason, Exit(ended.code))
    return ended.code


def banner(settings: Settings, found: preflight.Modules) -> None:
    """A log line, so that JSON stays JSON: what runs here."""
    limits = []
    if settings.max_messages is not None:
        limits.append(f"replaced after {settings.max_messages:,} messages")
    if settings.max_memory is not None:
        limits.append(f"replaced above {mebibytes(settings.max_memory)}")
    logger.info(
        "understudy %s: processes %d, threads of each %d%s; modules %s; %d actors; queues %s; %s server",
        understudy.__version__,
        settings.processes,
        settings.threads,
        "".join(f", {limit}" for limit in limits),
        ", ".join(settings.modules),
        len(found.actors),
        ", ".join(found.queues) or "none",
        "embedded" if settings.server_url is None else "external",
    )


def _settle(
    modules: list[str] | None,
    processes: int | None,
    threads: int | None,
    shutdown_timeout: float | None,
    max_messages: int | None = None,
    max_memory: int | None = None,
) -> Settings:
    """Arguments go through the environment: the worker processes, and `tasks` in them, load the same settings."""
    given = {
        "UNDERSTUDY_MODULES": ",".join(modules) if modules else None,
        "UNDERSTUDY_PROCESSES": processes,
        "UNDERSTUDY_THREADS": threads,
        "UNDERSTUDY_SHUTDOWN_TIMEOUT": shutdown_timeout,
        "UNDERSTUDY_MAX_MESSAGES": max_messages,
        "UNDERSTUDY_MAX_MEMORY": max_memory,
    }
    os.environ.update({name: str(value) for name, value in given.items() if value is not None})
    return load(Settings)
