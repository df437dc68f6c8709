"""A real ``understudy worker`` on a real embedded server, and messages for it."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dramatiq import Message

from tests.understudy.cli.helpers import Running, environment
from understudy.brokers.settlement import SettlingBroker
from understudy.handle import Handle
from understudy.runtime import build
from understudy.settings import Settings, load
from understudy.testing.conditions import wait_until

ACTORS = "tests.understudy.supervisor.actors_for_tests"
TIMEOUT = 15.0


class Rig:
    """What a test acts on: files in ``directory``, a sender, and workers."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.env = environment(directory / "data", UNDERSTUDY_MODULES=ACTORS, PYTHONDONTWRITEBYTECODE="1")
        self.env["PYTHONPATH"] += f"{os.pathsep}{directory}"
        self.broker: SettlingBroker = build(
            load(Settings, environ={name: text for name, text in self.env.items() if name.startswith("UNDERSTUDY_")})
        )

    def send(self, actor: str, *args: Any, queue: str = "sums") -> Handle:
        message: Message[Any] = Message(queue_name=queue, actor_name=actor, args=args, kwargs={}, options={})
        self.broker.enqueue(message)
        return Handle(message.message_id, self.broker.records)

    def file(self) -> Path:
        """A name for ``release`` to wait for."""
        return self.directory / uuid.uuid4().hex

    def worker(self, *words: str, **more: str) -> Running:
        """``understudy worker``, started."""
        log = self.directory / f"{uuid.uuid4().hex}.log"
        return Running({**self.env, **more}, log, "-m", "understudy.cli", "worker", *words)


@contextmanager
def rig(directory: Path) -> Iterator[Rig]:
    made = Rig(directory)
    try:
        yield made
    finally:
        made.broker.storage.close()


def begun(path: Path) -> int:
    """The process in which ``release(path)`` runs, when it does."""
    journal = path.with_name(f"{path.name}.begun")
    wait_until(lambda: journal.exists() and journal.read_text().endswith("\n"), timeout=TIMEOUT)
    return int(journal.read_text().split()[0])


def children(pid: int, module: str = "understudy.supervisor.child") -> list[int]:
    """The worker processes of the supervisor ``pid``; with ``module`` those of a process that run it."""
    found = []
    for directory in Path("/proc").iterdir():
        if directory.name.isdecimal() and alive(int(directory.name)):
            try:
                parent = int((directory / "stat").read_text().rpartition(")")[2].split()[1])
                words = (directory / "cmdline").read_bytes()
            except OSError:
                continue
            if parent == pid and module.encode() in words:
                found.append(int(directory.name))
    return sorted(found)


def alive(pid: int) -> bool:
    """Whether the process runs; one that nobody has buried yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def ready(running: Running, count: int) -> None:
    """Wait until so many worker processes have come up since the beginning."""
    wait_until(
        lambda: running.said.count("is ready for action") >= count or running.process.poll() is not None,
        timeout=TIMEOUT,
    )
    assert running.said.count("is ready for action") >= count, running.said
