"""``understudy schedule``: the periodic jobs, and what a person wants of them."""

from __future__ import annotations

import getpass
import socket
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from understudy import clock
from understudy.options import did_you_mean
from understudy.runtime import build_storage
from understudy.scheduler.overview import Leader, Overview, Run, Scheduled, Verb
from understudy.settings import Settings, load

from . import MARKUP, preflight, views
from .console import Exit, fail, hint, out, print_json

group = typer.Typer(add_completion=False, rich_markup_mode=MARKUP, no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="JOB", help="The name of the job, as `schedule list` shows it.")]
By = Annotated[str | None, typer.Option("--by", help="Who wants it, for the audit. Default: you, on this machine.")]
AsJson = Annotated[bool, typer.Option("--json", help="A line of JSON for each.")]


@group.callback()
def schedule() -> None:
    """List, run, pause and resume periodic jobs.

    Which jobs there are is said by `@periodic` in the code; the leading scheduler writes it down. What is wanted here
    outlasts restarts and deploys.

    Exit codes: 0 fine, 2 wrong argument or setting, 3 server not reached.
    """


@group.command("list")
def list_(
    names: Annotated[list[str] | None, typer.Argument(metavar="JOB", help="Only these.")] = None,
    coming: Annotated[int, typer.Option("--next", min=0, max=100, help="Next fire times of each.")] = 5,
    runs: Annotated[int, typer.Option("--runs", min=0, max=100, help="Last ticks of each.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Show who leads and, of every periodic job, its next fire times (in its zone and in UTC) and its last ticks, each
    with what became of it and how late it was.

    What is shown are the jobs that the leading scheduler has in its code. What became of a message can be read as long
    as its record is kept (`result_ttl` of the actor).

    Exit codes: 0 fine, 2 wrong argument, 3 server not reached.
    """
    overview = _open()
    leader, jobs = overview.leader(), overview.jobs(coming=coming, runs=runs)
    for name in names or []:
        if name not in (known := [job.name for job in jobs]):
            fail(f"no periodic job is called {name!r}{did_you_mean(name, known)}", Exit.USAGE)
    chosen = [job for job in jobs if not names or job.name in names]
    if as_json:
        for job in chosen:
            print_json({**_plain(job), "leader": None if leader is None else asdict(leader)})
        return
    console = out()
    console.print(_leader(leader))
    if not jobs:
        console.print("no periodic jobs: no scheduler has run here yet, or its code has none")
    for job in chosen:
        console.print()
        console.print(_block(job))


@group.command("run-now")
def run_now(name: Name, by: By = None) -> None:
    """Run a job now, beside its schedule, also when it is paused. The leading scheduler sends it at once; if none runs,
    the next one that leads.

    Exit codes: 0 it is written down, 2 there is no such job, 3 server not reached.
    """
    overview = _want("run-now", name, by)
    leader = overview.leader()
    if leader is None or not leader.alive:
        hint("no scheduler runs: it is sent when one does (`understudy scheduler`)")
    out().print(f"{name} runs now; see `understudy schedule list {name}`", markup=False)


@group.command()
def pause(name: Name, by: By = None) -> None:
    """Pause a job: its ticks pass until somebody resumes it, through restarts and deploys.

    Exit codes: 0 it is paused, 2 there is no such job, 3 server not reached.
    """
    _want("pause", name, by)
    out().print(f"{name} is paused", markup=False)


@group.command()
def resume(name: Name, by: By = None) -> None:
    """Let a paused job go on, with its next tick: those in between are not made up for.

    Exit codes: 0 it goes on, 2 there is no such job, 3 server not reached.
    """
    _want("resume", name, by)
    out().print(f"{name} goes on", markup=False)


@group.command()
def audit(
    limit: Annotated[int, typer.Option("--limit", min=1, max=1_000, help="So many, the newest.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show who wanted what of which job, and when, the newest first.

    Exit codes: 0 fine, 3 server not reached.
    """
    for wish in _open().wishes(limit):
        if as_json:
            print_json(asdict(wish))
        else:
            out().print(f"{_utc(wish.at)}  {wish.verb}  {wish.job}  by {wish.who}", markup=False)


def _open() -> Overview:
    settings = load(Settings)
    preflight.require_server(settings)
    return Overview(build_storage(settings))


def _want(verb: Verb, name: str, by: str | None) -> Overview:
    overview = _open()
    word = overview.want(verb, name, who=by or f"{getpass.getuser()}@{socket.gethostname()}")
    if word == "unknown":
        known = [job.name for job in overview.jobs(coming=0, runs=0)]
        there = ", ".join(known) or "none: no scheduler has run here yet"
        fail(f"no periodic job is called {name!r}{did_you_mean(name, known)}; there are: {there}", Exit.USAGE)
    if word == "already":
        hint(f"{name} was {'paused' if verb == 'pause' else 'not paused'} before")
    return overview


def _plain(job: Scheduled) -> dict[str, Any]:
    found = {**asdict(job), **job.definition}
    del found["definition"]
    found["next"] = [{"local": moment.isoformat(), "utc": moment.astimezone(UTC).isoformat()} for moment in job.next]
    found["runs"] = [{**asdict(run), "fire": run.fire.isoformat()} for run in job.runs]
    return found


def _leader(leader: Leader | None) -> Text:
    if leader is None:
        return Text("no scheduler leads: no tick is sent until one runs (`understudy scheduler`)", style="bold red")
    since = views.ago(clock.now() - leader.since)
    if not leader.alive:
        return Text(f"no scheduler leads: {leader.name} is silent (term {leader.term})", style="bold red")
    return Text(f"leader {leader.name}, term {leader.term}, since {_utc(leader.since)} ({since})")


def _block(job: Scheduled) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row("job", Text(job.name, style="bold"))
    grid.add_row("actor", Text(f"{job.definition['actor']} (queue {job.definition['queue']})"))
    grid.add_row("schedule", Text(_schedule(job)))
    if job.paused is not None:
        since, who = job.paused
        grid.add_row("paused", Text(f"since {_utc(since)} by {who}", style="yellow"))
    for at, moment in enumerate(job.next):
        grid.add_row("next" if at == 0 else "", Text(f"{_local(moment)}   {_utc(moment.timestamp())}"))
    for at, run in enumerate(job.runs):
        grid.add_row("last" if at == 0 else "", _run(run))
    return grid


def _schedule(job: Scheduled) -> str:
    found = job.definition
    parts = [found["schedule"], f"catch-up {found['catch_up']}"]
    for name in ("window", "jitter"):
        if found[name]:
            parts.append(f"{name} {found[name] / 1000:g} s")
    if found["overlap"] == "skip":
        parts.append("no overlap")
    return ", ".join(parts)


def _run(run: Run) -> Text:
    text = Text(f"{_local(run.fire)}   ")
    if run.word == "sent":
        state = run.state or "PENDING, or not kept any more"
        text.append(state, style=views.STYLES.get(state, "dim"))
    else:
        text.append({"overlap": "left out: the one before had not ended", "missed": "missed"}[run.word], style="yellow")
    text.append(f"   {run.lateness:.3f} s late" if not run.asked else "   asked for")
    if run.missed:
        text.append(f", {run.missed} before it missed", style="yellow")
    if run.message_id:
        text.append(f"   {run.message_id}", style="dim")
    return text


def _local(moment: datetime) -> str:
    return f"{moment:%a %Y-%m-%d %H:%M:%S %Z}"


def _utc(seconds: float) -> str:
    return f"{clock.utc(seconds):%Y-%m-%d %H:%M:%S} UTC"
