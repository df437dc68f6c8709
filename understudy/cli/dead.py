"""``understudy dead``: what will not run again unless somebody says so."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from understudy import clock
from understudy.deadletters import DeadLetter, DeadLetters, Which, summary
from understudy.errors import AlreadyEnqueued
from understudy.options import did_you_mean
from understudy.runtime import build_storage
from understudy.settings import Settings, load

from . import preflight, views
from .console import Exit, fail, hint, out, print_json
from .values import duration

MARKUP: Any = "markdown"
group = typer.Typer(add_completion=False, rich_markup_mode=MARKUP, no_args_is_help=True)

Ids = Annotated[list[str], typer.Argument(metavar="ID", help="Message ids; ? is a message that cannot be read.")]
MaybeIds = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Message ids; or say which by options.")]
Queue = Annotated[str | None, typer.Option(help="Those of this queue.")]
Actor = Annotated[str | None, typer.Option(help="Those of this actor.")]
ExceptionName = Annotated[
    str | None, typer.Option("--exception", help="Those that this class killed, such as ValueError or PoisonMessage.")
]
Reason = Annotated[str | None, typer.Option(help="Those whose reason contains this text.")]
OlderThan = Annotated[
    str | None, typer.Option("--older-than", help="Those that died at least so long ago: seconds, or 5m, 1h, 2d.")
]
Limit = Annotated[int | None, typer.Option(min=1, help="So many at the most.")]
All = Annotated[bool, typer.Option("--all", help="All that match the other options, or all there are.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@group.callback()
def dead() -> None:
    """List, show, requeue or purge dead letters.

    A dead letter is a message that failed for good, at which worker processes died too often, or that no worker could
    read. It is kept for some days and runs again only when it is requeued.

    Exit codes: 0 fine, 1 not all of it could be done, 2 wrong argument or setting, 3 server not reached.
    """


@group.command("list")
def list_(
    queue: Queue = None,
    actor: Actor = None,
    exception: ExceptionName = None,
    reason: Reason = None,
    older_than: OlderThan = None,
    limit: Annotated[int, typer.Option(min=1, help="So many at the most.")] = 50,
    offset: Annotated[int, typer.Option(min=0, help="Pass over so many first.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="A line of JSON for each.")] = False,
) -> None:
    """List dead letters, the newest first.

    Exit codes: 0 fine, also when there are none, 2 wrong argument, 3 server not reached.
    """
    letters, which = _open(queue, actor, exception, reason, older_than)
    found = itertools.islice(letters.walk(which), offset, offset + limit + 1)
    page = list(itertools.islice(found, limit))
    if as_json:
        for letter in page:
            print_json(summary(letter))
    elif page:
        out().print(_table(page))
    if next(found, None) is not None:
        hint(f"There are more: --offset {offset + limit}")
    elif not page:
        hint("No dead letters." if which.everything and not offset else "No dead letters match.")


@group.command()
def show(
    ids: Ids,
    queue: Queue = None,
    as_json: Annotated[bool, typer.Option("--json", help="A line of JSON for each.")] = False,
) -> None:
    """Show dead letters whole: the original message, why it is here, and its record with the traceback.

    Exit codes: 0 fine, 1 one of the ids has no dead letter, 2 wrong argument, 3 server not reached.
    """
    letters, _ = _open(queue)
    missing = False
    for id in ids:
        found = letters.find(id, queue)
        missing = _is_missing(id, found) or missing
        for letter in found:
            row = letters.show(letter)
            if as_json:
                print_json(row)
            else:
                out().print(_block(row))
    raise typer.Exit(Exit.FAILED if missing else Exit.OK)


@group.command()
def requeue(
    ids: MaybeIds = None,
    queue: Queue = None,
    actor: Actor = None,
    exception: ExceptionName = None,
    reason: Reason = None,
    older_than: OlderThan = None,
    limit: Limit = None,
    everything: All = False,
    force: Annotated[
        bool, typer.Option("--force", help="Also when another message stands under its unique key.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Put dead letters on their queues again, the oldest first.

    Each is as if it had never run: no attempts, no deaths, and its state is PENDING again. Items that it has done stay
    done as long as they are remembered, which is as long as its result would be: within that time a campaign goes on
    where it stopped, later it begins anew.

    Examples: `understudy dead requeue 0b2e...` or `understudy dead requeue --actor send_email --older-than 1h`

    One whose unique key another message stands under by now is left alone, unless you say --force.

    Exit codes: 0 all are requeued, also when none matched, 1 one could not be (it is gone, has succeeded since, or
    another one stands), 2 wrong argument, 3 server not reached.
    """
    letters, which = _open(queue, actor, exception, reason, older_than)
    chosen, missing = _choose(letters, which, ids, everything)
    counts = {"requeued": 0, "gone": 0, "succeeded": 0, "refused": 0}
    for letter in itertools.islice(chosen, limit):
        try:
            verdict = letters.requeue(letter, force=force)
        except AlreadyEnqueued as error:
            counts["refused"] += 1
            hint(
                f"{letter.message_id}: message {error.message_id} stands under the same unique key, so it was left "
                "alone; requeue it when that has ended, or with --force"
            )
            continue
        counts[verdict] += 1
        if verdict == "succeeded":
            hint(f"{letter.message_id}: has succeeded since, and was left alone; `understudy dead purge` removes it")
        if verdict == "gone":
            hint(f"{letter.message_id}: is no dead letter any more")
    if as_json:
        print_json(counts)
    else:
        out().print(f"{counts['requeued']:,} requeued")
    raise typer.Exit(Exit.FAILED if missing or sum(counts.values()) > counts["requeued"] else Exit.OK)


