"""``understudy doctor``: is everything as it should be? Also the health check of the worker's container."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from understudy import clock
from understudy.errors import ServerUnavailable
from understudy.inspection import Inspection, Queue, ServerFacts, Worker, open_storage
from understudy.settings import Settings, load, mask_url
from understudy.storage.client import Storage

from . import preflight, views
from .console import Exit, out, print_json
from .settings import in_force

if TYPE_CHECKING:
    from understudy.scheduler.overview import Leader

#: Seconds for one answer of the server, and for everything: a health check that hangs is no health check.
ANSWER, ALTOGETHER = 2.0, 7.0
OLDEST_VERSION = (6, 2)
#: Seconds that two clocks may differ.
CLOCKS = 1.0
#: Seconds that the leases of workers are watched, when no other sign of life is to be had.
WATCH = 3.0
#: Seconds for which a message may wait, and by which a delayed one may be late, before it is worth a word.
WAITING, LATE = 60.0, 5.0
#: The share of its memory limit at which a server is nearly full.
NEARLY_FULL = 0.9

Verdict = Literal["ok", "warning", "wrong"]


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: what it is called, how it is, in words, and what to do."""

    name: str
    verdict: Verdict
    text: str


@dataclass(frozen=True)
class Findings:
    """All that was read of a server. ``jobs`` are the names of the periodic jobs, ``leader`` the scheduler that leads
    or led last."""

    server: ServerFacts
    actors: dict[str, str]
    queues: list[Queue]
    workers: list[Worker]
    jobs: list[str] = field(default_factory=list)
    leader: Leader | None = None


def doctor(as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False) -> None:
    """Examine the server, the queues and the workers.

    Starts the embedded server when REDIS_URL is not set. Ends within 8 seconds, also when the server hangs.

    Exit codes: 0 fine, also with warnings, 1 something is wrong, 2 a setting is wrong, 3 server not reached.
    """
    settings = load(Settings)
    preflight.require_server(settings)
    begun = clock.monotonic()
    findings = examine(settings, ALTOGETHER)
    if findings.leader is None and not findings.jobs:
        # No scheduler has ever told of jobs: is there one that should?
        left = ALTOGETHER - (clock.monotonic() - begun)
        findings = replace(findings, jobs=preflight.jobs_of(settings.modules, timeout=left))
    checks = judge(settings, findings)
    wrong = any(check.verdict == "wrong" for check in checks)
    if as_json:
        print_json(
            {
                "verdict": max((check.verdict for check in checks), key=["ok", "warning", "wrong"].index),
                "checks": [asdict(check) for check in checks],
                "server": {"where": where(settings), **asdict(findings.server)},
                "actors": findings.actors,
                "queues": [asdict(queue) for queue in findings.queues],
                "workers": [asdict(worker) for worker in findings.workers],
                "scheduler": {
                    "jobs": findings.jobs,
                    "leader": None if findings.leader is None else asdict(findings.leader),
                },
                "settings": {row["name"]: row["value"] for row in in_force(settings)},
            }
        )
    else:
        _show(out(), settings, checks, findings)
    raise typer.Exit(Exit.FAILED if wrong else Exit.OK)


def examine(settings: Settings, limit: float) -> Findings:
    """Read everything, in ``limit`` seconds at the most.

    Raises:
      ServerUnavailable, EmbeddedServerError: the server cannot be reached, or takes too long.
    """
    done: list[Findings] = []
    failed: list[Exception] = []

    def look() -> None:
        try:
            storage = open_storage(settings, timeout=ANSWER if settings.server_url else ALTOGETHER)
            inspection = Inspection(storage)
            server = inspection.server()
            actors = inspection.actors()
            queues = inspection.queues(set(actors.values()))
            workers = inspection.workers(queues, lease=settings.heartbeat_timeout, patience=WATCH)
            jobs, leader = _scheduling(storage)
            done.append(Findings(server, actors, queues, workers, jobs, leader))
        except Exception as error:  # noqa: BLE001 - raised below, in the thread that waits
            failed.append(error)

    # A thread, because single answers that are each in time may take too long together, and because connecting
    # (to a name server, to a starting embedded server) has waits of its own. It does not keep the process alive.
    thread = threading.Thread(target=look, name="doctor", daemon=True)
    thread.start()
    thread.join(limit)
    if failed:
        raise failed[0]
    if not done:
        raise ServerUnavailable(f"the server ({where(settings)}) did not answer within {limit:g} seconds")
    return done[0]


