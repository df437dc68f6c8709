"""``understudy status``: what became of messages, by their ids alone."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.live import Live

from understudy.holders import holders
from understudy.inspection import describe
from understudy.records import Records
from understudy.runtime import build_storage
from understudy.settings import Settings, load

from . import preflight, views
from .console import Exit, out, print_json
from .watch import Watch


def status(
    ids: Annotated[list[str], typer.Argument(metavar="ID", help="Message ids, as `send` prints them.")],
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Follow them until all have ended; exit 1 unless all are SUCCESS.")
    ] = False,
    traceback: Annotated[bool, typer.Option("--traceback", help="Show where it failed.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="A line of JSON for each id; with --watch one for each change.")
    ] = False,
) -> None:
    """Show what became of messages.

    An id that nobody knows is PENDING, as one that waits in its queue is. Of a message whose body runs it is said
    which worker holds it, whether that worker lives (it is watched for a moment), and at how many deaths of a process
    the body was running before.

    Exit codes: 0 whatever the states are (also after Ctrl-C), 1 with --watch when one did not succeed, 2 wrong
    argument, 3 server not reached.
    """
    settings = load(Settings)
    preflight.require_server(settings)
    following = Watch(Records(build_storage(settings)), ids)
    if watch:
        try:
            _follow(following, as_json=as_json, traceback=traceback)
        except KeyboardInterrupt:
            return
        raise typer.Exit(Exit.OK if following.succeeded else Exit.FAILED)
    following.read()
    held = holders(build_storage(settings), following.records, lease=settings.heartbeat_timeout)
    for at, id in enumerate(following.ids):
        row = describe(id, following.records[id], held.get(id))
        if as_json:
            print_json(row)
            continue
        if at:
            out().print()
        out().print(views.block(row, traceback=traceback))


def _follow(watch: Watch, *, as_json: bool, traceback: bool) -> None:
    console = out()
    if as_json or not console.is_terminal:
        for changed in watch.changes():
            for id in changed:
                row = describe(id, watch.records[id])
                if as_json:
                    print_json(row)
                else:
                    console.print(f"{id}  {row['state']}  {views.note(row)}", markup=False)
        return
    rows: dict[str, dict[str, Any]] = {}
    with Live(
        get_renderable=lambda: views.board(rows.values(), console.height), console=console, refresh_per_second=10
    ):
        for changed in watch.changes():
            rows.update((id, describe(id, watch.records[id])) for id in changed)
    if len(watch.ids) == 1 or traceback:
        for row in _rows(watch):
            console.print()
            console.print(views.block(row, traceback=traceback))


def _rows(watch: Watch) -> list[dict[str, Any]]:
    return [describe(id, watch.records[id]) for id in watch.ids if id in watch.records]
