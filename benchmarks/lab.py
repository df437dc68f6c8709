"""Where a measurement takes place: a fresh server, and processes that are gone when it ends."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import redis

from understudy.embedded import EmbeddedServer

from .contenders import Contender
from .process import Process
from .spec import BenchmarkError, Spec
from .tape import Tape

Fsync = Literal["everysec", "always"]

_numbers = itertools.count(1)


@dataclass
class Bench:
    """One measurement of one contender: its processes, its tapes, its namespace."""

    contender: Contender
    server: Server
    directory: Path
    stack: ExitStack
    namespace: str = field(default_factory=lambda: f"bench{next(_numbers)}")
    capacity: int = 0
    tapes: list[Path] = field(default_factory=list)

    def worker(self, **options: Any) -> Worker:
        """A process that can run messages; it begins when it is told ``start_worker``."""
        path = self.directory / f"{self.namespace}-{len(self.tapes)}.tape"
        tape = Tape(path, self.capacity)
        self.stack.callback(path.unlink)
        self.stack.callback(tape.close)
        self.tapes.append(path)
        core = self.server.core(len(self.tapes) - 1)
        return Worker(self._process("worker", tape=str(path), core=core, **options), tape)

    def sender(self) -> Process:
        """A process that sends; it can wait for the workers that exist already."""
        return self._process("sender", watched=tuple(map(str, self.tapes)))

    def _process(self, name: str, **options: Any) -> Process:
        contender = self.contender
        common: dict[str, Any] = {"results": contender.results, "quick_recovery": contender.quick_recovery}
        spec = Spec(contender.side, self.server.url, self.namespace, capacity=self.capacity, **{**common, **options})
        log = self.directory / f"{self.namespace}-{name}-{next(_numbers)}.log"
        return self.stack.enter_context(Process(spec, log, contender.environ))


@dataclass(frozen=True)
class Worker:
    """A process that runs messages, and what it noted."""

    process: Process
    tape: Tape


class Server:
    """The server that all contenders of a row share."""

    def __init__(self, directory: Path, fsync: Fsync, *, pin: bool = False, tcp: bool = False) -> None:
        self._directory = directory
        self._cores = sorted(os.sched_getaffinity(0)) if pin else []
        self._embedded = EmbeddedServer(directory / "server", fsync=fsync, linger=0.2)
        self._embedded.ensure()
        self.client = redis.Redis.from_url(self._embedded.url)
        self.url = self._listen() if tcp else self._embedded.url

    def facts(self) -> str:
        """Name, version and persistence, as a reader of the figures must know them."""
        info = self._info()
        name = "Valkey" if "valkey_version" in info else "Redis"
        version = info.get("valkey_version", info["redis_version"])
        fsync = self._embedded.status().fsync
        way = "TCP on loopback" if self.url.startswith("redis:") else "unix socket"
        return f"{name} {version}, {way}, append-only file on, appendfsync {fsync}"

    def core(self, worker: int) -> int | None:
        """The core of its own that a worker is bound to when workers are pinned."""
        return self._cores[worker % len(self._cores)] if self._cores else None

    def used_memory(self) -> int:
        """Bytes that the server's data and clients take."""
        return int(self._info()["used_memory"])

    def empty(self) -> None:
        """Forget everything, also what the append-only file remembers."""
        # At once: what is freed beside it would be missing in what is weighed next.
        self.client.execute_command("FLUSHALL", "SYNC")  # type: ignore[no-untyped-call]
        with contextlib.suppress(redis.ResponseError):  # one is under way: it sees the empty data just as well
            self.client.bgrewriteaof()
        self.wait_until(lambda info: not info["aof_rewrite_in_progress"] and not info["aof_rewrite_scheduled"])

    def wait_until(self, met: Any, timeout: float = 60.0) -> None:
        """Wait until ``met(INFO)`` is true."""
        deadline = time.monotonic() + timeout
        while not met(self._info()):
            if time.monotonic() > deadline:
                raise BenchmarkError(f"the server did not settle within {timeout:g} seconds")
            time.sleep(0.01)

    def close(self) -> None:
        """Let the server end."""
        self.client.close()
        self._embedded.release()

    @contextmanager
    def bench(self, contender: Contender, capacity: int) -> Iterator[Bench]:
        """An empty server and a place for one measurement; its processes are killed at the end."""
        self.empty()
        with ExitStack() as stack:
            yield Bench(contender, self, self._directory, stack, capacity=capacity)

    def _listen(self) -> str:
        """Open a TCP port as well (Redis 7 and newer, Valkey): the URL of it."""
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port: int = probe.getsockname()[1]
        self.client.config_set("bind", "127.0.0.1")
        self.client.config_set("port", port)
        return f"redis://127.0.0.1:{port}/0"

    def _info(self) -> dict[str, Any]:
        found: dict[str, Any] = self.client.info()
        return found


@contextmanager
def fresh_server(fsync: Fsync = "everysec", *, pin: bool = False, tcp: bool = False) -> Iterator[Server]:
    """A server in a directory of its own; both are gone at the end. ``pin`` binds each worker to one core; ``tcp``
    lets every side connect through the loopback interface instead of the unix socket."""
    with tempfile.TemporaryDirectory(prefix="understudy-bench-", ignore_cleanup_errors=True) as name:
        server = Server(Path(name), fsync, pin=pin, tcp=tcp)
        try:
            yield server
        finally:
            server.close()
