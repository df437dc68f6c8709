"""Processes that use an embedded server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import TracebackType

from understudy.embedded import EmbeddedServer, wire

LINGER = 0.1

PROGRAM = """
import sys
from pathlib import Path
from understudy.embedded import EmbeddedServer
from understudy.errors import EmbeddedServerError

server = EmbeddedServer(Path(sys.argv[1]), linger=float(sys.argv[2]))
for command in sys.stdin:
    try:
        getattr(server, command.strip())()
        print("done", flush=True)
    except EmbeddedServerError as error:
        print("error", str(error).splitlines()[0], flush=True)
"""


class User:
    """A process that uses the server of ``directory``."""

    def __init__(self, directory: Path, linger: float = LINGER) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(directory), str(linger)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def begin(self, command: str) -> None:
        """Tell it what to do, do not wait."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{command}\n")
        self.process.stdin.flush()

    def end(self) -> str:
        """What came of it: "done", or "error" and its first line."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def ensure(self) -> None:
        self.begin("ensure")
        assert self.end() == "done"

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.communicate()

    def __enter__(self) -> User:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.communicate()


def pid_of(server: EmbeddedServer) -> int:
    pid = server.status().pid
    assert pid is not None
    return pid


def supervisor_of(server: EmbeddedServer) -> int:
    pid = server.status().supervisor_pid
    assert pid is not None
    return pid


def put(server: EmbeddedServer, key: str, value: str) -> None:
    assert wire.ask(server.socket_path, "SET", key, value) == "OK"


def get(server: EmbeddedServer, key: str) -> str:
    return wire.ask(server.socket_path, "GET", key)


def is_gone(server: EmbeddedServer) -> bool:
    status = server.status()
    return not status.running and status.supervisor_pid is None
