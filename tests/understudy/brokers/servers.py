"""A real server of a test's own, that can be killed and started again. Nothing else brings it back."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import redis

from understudy.embedded.binary import find_binary
from understudy.testing.conditions import wait_until


class BareServer:
    """A server process at ``url``, without a supervisor, with its log in ``directory``.

    Args:
      options: where it listens, and whatever else is not the default.
      fsync: when its append-only file is synced; None for a server that keeps nothing.
    """

    def __init__(
        self, directory: Path, url: str, options: list[str], *, fsync: Literal["always", "everysec"] | None
    ) -> None:
        self.directory, self.url = directory, url
        self._options = [*options, "--dir", str(directory), "--save", "", "--logfile", str(directory / "server.log")]
        self._options += ["--appendonly", "no" if fsync is None else "yes", "--appendfsync", fsync or "always"]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._process = subprocess.Popen([str(find_binary()), *self._options], stdin=subprocess.DEVNULL)
        try:
            wait_until(self.answers, what="the server answers")
        except BaseException:  # Ctrl-C: nobody would end it
            self.kill()
            raise

    def answers(self) -> bool:
        """Whether it answers."""
        client = redis.Redis.from_url(self.url)
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False
        finally:
            client.close()

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class RealServer(BareServer):
    """A server on a TCP port, with its data in ``directory`` if ``aof``, and a password if one is given."""

    def __init__(self, directory: Path, *, password: str = "", aof: bool = False) -> None:
        port = _free_port()
        url = f"redis://{f':{password}@' if password else ''}127.0.0.1:{port}/0"
        options = ["--port", str(port), *(["--requirepass", password] if password else [])]
        super().__init__(directory, url, options, fsync="always" if aof else None)


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