def _scheduling(storage: Storage) -> tuple[list[str], Leader | None]:
    try:
        # Who has not installed the extra `scheduler` has no jobs.
        from understudy.scheduler.overview import Overview
    except ModuleNotFoundError:
        return [], None
    overview = Overview(storage)
    return overview.names(), overview.leader()


def where(settings: Settings) -> str:
    """Which server it is, fit to be shown."""
    url = settings.server_url
    return f"embedded in {settings.data_dir / 'server'}" if url is None else mask_url(url)


def judge(settings: Settings, findings: Findings) -> list[Check]:
    """What is to be said of it."""
    server = findings.server
    return [
        _version(server),
        _role(server),
        _persistence(server),
        _eviction(server),
        _memory(server),
        _clocks(server),
        *_queues(findings),
        _workers(settings, findings),
        *_schedulers(findings),
    ]


def _version(server: ServerFacts) -> Check:
    if server.version >= OLDEST_VERSION:
        return Check("version", "ok", server.product)
    return Check("version", "wrong", f"{server.product} is too old; use Redis 6.2 or later, or any Valkey")


def _role(server: ServerFacts) -> Check:
    if server.cluster:
        return Check("role", "wrong", "a node of a Redis Cluster, which is not supported; use a single primary")
    if server.role != "master":
        return Check("role", "wrong", f"a {server.role}, which takes no writes; put the primary into REDIS_URL")
    return Check("role", "ok", f"primary, answers in {server.round_trip * 1000:.1f} ms")


def _persistence(server: ServerFacts) -> Check:
    if not server.aof:
        return Check(
            "persistence", "warning", "AOF is off: a restart of the server loses messages; set `appendonly yes`"
        )
    if not server.aof_healthy:
        return Check("persistence", "wrong", "the AOF cannot be written; look at the server's disk and log")
    if server.fsync == "always":
        return Check("persistence", "ok", "AOF, appendfsync always: a crash of the machine loses nothing")
    if server.fsync == "no":
        return Check(
            "persistence",
            "warning",
            "AOF, appendfsync no: a crash of the machine loses minutes; set `everysec` or `always`",
        )
    policy = server.fsync or "unknown (the server does not say)"
    return Check("persistence", "ok", f"AOF, appendfsync {policy}: a crash of the machine loses up to the last seconds")


def _eviction(server: ServerFacts) -> Check:
    if server.policy is None:
        return Check("eviction", "warning", "the server does not say its maxmemory-policy; it must be noeviction")
    if server.policy == "noeviction":
        return Check("eviction", "ok", "maxmemory-policy noeviction")
    return Check(
        "eviction",
        "wrong",
        f"maxmemory-policy {server.policy} throws away messages and records when memory runs out; set `noeviction`",
    )


def _memory(server: ServerFacts) -> Check:
    used = f"{server.memory / 2**20:,.1f} MiB used"
    if not server.max_memory:
        return Check("memory", "ok", f"{used}, no limit")
    text = f"{used} of {server.max_memory / 2**20:,.1f} MiB"
    if server.memory > NEARLY_FULL * server.max_memory:
        return Check(
            "memory", "warning", f"{text}: when it is full, sending fails; raise maxmemory or drain the queues"
        )
    return Check("memory", "ok", text)


def _clocks(server: ServerFacts) -> Check:
    ahead = "ahead of" if server.clock_difference > 0 else "behind"
    text = f"the server's clock is {abs(server.clock_difference):.3f} s {ahead} this machine's"
    if abs(server.clock_difference) <= CLOCKS:
        return Check("clock", "ok", text)
    return Check("clock", "warning", f"{text}: delays and leases are off by as much; let both follow NTP")


def _queues(findings: Findings) -> list[Check]:
    checks = [Check("queue", "warning", text) for queue in findings.queues for text in _troubles(queue)]
    total = sum(queue.waiting for queue in findings.queues)
    return checks or [Check("queues", "ok", f"{len(findings.queues)}, {total:,} messages waiting")]


