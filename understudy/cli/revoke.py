"""``understudy revoke``: let nobody run a message any more."""

from __future__ import annotations

from typing import Annotated

import typer

from understudy.revocations import Revocations
from understudy.runtime import build_storage
from understudy.settings import Settings, load
from understudy.states import State

from . import preflight
from .console import out, print_json


def revoke(
    ids: Annotated[list[str], typer.Argument(metavar="ID", help="Message ids, as `send` prints them.")],
    terminate: Annotated[
        bool, typer.Option("--terminate", help="End the body too if it runs: at once in a process of its own.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="A line of JSON for each id.")] = False,
) -> None:
    """Revoke messages: nobody runs them any more.

    One that waits, in a queue or for its time, is REVOKED at once; so is an id that nobody has sent yet. One that runs
    goes on to its end, unless --terminate is given. One that has ended stays as it is.

    Exit codes: 0 done, whatever the states are, 2 wrong argument, 3 server not reached.
    """
    settings = load(Settings)
    preflight.require_server(settings)
    known = Revocations(build_storage(settings))
    for id in ids:
        state = known.revoke(id, terminate=terminate, result_ttl=settings.result_ttl)
        if as_json:
            print_json({"id": id, "state": state})
        else:
            out().print(f"{id}  {_said(state, terminate=terminate)}", markup=False)


def _said(state: State, *, terminate: bool) -> str:
    if state is State.REVOKED:
        return "REVOKED"
    if state.terminal:
        return f"{state}: it had ended before"
    return "it runs; its body is being ended" if terminate else "it runs, to its end; it will not run again"
