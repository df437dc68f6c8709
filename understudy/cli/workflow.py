"""``understudy workflow``: what has become of a workflow, and letting one go on that has failed."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.text import Text
from rich.tree import Tree

from understudy.canvas.resuming import resume as take_up
from understudy.canvas.tree import MOST, Branch, tree
from understudy.plans.reading import Flow, flow_of
from understudy.records import Records
from understudy.runtime import build_storage
from understudy.settings import Settings, load

from . import preflight
from .console import Exit, fail, out, print_json

MARKUP: Any = "markdown"
group = typer.Typer(add_completion=False, rich_markup_mode=MARKUP, no_args_is_help=True)

Id = Annotated[
    str,
    typer.Argument(
        metavar="ID", help="The id of a workflow, of one of its steps, or of a message that goes on as one."
    ),
]

#: How states are shown.
STYLES = {"SUCCESS": "green", "FAILURE": "bold red", "REVOKED": "yellow", "PENDING": "dim"}


@group.callback()
def workflow() -> None:
    """Show workflows, and resume those that have failed.

    Exit codes: 0 fine, 1 it cannot be resumed or nobody knows it, 2 wrong argument or setting, 3 server not reached.
    """


@group.command()
def show(
    id: Id,
    most: Annotated[int, typer.Option(min=1, help="So many members of each group at the most.")] = MOST,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show a workflow as a tree: states, how long each step took, and what stopped it."""
    flow, records = _open(id)
    branches = tree(records, flow, most=most)
    state = (flow.ask("state")[0] or b"").decode() or "not ended"
    if as_json:
        print_json({"id": flow.id, "state": state, "steps": [branch.plain() for branch in branches]})
        return
    root = Tree(Text(f"workflow {flow.id}  {state}"))
    for branch in branches:
        _hang(root, branch)
    out().print(root)


@group.command()
def resume(
    id: Id,
    from_step: Annotated[
        int | None,
        typer.Option("--from-step", help="The number of a step of the outermost chain, from which on all runs anew."),
    ] = None,
    with_args: Annotated[
        str | None, typer.Option("--with-args", help="The arguments of that step, as a JSON list.")
    ] = None,
) -> None:
    """Run again what failed, and what depends on it, with the stored results of the rest."""
    flow, _ = _open(id)
    args = None
    if with_args is not None:
        try:
            args = json.loads(with_args)
        except ValueError as error:
            fail(f"--with-args is a JSON list, for example '[1, \"a\"]': {error}", Exit.USAGE)
        if not isinstance(args, list) or from_step is None:
            fail("--with-args is a JSON list, and --from-step says whose arguments they are", Exit.USAGE)
    take_up(flow, step=from_step, args=args)
    out().print(f"workflow {flow.id} goes on", markup=False)


def _open(id: str) -> tuple[Flow, Records]:
    settings = load(Settings)
    preflight.require_server(settings)
    storage = build_storage(settings)
    found = flow_of(storage, id)
    if found is None:
        fail(f"no workflow {id!r} is known; it was never run, or its time is over", Exit.FAILED)
    return found[0], Records(storage)


def _hang(tree: Tree, branch: Branch) -> None:
    number = branch.id.rpartition(".")[2]
    text = Text.assemble(
        (f"{number}. ", "dim"), branch.label, "  ", (branch.state, STYLES.get(branch.state, "")), no_wrap=True
    )
    if branch.seconds is not None:
        text.append(f"  {branch.seconds:.2f} s", "dim")
    if branch.error:
        text.append(f"  {branch.error}")
    if branch.instead:
        text.append(f"  goes on as {branch.instead}", "dim")
    below = tree.add(text)
    for strand in branch.members:
        for member in strand:
            _hang(below, member)
    if branch.more:
        below.add(Text(f"... {branch.more} more", "dim"))
