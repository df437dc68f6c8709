"""The embedded server: a Redis-compatible server for development that nobody has to install or start.

::

    user process --.                         holds users.lock (shared) while it uses the server
    user process --+--> server.sock
    user process --'         |
                         the server          holds server.lock: never two servers on one directory
                             ^
                             | starts, restarts, stops
                         the supervisor      holds supervisor.lock; waits until users.lock is free

Everything that decides is a file lock that the kernel drops when its holder dies, also by kill -9; process
ids and socket files that lie about decide nothing. Each directory (so each checkout) has its own server.
"""

from __future__ import annotations

from .binary import find_binary
from .server import EmbeddedServer, ServerStatus

__all__ = ["EmbeddedServer", "ServerStatus", "find_binary"]
