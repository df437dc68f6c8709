"""Production's own actors on a plant: its files, its database, and what its processes weigh."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from dramatiq import Message

from tests.chaos.plant import Plant, Worker
from understudy.handle import Handle


class Domain:
    """Files and tables in ``directory``, and the actors of ``tasks`` on them.

    Attributes:
      peaks: the most memory that a worker process had, one that runs bodies, and one that helps a worker, of those
        that were looked at with ``look``; 0 when there was none.
    """

    def __init__(self, plant: Plant, directory: Path, **environment: str) -> None:
        self.plant, self.root = plant, directory
        self.database = directory / "tables.sqlite"
        self.environment = {
            "FILES_ROOT": str(directory),
            "DATABASE_URL": f"sqlite:///{self.database}",
            **environment,
        }
        self.peaks = {"worker": 0, "body": 0, "helper": 0}

    @property
    def peak(self) -> int:
        """The most memory that any process had."""
        return max(self.peaks.values())

    def start(self, *, module: str = "tasks", threads: int = 2) -> Worker:
        """One more worker on all of ``tasks``, or of another module."""
        return self.plant.worker(module=module, threads=threads, environment=self.environment)

    def send(self, queue: str, actor: str, *args: Any, **kwargs: Any) -> Handle:
        """Send by name."""
        message: Message[Any] = Message(queue_name=queue, actor_name=actor, args=args, kwargs=kwargs, options={})
        self.plant.broker.declare_queue(queue)
        self.plant.broker.enqueue(message)
        return Handle(message.message_id, self.plant.broker.records)

    def script(self, statements: str) -> None:
        """Run SQL."""
        with closing(sqlite3.connect(self.database, timeout=60)) as connection:
            connection.executescript(statements)

    def ask(self, query: str) -> int:
        """The number that a query gives."""
        with closing(sqlite3.connect(self.database, timeout=60)) as connection:
            return int(connection.execute(query).fetchone()[0])

    def look(self) -> None:
        """Note what the processes of the workers weigh, those that run bodies among them."""
        for worker in self.plant.workers:
            for pid in _below(worker.processes()):
                what = _role(pid)
                self.peaks[what] = max(self.peaks[what], _peak(pid))


@contextmanager
def domain(directory: Path, **environment: str) -> Iterator[Domain]:
    """A plant with production's actors; everything is stopped at the end."""
    plant = Plant(directory / "plant")
    try:
        (directory / "files").mkdir()
        yield Domain(plant, directory / "files", **environment)
    finally:
        plant.close()


def _below(pids: list[int]) -> Iterator[int]:
    for pid in pids:
        yield pid
        # Those that run bodies are children of the threads that made them.
        for threads in Path(f"/proc/{pid}/task").glob("*/children"):
            with suppress(OSError):
                yield from _below([int(child) for child in threads.read_text().split()])


def _role(pid: int) -> str:
    words = b""
    with suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes()
    roles = {b"understudy.supervisor.child": "worker", b"understudy.isolation.child": "body"}
    return next((role for module, role in roles.items() if module in words), "helper")


def _peak(pid: int) -> int:
    """The most memory that a process ever had resident, in bytes."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0