def _troubles(queue: Queue) -> Iterator[str]:
    if not queue.announced and queue.waiting + queue.delayed:
        yield f"{queue.name!r} holds messages, and no worker has announced it; start a worker with its actors"
    if queue.oldest is not None and queue.oldest > WAITING:
        yield (
            f"{queue.name!r} is behind: {queue.waiting:,} messages wait, the oldest for {_span(queue.oldest)}; start "
            "more workers, or look at those that hold its messages"
        )
    if queue.overdue > LATE:
        yield (
            f"{queue.name!r} holds delayed messages that have been due for {_span(queue.overdue)}; they are moved by "
            "workers of this queue: start one"
        )
    if queue.dead:
        poison = f", {queue.poison:,} of them poison: worker processes died at them" if queue.poison else ""
        text = f"{queue.name!r} holds dead letters ({queue.dead:,}{poison}): messages that failed for good"
        yield f"{text}; see `understudy dead list --queue {queue.name}`"


def _workers(settings: Settings, findings: Findings) -> Check:
    alive = [worker for worker in findings.workers if worker.alive]
    silent = [worker for worker in findings.workers if worker.alive is False and worker.holds]
    if silent:
        names = ", ".join(f"{worker.id} ({worker.holds:,})" for worker in silent)
        after = "the others give them back" if alive else "start `understudy worker`, which gives them back"
        return Check("workers", "warning", f"{_alive(alive)}; dead ones hold messages: {names}; {after}")
    if alive:
        return Check("workers", "ok", _alive(alive))
    unsure = [worker for worker in findings.workers if worker.alive is None]
    if unsure:
        text = f"{len(unsure)} have a lease of {settings.heartbeat_timeout:g} s, which was not renewed while we watched"
        return Check("workers", "warning", f"{text} for {WATCH:g} s; look again later")
    return Check(
        "workers", "warning", f"none was heard of within {settings.heartbeat_timeout:g} s; start `understudy worker`"
    )


def _schedulers(findings: Findings) -> Iterator[Check]:
    leader, count = findings.leader, len(findings.jobs)
    if not count:
        return
    jobs = f"{count} periodic job{'s' * (count != 1)}"
    if leader is not None and leader.alive:
        yield Check("scheduler", "ok", f"{leader.name} leads (term {leader.term}), {jobs}")
        return
    stand = "do not run" if count != 1 else "does not run"
    who = "no scheduler leads" if leader is None else f"{leader.name} was heard of last, and leads no more"
    yield Check("scheduler", "warning", f"{who}: {jobs} {stand}; start `understudy scheduler`")


def _alive(workers: list[Worker]) -> str:
    return f"{len(workers)} process{'es' * (len(workers) != 1)} alive"


def _span(seconds: float) -> str:
    return views.ago(seconds).removesuffix(" ago")


def _show(console: Console, settings: Settings, checks: list[Check], findings: Findings) -> None:
    marks = {"ok": ("ok", "green"), "warning": ("warning", "yellow"), "wrong": ("WRONG", "bold red")}
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(Text("ok", style="green"), "server", Text(where(settings)))
    for check in checks:
        mark, style = marks[check.verdict]
        grid.add_row(Text(mark, style=style), check.name, Text(check.text))
    console.print(grid)
    console.print()
    console.print(_queue_table(findings))
    if findings.workers:
        console.print()
        console.print("[bold]worker processes[/]")
        for worker in findings.workers:
            life = {True: "alive", False: "silent", None: "not sure"}[worker.alive]
            last = "" if worker.idle is None else f", asked for messages {views.ago(worker.idle)}"
            console.print(f"  {escape(worker.id)}  holds {worker.holds:,}  [dim]{life}{last}[/]")
    changed = [row for row in in_force(settings) if row["source"] == "environment"]
    console.print()
    console.print(
        "[bold]settings[/] from the environment" + ("" if changed else ": none") + " [dim](all: understudy settings)[/]"
    )
    for row in changed:
        console.print(f"  {row['name']}={row['value']}", markup=False)


def _queue_table(findings: Findings) -> Any:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("queue")
    for name in ("waiting", "oldest", "held", "delayed", "overdue", "dead", "poison"):
        table.add_column(name, justify="right")
    table.add_column("actors", overflow="fold")
    for queue in findings.queues:
        actors = ", ".join(name for name, of in findings.actors.items() if of == queue.name)
        oldest = "-" if queue.oldest is None else _span(queue.oldest)
        overdue = _span(queue.overdue) if queue.overdue >= 1 else "-"
        sizes = (f"{queue.waiting:,}", oldest, f"{queue.held:,}", f"{queue.delayed:,}", overdue)
        letters = (f"{queue.dead:,}", f"{queue.poison:,}")
        table.add_row(Text(queue.name), *sizes, *letters, Text(actors or "not announced"))
    if not findings.queues:
        return Text("no queues yet: no worker has announced any")
    return table
