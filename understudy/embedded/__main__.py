"""``python -m understudy.embedded DIRECTORY``: supervise the embedded server of a directory.

Understudy starts this by itself when REDIS_URL is not set. By hand it is of use to look at a server's troubles:
it runs in the foreground and ends, like always, when nobody uses the server.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from understudy.errors import EmbeddedServerError

from . import locks
from .binary import find_binary
from .layout import Layout
from .supervisor import Supervisor


def main(arguments: list[str] | None = None) -> int:
    """Exit codes: 0 its work is over, 1 the server cannot be started, 2 wrong arguments, 3 another supervisor
    is at work."""
    parser = argparse.ArgumentParser(
        prog="python -m understudy.embedded",
        description="Supervise the embedded server of DIRECTORY: start it, restart it with its data when it "
        "crashes, stop it when nobody has used it for a while. Understudy runs this by itself when REDIS_URL "
        "is not set.",
    )
    parser.add_argument("directory", type=Path, metavar="DIRECTORY", help="where the server keeps its data")
    parser.add_argument("--binary", type=Path, help="the server program (default: found on PATH or bundled)")
    parser.add_argument(
        "--fsync", choices=["everysec", "always"], default="everysec", help="when writes reach the disk"
    )
    parser.add_argument("--linger", type=float, default=2.0, metavar="SECONDS", help="how long to wait for a next user")
    parser.add_argument("--detach", action="store_true", help="go to the background")
    parser.add_argument("--lock-fd", type=int, help=argparse.SUPPRESS)  # the lock, handed over by a user
    options = parser.parse_args(arguments)

    layout = Layout.at(options.directory)
    try:
        layout.prepare()
        binary = options.binary or find_binary()
        lock = options.lock_fd if options.lock_fd is not None else locks.try_lock(layout.supervisor_lock)
    except (OSError, EmbeddedServerError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if lock is None:
        sys.stderr.write(f"another supervisor is at work in {layout.directory}; nothing to do\n")
        return 3
    # Before the lock is in other hands: a server that inherited it would outlive the supervisor as one.
    os.set_inheritable(lock, False)
    if options.detach and os.fork() != 0:
        # The user who started us waits for this process only, and has no child to bury later.
        os._exit(0)
    os.umask(0o077)
    os.truncate(lock, 0)
    os.write(lock, f"{os.getpid()}\n".encode())
    supervisor = Supervisor(layout, lock=lock, binary=binary, fsync=options.fsync, linger=options.linger)
    return supervisor.run()


if __name__ == "__main__":
    sys.exit(main())
