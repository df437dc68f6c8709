"""Workers started by Dramatiq's own command line, on a server of the test's own."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dramatiq import Message

from tests.house.project import ROOT
from tests.understudy.brokers.servers import RealServer, real_server
from understudy.brokers.redis import RedisBroker
from understudy.handle import Handle
from understudy.runtime import build
from understudy.settings import Settings, load
from understudy.testing.conditions import wait_until

#: Seconds for which a silent worker keeps what it holds, in these tests.
LEASE = 2

#: What the workers import. A body notes its process, and waits for a file if it is told to.
MODULE = """
import os, time
from pathlib import Path
from middleware.stack import stack
from understudy.runtime import install
from understudy.settings import Settings, load
settings = load(Settings)
broker = install(settings, middleware=stack(settings))
from understudy import actor

def note(folder, word, x):
    with open(Path(folder, "journal"), "a") as file:
        file.write(f"{word} {x} {os.getpid()}\\n")

@actor
def work(folder, x, gate=""):
    note(folder, "begin", x)
    while gate and not Path(folder, gate).exists():
        time.sleep(0.02)
    note(folder, "end", x)
    return os.getpid()

@actor
def poison(folder, x):
    note(folder, "begin", x)
    os.kill(os.getpid(), 9)
"""


@dataclass
class Line:
    """A line of the journal."""

    word: str
    x: int
    pid: int


class Runner:
    """``dramatiq MODULE``, its output in a log file."""

    def __init__(self, stage: Stage, name: str, *, module: str = "work", threads: int = 2) -> None:
        self.log = stage.folder / f"{name}.log"
        command = [sys.executable, "-m", "dramatiq", module, "--processes", "1", "--threads", str(threads)]
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                command, env=stage.environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )

    def says(self, text: str) -> bool:
        return text in self.log.read_text(errors="replace")

    def ready(self) -> None:
        wait_until(lambda: self.says("ready for action"), what="the worker is ready")

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


class Stage:
    """A server, a sender, and a place for journals."""

    def __init__(self, folder: Path, server: RealServer) -> None:
        self.folder, self.server = folder, server
        namespace = f"chaos-{uuid.uuid4().hex[:8]}"
        given = {
            "REDIS_URL": server.url,
            "UNDERSTUDY_NAMESPACE": namespace,
            "UNDERSTUDY_HEARTBEAT_TIMEOUT": f"{LEASE}s",
            "UNDERSTUDY_DATA_DIR": str(folder),
        }
        kept = {name: value for name, value in os.environ.items() if name != "BROKER_URL"}
        self.environment = {**kept, **given, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}
        self.broker: RedisBroker = build(load(Settings, environ=given))
        (folder / "work.py").write_text(MODULE)
        (folder / "journal").touch()

    def send(self, actor: str, x: int, *args: Any) -> Handle:
        message: Message[Any] = Message(
            queue_name="default", actor_name=actor, args=(str(self.folder), x, *args), kwargs={}, options={}
        )
        self.broker.enqueue(message)
        return Handle(message.message_id, self.broker.records)

    def journal(self, word: str, x: int | None = None) -> list[Line]:
        lines = [line.split() for line in (self.folder / "journal").read_text().splitlines()]
        found = [Line(first, int(second), int(pid)) for first, second, pid in lines]
        return [line for line in found if line.word == word and x in (None, line.x)]

    def open_gate(self, name: str = "go") -> None:
        (self.folder / name).touch()


@contextmanager
def stage_with(folder: Path, runners: int, *, threads: int = 2) -> Iterator[tuple[Stage, list[Runner]]]:
    """A stage with so many workers that are ready."""
    with ExitStack() as stack, real_server(folder, aof=True) as server:
        stage = Stage(folder, server)
        stack.callback(stage.broker.close)
        started = [Runner(stage, f"worker-{number}", threads=threads) for number in range(runners)]
        for runner in started:
            stack.callback(runner.stop)
        for runner in started:
            runner.ready()
        yield stage, started
        stage.open_gate()
        for runner in started:
            runner.stop()
