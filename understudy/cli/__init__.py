"""The command line, ``understudy``.

Exit codes are Dramatiq's: 0 fine, 1 killed or failed, 2 an import, an argument or a setting is wrong, 3 the server
cannot be reached. What was asked for goes to stdout, all else to stderr.

Each command is a module of its own, imported when it runs: ``understudy --help`` and shell completion would take
more than twice as long if they imported Dramatiq, the Redis client and pydantic (0.2 s against 0.5 s).
"""

from __future__ import annotations

from importlib import import_module, metadata
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperCommand, TyperGroup

from .console import guarded

#: Command -> the line that describes it. Module ``understudy.cli.<command>`` has a function of the same name; one with
#: commands of its own calls them its ``group``.
COMMANDS = {
    "up": "Run a server, workers and a scheduler until Ctrl-C: all that development needs.",
    "worker": "Run worker processes.",
    "scheduler": "Run a scheduler: each tick of each periodic job becomes one message.",
    "send": "Send a message to an actor.",
    "status": "Show what became of messages.",
    "pipeline": "Load files into tables: check every row, put the bad ones aside, load the rest in chunks.",
    "revoke": "Revoke messages: nobody runs them any more.",
    "workflow": "Show workflows, and resume those that have failed.",
    "stats": "Show how many executions of each actor have ended how, and how long their bodies took.",
    "schedule": "List, run, pause and resume periodic jobs.",
    "limits": "Show rate and concurrency limits: how they are used, and who waits.",
    "dead": "List, show, requeue or purge dead letters.",
    "doctor": "Examine the server, the queues and the workers.",
    "settings": "List every setting with its value.",
    "demo": "Send a campaign through a real server, a real worker and a mail server that misbehaves on purpose.",
}


#: Help texts are wrapped by paragraph, and square brackets are brackets.
MARKUP: Literal["markdown"] = "markdown"


class _Group(TyperGroup):
    """Lists all commands, imports only the one that is run."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = {name: TyperCommand(name, help=text) for name, text in COMMANDS.items()}

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        return name, load(name) if name is not None else command, rest


def load(name: str) -> TyperCommand | TyperGroup:
    """The command called ``name``, ready to run."""
    module = import_module(f"{__name__}.{name}")
    if hasattr(module, "group"):
        group = typer.main.get_group(module.group)
        group.name = name
        return group
    alone = typer.Typer(add_completion=False, rich_markup_mode=MARKUP)
    options = getattr(module, "COMMAND_OPTIONS", {})
    alone.command(name, **options)(getattr(module, name))
    command = typer.main.get_command(alone)
    assert isinstance(command, TyperCommand)
    return command


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"understudy {metadata.version('understudy')}")
        raise typer.Exit


app = typer.Typer(
    cls=_Group,
    rich_markup_mode=MARKUP,
    no_args_is_help=True,
    # Tracebacks with local variables would show message arguments and passwords.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 fine, 1 killed or failed, 2 wrong argument, setting or import, 3 server not reached. "
    "Settings come from the environment: see `understudy settings`.",
)


@app.callback()
def understudy(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and end.")
    ] = False,
) -> None:
    """A worker system on Dramatiq that behaves as Celery users expect."""


def main() -> int:
    """The console entry point: runs ``sys.argv`` and returns the exit code."""
    return guarded(lambda: app(prog_name="understudy"))
