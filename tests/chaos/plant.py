"""A plant of real processes for chaos tests: a server that can be killed, workers that can be, a journal of effects."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import dramatiq
import dramatiq.broker
from dramatiq import Message

from tests.chaos.journal import Begin, begun, lines_of
from tests.understudy.brokers.servers import BareServer
from tests.understudy.supervisor.real import alive, children
from understudy.brokers.redis import RedisBroker
from understudy.deadletters import DeadLetter, DeadLetters
from understudy.handle import Handle
from understudy.holds import GROUP
from understudy.runtime import build
from understudy.settings import Settings, load
from understudy.testing.conditions import wait_until

ROOT = Path(__file__).resolve().parents[2]


class Server(BareServer):
    """A server of this plant's own, on a socket, with its data in ``directory``."""

    def __init__(self, directory: Path, fsync: Literal["always", "everysec"]) -> None:
        directory.mkdir(parents=True)
        self.socket = directory / "s.sock"
        options = ["--port", "0", "--unixsocket", str(self.socket)]
        super().__init__(directory, f"unix://{self.socket}", options, fsync=fsync)


class Worker:
    """``understudy worker`` on the chaos actors, or those of another module; ``environment`` for it alone."""

    def __init__(
        self,
        server: Server,
        namespace: str,
        directory: Path,
        *,
        threads: int,
        processes: int = 1,
        module: str = "tests.chaos.actors",
        environment: dict[str, str] | None = None,
    ) -> None:
        name = uuid.uuid4().hex[:6]
        self.log = directory / f"worker-{name}.log"
        self._environment = {
            **{key: value for key, value in os.environ.items() if key != "BROKER_URL"},
            "REDIS_URL": server.url,
            "UNDERSTUDY_NAMESPACE": namespace,
            "UNDERSTUDY_HEARTBEAT_TIMEOUT": "2s",
            "CHAOS_JOURNAL": str(directory / "effects"),
            **(environment or {}),
        }
        self._arguments = [module, "--processes", str(processes), "--threads", str(threads)]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; it is a process group of its own."""
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "understudy.cli", "worker", *self._arguments],
                env=self._environment,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the whole group."""
        if self.process is not None:
            os.killpg(self.process.pid, number)

    def kill(self) -> None:
        """kill -9 of all of it.

        Processes of bodies, which are groups of their own, die with their worker. They are waited for, because what one
        of them does in its last moment may be an effect.
        """
        if self.process is not None:
            bodies = [body for worker in self.processes() for body in children(worker, "understudy.isolation.child")]
            self.signal(signal.SIGKILL)
            self.process.wait()
            self.process = None
            wait_until(lambda: not any(map(alive, bodies)), what="the bodies have died with their worker")

    def processes(self) -> list[int]:
        """The pids of its worker processes."""
        return [] if self.process is None else children(self.process.pid)

    def said(self) -> str:
        """What it and its processes have logged."""
        return self.log.read_text(errors="replace")

    def ended(self) -> bool:
        """Whether it has ended by itself."""
        return self.process is not None and self.process.poll() is not None

    def stop(self) -> None:
        """SIGTERM, and kill -9 if that does not help."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(30)
            self.process = None
        except subprocess.TimeoutExpired:
            self.kill()


class Plant:
    """What a chaos test acts on. With a ``server`` that is given it shares one with other plants."""

    def __init__(
        self, directory: Path, fsync: Literal["always", "everysec"] = "always", *, server: Server | None = None
    ) -> None:
        self.directory = directory
        directory.mkdir(exist_ok=True)
        self.namespace = f"chaos-{uuid.uuid4().hex[:8]}"
        self.server = server or Server(directory / "server", fsync)
        self._owns_server = server is None
        if server is None:
            self.server.start()
        self.workers: list[Worker] = []
        environment = {"REDIS_URL": self.server.url, "UNDERSTUDY_NAMESPACE": self.namespace}
        self.broker: RedisBroker = build(load(Settings, environ=environment))
        self.broker.declare_queue("chaos")

    def worker(self, *, threads: int = 8, **more: Any) -> Worker:
        """Start one more worker; ``more`` as for ``Worker``."""
        worker = Worker(self.server, self.namespace, self.directory, threads=threads, **more)
        self.workers.append(worker)
        worker.start()
        return worker

    def send(
        self, actor: str, *args: Any, delay: int | None = None, message_id: str | None = None, **options: Any
    ) -> Handle:
        """Send by name; ``delay`` in milliseconds."""
        message: Message[Any] = Message(queue_name="chaos", actor_name=actor, args=args, kwargs={}, options=options)
        if message_id is not None:
            message = message.copy(message_id=message_id)
        self.broker.enqueue(message, delay=delay)
        return Handle(message.message_id, self.broker.records)

    def wait_for_all(
        self, handles: Sequence[Handle], timeout: float = 60.0, *, meanwhile: Callable[[], object] = lambda: None
    ) -> None:
        """Wait until every message has ended, in whatever way; ``handles`` is left as it is. ``meanwhile`` is called at
        each look."""
        left = list(handles)

        def all_ready() -> bool:
            meanwhile()
            while left and left[-1].ready():
                left.pop()
            return not left

        try:
            wait_until(all_ready, timeout=timeout)
        except AssertionError:
            raise AssertionError(f"{len(left)} messages did not end\n{self.logs()}") from None

    def in_hand(self, pids: Sequence[int]) -> int:
        """How many messages these worker processes hold on the server; of a dead one until its lease has run out."""
        count = 0
        for stream in self.broker.streams_of("chaos"):
            summary = self.broker.storage.client.xpending(stream, GROUP)
            for consumer in summary["consumers"]:
                _, pid, _ = consumer["name"].decode().rsplit(":", 2)
                count += consumer["pending"] if int(pid) in pids else 0
        return count

    def effects(self) -> Counter[str]:
        """Every effect so far, and how often."""
        return Counter(lines_of(self.directory / "effects"))

    def begun(self) -> dict[str, list[Begin]]:
        """The bodies that began, or were about to, by name."""
        return begun(self.directory / "effects")

    def dead(self) -> list[DeadLetter]:
        """The dead letters of all queues."""
        return list(DeadLetters(self.broker.storage).walk())

    def logs(self) -> str:
        """What the workers logged, for the message of a failure."""
        return "\n".join(worker.log.read_text(errors="replace")[-3_000:] for worker in self.workers)

    def close(self) -> None:
        """Stop everything."""
        for worker in self.workers:
            worker.kill()
        self.broker.storage.close()
        if self._owns_server:
            self.server.kill()


@contextmanager
def plant(directory: Path, fsync: Literal["always", "everysec"] = "always") -> Iterator[Plant]:
    """A plant in ``directory``; everything is stopped at the end."""
    made = Plant(directory, fsync)
    try:
        yield made
    finally:
        made.close()


@contextmanager
def sending(stage: Plant) -> Iterator[None]:
    """Workflows that are run here go to ``stage``."""
    before = dramatiq.broker.global_broker
    dramatiq.set_broker(stage.broker)
    try:
        yield
    finally:
        dramatiq.broker.global_broker = before
