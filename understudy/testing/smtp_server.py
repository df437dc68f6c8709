"""A real mail server that misbehaves on purpose: ``python -m understudy.testing.smtp_server --help``.

It listens on loopback, does what its policy says and keeps a journal of what it did.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .smtp_handle import SmtpServer, SmtpThread
from .smtp_journal import Delivery, Journal
from .smtp_policy import SmtpPolicy
from .smtp_protocol import serving

__all__ = ["Delivery", "SmtpPolicy", "SmtpServer", "SmtpThread", "main"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m understudy.testing.smtp_server",
        description="A mail server on loopback that misbehaves on purpose. When it listens, it writes one line "
        'of JSON to stdout: {"host", "port", "pid"}. SIGTERM and SIGINT end it. Several drops that fall on the '
        "same mail: the first in the order below.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port to listen on (default: a free one)")
    parser.add_argument("--journal", type=Path, required=True, help="file of events, one JSON object per line")
    parser.add_argument("--messages", type=Path, help="directory in which accepted mails are kept")
    parser.add_argument("--ready-file", type=Path, help="file to write the line of JSON to, as well")
    parser.add_argument("--until-stdin-closes", action="store_true", help="end when stdin ends: with the parent")
    parser.add_argument("--policy", help="the options below as a JSON object, or the path of a file of it")
    group = parser.add_argument_group("policy", "each overrides the same name in --policy")
    for spec in dataclasses.fields(SmtpPolicy):
        shown = "" if spec.default in (None, ()) else f" (default {spec.default})"
        arguments: dict[str, Any] = {"help": f"{spec.metadata['help']}{shown}", "default": argparse.SUPPRESS}
        if spec.default == ():
            arguments.update(nargs="+", metavar="ADDRESS")
        elif isinstance(spec.default, bool):
            arguments.update(action=argparse.BooleanOptionalAction)
        elif isinstance(spec.default, int | float):
            arguments.update(type=type(spec.default), metavar="N")
        else:
            arguments.update(metavar="TEXT")
        group.add_argument(f"--{spec.name.replace('_', '-')}", **arguments)
    return parser


def _policy(given: argparse.Namespace) -> SmtpPolicy:
    text = given.policy or "{}"
    if not text.lstrip().startswith("{"):
        text = Path(text).read_text()
    names = {spec.name for spec in dataclasses.fields(SmtpPolicy)}
    return SmtpPolicy.of({**json.loads(text), **{name: value for name, value in vars(given).items() if name in names}})


async def _main(given: argparse.Namespace, policy: SmtpPolicy) -> None:
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, over.set)
    with Journal(given.journal) as journal:
        async with serving(policy, journal, given.host, given.port, given.messages) as port:
            line = json.dumps({"host": given.host, "port": port, "pid": os.getpid()}) + "\n"
            if given.ready_file is not None:
                given.ready_file.write_text(line)
            sys.stdout.write(line)
            sys.stdout.flush()
            if given.until_stdin_closes:
                loop.add_reader(sys.stdin.fileno(), _end_with_stdin, over)
            await over.wait()


def _end_with_stdin(over: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 4096):
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        over.set()


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM. 0: ended as asked; 2: wrong options; 3: cannot listen."""
    parser = _parser()
    given = parser.parse_args(argv)
    try:
        policy = _policy(given)
    except (ValueError, TypeError, OSError) as error:
        parser.error(str(error))
    logging.getLogger("mail.log").setLevel(logging.CRITICAL)  # the library's log lines carry addresses
    try:
        asyncio.run(_main(given, policy))
    except OSError as error:
        sys.stderr.write(f"cannot serve on {given.host}:{given.port}: {error}\n")
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
