"""A real server of a test's own, that can be killed and started again."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from understudy.embedded.binary import find_binary
from understudy.testing.conditions import wait_until


class RealServer:
    """A server on a TCP port, with its data in ``directory`` if ``aof``, and a password if one is given."""

    def __init__(self, directory: Path, *, password: str = "", aof: bool = False) -> None:
        self.directory, self.password, self.aof = directory, password, aof
        self.port = _free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://{f':{self.password}@' if self.password else ''}127.0.0.1:{self.port}/0"

    def start(self) -> None:
        command = [str(find_binary()), "--port", str(self.port), "--dir", str(self.directory), "--save", ""]
        command += ["--appendonly", "yes" if self.aof else "no", "--appendfsync", "always"]
        command += ["--requirepass", self.password] if self.password else []
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        wait_until(self._answers, what="the server answers")

    def kill(self) -> None:
        """kill -9."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def _answers(self) -> bool:
        client = redis.Redis.from_url(self.url)
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False
        finally:
            client.close()


@contextmanager
def real_server(directory: Path, *, password: str = "", aof: bool = False) -> Iterator[RealServer]:
    """A server that is started, and ended at the end."""
    server = RealServer(directory, password=password, aof=aof)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
