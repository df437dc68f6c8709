"""A plant of real processes for chaos tests: a server that can be killed, workers that can be, a journal of effects."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import redis
from dramatiq import Message

from understudy.brokers.redis import RedisBroker
from understudy.embedded import find_binary
from understudy.handle import Handle
from understudy.runtime import build
from understudy.settings import Settings, load
from understudy.testing.conditions import wait_until

ROOT = Path(__file__).resolve().parents[2]


class Server:
    """A server process of this test's own, without a supervisor: nothing brings it back but ``start``."""

    def __init__(self, directory: Path, fsync: Literal["always", "everysec"]) -> None:
        self.directory = directory
        self.socket = directory / "s.sock"
        self.url = f"unix://{self.socket}"
        self._fsync = fsync
        self._process: subprocess.Popen[bytes] | None = None
        directory.mkdir(parents=True)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = ["--port", "0", "--unixsocket", str(self.socket), "--dir", str(self.directory), "--save", ""]
        options += ["--appendonly", "yes", "--appendfsync", self._fsync, "--logfile", str(self.directory / "log")]
        self._process = subprocess.Popen([str(find_binary()), *options], stdin=subprocess.DEVNULL)
        wait_until(self.answers, what="the server")

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


class Worker:
    """``understudy worker`` on the chaos actors."""

    def __init__(self, server: Server, namespace: str, directory: Path, *, threads: int) -> None:
        name = uuid.uuid4().hex[:6]
        self.log = directory / f"worker-{name}.log"
        self._environment = {
            **{key: value for key, value in os.environ.items() if key != "BROKER_URL"},
            "REDIS_URL": server.url,
            "UNDERSTUDY_NAMESPACE": namespace,
            "UNDERSTUDY_HEARTBEAT_TIMEOUT": "2s",
            "CHAOS_JOURNAL": str(directory / "effects"),
        }
        self._arguments = ["--processes", "1", "--threads", str(threads)]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; it is a process group of its own."""
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "understudy.cli", "worker", "tests.chaos.actors", *self._arguments],
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
        """kill -9 of all of it."""
        if self.process is not None:
            self.signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

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
    """What a chaos test acts on."""

    def __init__(self, directory: Path, fsync: Literal["always", "everysec"]) -> None:
        self.directory = directory
        self.namespace = f"chaos-{uuid.uuid4().hex[:8]}"
        self.server = Server(directory / "server", fsync)
        self.server.start()
        self.workers: list[Worker] = []
        environment = {"REDIS_URL": self.server.url, "UNDERSTUDY_NAMESPACE": self.namespace}
        self.broker: RedisBroker = build(load(Settings, environ=environment))
        self.broker.declare_queue("chaos")

    def worker(self, *, threads: int = 8) -> Worker:
        """Start one more worker."""
        worker = Worker(self.server, self.namespace, self.directory, threads=threads)
        worker.start()
        self.workers.append(worker)
        return worker

    def send(self, actor: str, *args: Any, delay: int | None = None, **options: Any) -> Handle:
        """Send by name; ``delay`` in milliseconds."""
        message: Message[Any] = Message(queue_name="chaos", actor_name=actor, args=args, kwargs={}, options=options)
        self.broker.enqueue(message, delay=delay)
        return Handle(message.message_id, self.broker.records)

    def effects(self) -> Counter[str]:
        """Every effect so far, and how often."""
        journal = self.directory / "effects"
        return Counter(journal.read_text().splitlines()) if journal.exists() else Counter()

    def logs(self) -> str:
        """What the workers logged, for the message of a failure."""
        return "\n".join(worker.log.read_text(errors="replace")[-3_000:] for worker in self.workers)

    def close(self) -> None:
        """Stop everything."""
        for worker in self.workers:
            worker.kill()
        self.broker.storage.close()
        self.server.kill()


@contextmanager
def plant(directory: Path, fsync: Literal["always", "everysec"] = "always") -> Iterator[Plant]:
    """A plant in ``directory``; everything is stopped at the end."""
    made = Plant(directory, fsync)
    try:
        yield made
    finally:
        made.close()
