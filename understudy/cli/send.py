"""``understudy send``: a message to an actor, by name."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from dramatiq.common import q_name
from typer.core import TyperCommand

from understudy import client
from understudy.errors import UnknownActor
from understudy.inspection import describe
from understudy.runtime import install
from understudy.settings import Settings, load

from . import preflight
from .console import Exit, fail, hint, out, print_json
from .values import duration
from .views import block
from .watch import Watch

#: Characters shown on either side of a mistake.
AROUND = 30


class _OptionalTimeout(TyperCommand):
    """``--wait 30`` is ``--wait --timeout 30``: Typer knows no option with an optional value."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        rewritten: list[str] = []
        for at, word in enumerate(args):
            rewritten.append(word)
            follows = args[at + 1] if at + 1 < len(args) else ""
            if word == "--wait" and re.fullmatch(r"[\d.]+\s*(ms|s|m|h|d)?", follows):
                rewritten.append("--timeout")
        return super().parse_args(ctx, rewritten)


COMMAND_OPTIONS = {"cls": _OptionalTimeout}


def send(
    actor: Annotated[
        str, typer.Argument(metavar="ACTOR", help="Its name, as workers announce it; see `understudy doctor`.")
    ],
    args: Annotated[
        str, typer.Option(help="Positional arguments: a JSON list, @FILE with one, or - for stdin.")
    ] = "[]",
    kwargs: Annotated[
        str, typer.Option(help="Keyword arguments: a JSON object, @FILE with one, or - for stdin.")
    ] = "{}",
    queue: Annotated[
        str | None, typer.Option(help="The actor's queue; needed only before any worker has announced it.")
    ] = None,
    delay: Annotated[
        str | None, typer.Option(help="Not before so long from now: seconds, or 500ms, 5m, 1h, 2d.")
    ] = None,
    message_id: Annotated[str | None, typer.Option(help="An id of your own.")] = None,
    idempotency_key: Annotated[str | None, typer.Option(help="Messages with the same key do the work once.")] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for the end, [TIMEOUT] at the most; exit 1 unless it is SUCCESS.")
    ] = False,
    timeout: Annotated[str | None, typer.Option(help="How long to wait; implies --wait.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Send a message to an actor.

    Prints the message's id. The arguments are checked by the worker; values are plain JSON.

    Examples:

    `understudy send send_email --kwargs '{"to": "ada@example.com", "subject": "Hello", "text": "Hi"}'`

    `understudy send send_bulk_emails --args @recipients.json --wait 5m`

    Exit codes: 0 sent (with --wait: SUCCESS), 1 it did not succeed in time, 2 wrong argument, 3 server not reached.
    """
    if args == "-" and kwargs == "-":
        fail(
            "--args and --kwargs cannot both be read from stdin; write one of them to a file and give @FILE", Exit.USAGE
        )
    positional = _parse("--args", args, list)
    named = _parse("--kwargs", kwargs, dict)
    seconds = duration("--delay", delay)
    limit = duration("--timeout", timeout)
    options: dict[str, Any] = {} if idempotency_key is None else {"idempotency_key": idempotency_key}
    settings = load(Settings)
    preflight.require_server(settings)
    broker = install(settings)
    try:
        message = client.send_with_options(
            actor,
            args=tuple(positional),
            kwargs=named,
            queue_name=queue,
            delay=seconds,
            message_id=message_id,
            **options,
        )
    except UnknownActor as error:
        fail(f"ACTOR: {str(error).replace('pass queue_name', 'give its queue with --queue NAME')}", Exit.USAGE)
    if not (wait or timeout):
        if as_json:
            print_json({"id": message.message_id, "actor": actor, "queue": q_name(message.queue_name)})
        else:
            typer.echo(message.message_id)
        return
    if not as_json:
        typer.echo(message.message_id)
    _wait(Watch(broker.records, [message.message_id]), limit, as_json=as_json)


def _wait(watch: Watch, limit: float | None, *, as_json: bool) -> None:
    (message_id,) = watch.ids
    try:
        for _ in watch.changes(limit):
            pass
    except KeyboardInterrupt:
        hint(f"It goes on all the same: understudy status {message_id} --watch")
        raise typer.Exit(Exit.FAILED) from None
    row = describe(message_id, watch.records[message_id])
    if as_json:
        print_json(row)
    else:
        out().print(block(row))
    if not watch.over:
        hint(f"Not ready in time. It goes on all the same: understudy status {message_id} --watch")
    raise typer.Exit(Exit.OK if watch.succeeded else Exit.FAILED)


def _parse(option: str, text: str, kind: type[Any]) -> Any:
    """The JSON that an option gives, or the end of the command with what is wrong with it."""
    what, example = ("a list", '[1, "two"]') if kind is list else ("an object", '{"name": "value"}')
    advice = f"write {what}, such as {option} '{example}'"
    source = option
    try:
        if text == "-":
            source, text = f"{option} (stdin)", sys.stdin.read()
        elif text.startswith("@"):
            source, text = f"{option} ({text[1:]})", Path(text[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        fail(f"{source} cannot be read: {error}", Exit.USAGE)
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        fail(f"{source} is not JSON: {error.msg} at {place}\n{_excerpt(error)}\n{advice}", Exit.USAGE)
    except (ValueError, RecursionError) as error:
        fail(f"{source} is not JSON: {error or 'nested too deeply'}; {advice}", Exit.USAGE)
    if not isinstance(value, kind):
        names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
        fail(f"{source} is {names.get(type(value), 'a number')}, not {what}; {advice}", Exit.USAGE)
    return value


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON value")


def _excerpt(error: json.JSONDecodeError) -> str:
    """The line with the mistake, cut to what is near it, and a mark under it."""
    line = error.doc.split("\n")[error.lineno - 1]
    at = error.colno - 1
    start = max(0, at - AROUND)
    return f"  {line[start : at + AROUND]}\n  {' ' * (at - start)}^"
