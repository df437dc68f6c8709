"""A process that runs bodies: ``python -m understudy.isolation.child``, started by ``process.py``.

::

    set signals -> become what the worker is: path, log, modules, a broker without a connection -> say Ready
        -> a job, its body, what came of it -> the next one, until the worker closes the channel or is gone

It ends with its worker in every way: the kernel kills it (Linux), else the closed channel ends it between two bodies
and at the next question of one.
"""

from __future__ import annotations

import gc

if __name__ == "__main__":
    gc.disable()  # while there is hardly anything but imports, of which nothing goes: a sixth of their time

import argparse
import ctypes
import faulthandler
import importlib
import logging
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Sequence
from contextlib import suppress

from understudy import logs
from understudy.errors import UnderstudyError

from .body import Bodies
from .jobs import WHERE, Boot, CannotServe, Job, Ready
from .page import Page
from .standing import Asker, ChildBroker
from .wire import Channel, Closed

logger = logging.getLogger("understudy.isolation.child")  # `__name__` is `__main__` here

PR_SET_PDEATHSIG, PR_SET_NAME = 1, 15
#: As it is shown by `ps` and `top`, which have room for fifteen characters.
NAME = b"understudy-body"


def serve(channel: Channel, page: Page, stacks: int) -> int:
    """Take jobs until there is no more. Returns the exit code."""
    try:
        boot: Boot = channel.receive()
        asker = Asker(channel)
        try:
            bodies = Bodies(become(boot, asker), asker, page, stacks)
        except BaseException as error:  # noqa: BLE001 - whatever an import does, the worker is told
            channel.send(CannotServe(_reason(error)))
            return 2
        gc.freeze()
        gc.enable()
        channel.send(Ready(threading.get_ident()))
        while True:
            job: Job = channel.receive()
            channel.send(bodies.run(job))
            del job  # what it holds may be large, and the next one may be a long time coming
    except Closed:
        return 0


def become(boot: Boot, asker: Asker) -> ChildBroker:
    """Import what the worker has imported, and put every actor on a broker that asks the worker.

    Raises:
      Exception: whatever a module raises.
    """
    sys.path[:] = boot.path
    logs.configure(boot.settings)
    for name in boot.modules:
        importlib.import_module(name)
    broker = ChildBroker(asker, boot.settings)
    broker.adopt()
    return broker


def _reason(error: BaseException) -> str:
    if isinstance(error, UnderstudyError):
        return str(error)
    return "".join(traceback.format_exception(error, limit=-5)).strip()


def _set_up(parent: int, stacks: int) -> None:
    if sys.platform == "linux":
        prctl = ctypes.CDLL(None, use_errno=True).prctl
        prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
        prctl(PR_SET_NAME, NAME)
    if os.getppid() != parent:
        os._exit(0)  # it died before the kernel was asked to tell
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # The worker decides. Handled, not ignored: programs that a body starts would inherit that they are ignored.
        signal.signal(number, lambda *_: None)
    faulthandler.enable(file=stacks)
    if WHERE is not None:
        faulthandler.register(WHERE, file=stacks)


def main(words: Sequence[str] | None = None) -> int:
    """The entry point."""
    parser = argparse.ArgumentParser(prog="understudy.isolation.child", description="Runs bodies for a worker thread.")
    parser.add_argument("--thread", help="the worker's thread, to be seen in the list of processes")
    for name in ("channel", "page", "stacks", "parent"):
        parser.add_argument(f"--{name}", type=int, required=True)
    given = parser.parse_args(words)
    for end in (given.channel, given.page, given.stacks):
        os.set_inheritable(end, False)
    _set_up(given.parent, given.stacks)
    code = serve(Channel(socket.socket(fileno=given.channel)), Page(given.page), given.stacks)
    logging.shutdown()
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    # Without the end of the interpreter: a thread that a body has left behind must not keep the process.
    os._exit(code)


if __name__ == "__main__":
    main()