@group.command()
def purge(
    ids: MaybeIds = None,
    queue: Queue = None,
    actor: Actor = None,
    exception: ExceptionName = None,
    reason: Reason = None,
    older_than: OlderThan = None,
    limit: Limit = None,
    everything: All = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove dead letters for good, the oldest first.

    Asks before it removes what ids do not name one by one.

    Examples: `understudy dead purge --older-than 2d --queue mail --yes`

    Exit codes: 0 fine, also when none matched, 1 one of the ids has no dead letter, or the answer was no, 2 wrong
    argument, 3 server not reached.
    """
    letters, which = _open(queue, actor, exception, reason, older_than)
    chosen, missing = _choose(letters, which, ids, everything)
    if not ids and not yes:
        # What dies while the answer is awaited was not asked about: the oldest first, and no more than that.
        limit = sum(1 for _ in itertools.islice(chosen, limit))
        if limit:
            _confirm(limit)
        chosen, _ = _choose(letters, which, ids, everything)
    removed = letters.purge(itertools.islice(chosen, limit))
    if as_json:
        print_json({"purged": removed})
    else:
        out().print(f"{removed:,} purged")
    raise typer.Exit(Exit.FAILED if missing else Exit.OK)


def _open(
    queue: str | None,
    actor: str | None = None,
    exception: str | None = None,
    reason: str | None = None,
    older_than: str | None = None,
) -> tuple[DeadLetters, Which]:
    age = duration("--older-than", older_than)
    settings = load(Settings)
    preflight.require_server(settings)
    letters = DeadLetters(build_storage(settings))
    if queue is not None and queue not in (known := letters.queues()):
        there = ", ".join(known) or "none"
        fail(f"--queue: no worker has consumed {queue!r}{did_you_mean(queue, known)}; there are: {there}", Exit.USAGE)
    return letters, Which(queue=queue, actor=actor, exception=exception, reason=reason, older_than=age)


def _choose(
    letters: DeadLetters, which: Which, ids: list[str] | None, everything: bool
) -> tuple[Iterator[DeadLetter], bool]:
    """The letters that are meant, and whether one of the ids has none."""
    if not ids:
        if which.everything and not everything:
            fail("say which: give ids, or options such as --queue and --older-than, or --all", Exit.USAGE)
        return letters.walk(which, oldest_first=True), False
    if everything:
        fail("ids and --all do not go together; give one of them", Exit.USAGE)
    found = {id: [one for one in letters.find(id, which.queue) if which.matches(one)] for id in dict.fromkeys(ids)}
    missing = [id for id, of in found.items() if _is_missing(id, of)]
    return itertools.chain.from_iterable(found.values()), bool(missing)


def _is_missing(id: str, found: list[DeadLetter]) -> bool:
    if not found:
        hint(f"{id}: is no dead letter")
    return not found


def _confirm(count: int) -> None:
    question = f"Remove {count:,} dead letter{'s' * (count > 1)} for good?"
    if not sys.stdin.isatty():
        fail(f"{question} There is nobody to ask here: add --yes", Exit.USAGE)
    if not typer.confirm(question, err=True):
        raise typer.Exit(Exit.FAILED)


def _table(page: list[DeadLetter]) -> RenderableType:
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    grid.add_column("message", no_wrap=True)
    for name in ("queue", "actor", "died"):
        grid.add_column(name, no_wrap=True)
    grid.add_column("deaths", justify="right")
    grid.add_column("reason", overflow="fold")
    for letter in page:
        row = summary(letter)
        reason = letter.reason if letter.exception in letter.reason else f"{letter.exception}: {letter.reason}"
        grid.add_row(
            Text(letter.message_id or "?"),
            Text(letter.queue),
            Text(letter.actor or "unknown"),
            views.ago(clock.now() - letter.died_at),
            str(row["deaths"]),
            Text(views.shorten(reason, 200)),
        )
    return grid


def _block(row: dict[str, Any]) -> RenderableType:
    """A dead letter, a line for each thing that is known, then its message, then its record."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    lines = {
        "message": row["id"] or "cannot be read",
        "queue": row["queue"],
        "actor": row["actor"],
        "died": views.when(row["died_at"]),
        "exception": row["exception"],
        "reason": row["reason"],
        "deaths": f"{row['deaths']}{' (poison)' if row['poison'] else ''}",
        "last worker": row["worker"],
        "original": row["message"]
        if isinstance(row["message"], str)
        else json.dumps(row["message"], indent=2, ensure_ascii=False),
    }
    for name, value in lines.items():
        if value is not None:
            grid.add_row(name, Text(value))
    if not row["record"]["known"]:
        grid.add_row("record", Text("none, or its time is over"))
        return grid
    return Group(grid, Text("\nrecord", style="bold"), views.block(row["record"], traceback=True))
