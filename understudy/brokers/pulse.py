"""The helper that renews a worker's lease, from outside of the worker's interpreter.

A body that holds the interpreter lock for a minute starves every thread of its process; a helper process is not
starved. It holds no state. It beats while the worker exists and is neither stopped nor a zombie, and ends within one
beat of its death: a worker that is paused loses its lease as one that is dead.

This file is run as a script too: ``python pulse.py``, with what it needs to know on standard input. The script
uses the standard library only, so that it is small and starts in no time.
"""

from __future__ import annotations

import json
import os
import select
import socket
import ssl
import subprocess
import sys
from typing import IO, Any


def main() -> int:
    """Beat until the worker is gone, or standard input ends."""
    what = json.loads(sys.stdin.buffer.readline())
    connection: _Connection | None = None
    while _lives(what["pid"]):
        if not _stopped(what["pid"]):
            try:
                connection = connection or _Connection(what)
                if connection.command("EVAL", what["script"], "1", what["key"], what["worker"]) == 0:
                    return 0  # the lease is gone; the worker will notice and ask for a new one
            except OSError:
                connection = None
        ready, _, _ = select.select([sys.stdin], [], [], what["interval"])
        if ready and not sys.stdin.buffer.read(1):
            return 0
    return 0


def _lives(pid: int) -> bool:
    return os.getppid() == pid and _state(pid) != "Z"


def _stopped(pid: int) -> bool:
    return _state(pid) in ("T", "t")


def _state(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0].decode()
    except OSError:
        pass
    try:
        shown = subprocess.run(["ps", "-o", "state=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return shown.stdout.strip()[:1]
    except OSError:
        return "?"


class _Connection:
    """As much of a client as a beat needs."""

    def __init__(self, what: dict[str, Any]) -> None:
        timeout = max(1.0, what["interval"])
        if what.get("path"):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._socket.settimeout(timeout)
            self._socket.connect(what["path"])
        else:
            self._socket = socket.create_connection((what["host"], what["port"]), timeout)
            if what.get("tls"):
                context = ssl.create_default_context(cafile=what.get("ca"))
                if what.get("certificate"):
                    context.load_cert_chain(what["certificate"], what.get("key_file"))
                if not what.get("check_hostname", True):
                    context.check_hostname = False
                if not what.get("verify", True):
                    context.verify_mode = ssl.CERT_NONE
                self._socket = context.wrap_socket(self._socket, server_hostname=what["host"])
        self._file: IO[bytes] = self._socket.makefile("rb")
        if what.get("password"):
            self.command("AUTH", *([what["username"]] if what.get("username") else []), what["password"])
        if what.get("db"):
            self.command("SELECT", str(what["db"]))

    def command(self, *parts: str) -> int | None:
        """Send a command; its reply if that is a number."""
        data = b"".join(b"$%d\r\n%s\r\n" % (len(part.encode()), part.encode()) for part in parts)
        self._socket.sendall(b"*%d\r\n" % len(parts) + data)
        line = self._file.readline()
        if not line.endswith(b"\r\n") or line[:1] == b"-":
            raise OSError(line.decode(errors="replace") or "the server closed the connection")
        return int(line[1:]) if line[:1] == b":" else None


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(0)
