"""What main actors work with: a server, workers, a mail server, a receiver of webhooks, files, a SQLite database."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from dramatiq import Message

from tasks.adapters.database import close_databases
from tests.chaos.domain import Domain
from tests.chaos.plant import Plant
from tests.tasks.adapters.receiving import Receiver, receiver
from understudy.handle import Handle
from understudy.testing.smtp_server import SmtpServer

#: Longer than any test: a limit of the actor's own must come first.
FOR_EVER = "300s"


@dataclass(frozen=True)
class Call:
    """One message: which actor, with what, and the name of the effect that it shall have once."""

    message: Message[Any]
    effect: str


class House(Domain):
    """Where main actors work. What they do to the database is noted by it, in the transaction that does it."""

    def __init__(self, plant: Plant, directory: Path, smtp: SmtpServer, target: Receiver, **environment: str) -> None:
        super().__init__(plant, directory, **environment)
        self.smtp, self.target = smtp, target
        self.script("PRAGMA journal_mode = WAL; CREATE TABLE noted (what TEXT, effect TEXT)")

    def enqueue(self, calls: Sequence[Call], **options: Any) -> list[Handle]:
        """Send ``calls``; ``options`` travel as they are, so durations are in milliseconds."""
        return self.put(call.message.copy(options={**call.message.options, **options}) for call in calls)

    def put(self, messages: Iterable[Message[Any]]) -> list[Handle]:
        """Send ``messages``."""
        broker, handles = self.plant.broker, list[Handle]()
        for message in messages:
            broker.declare_queue(message.queue_name)
            broker.enqueue(message)
            handles.append(Handle(message.message_id, broker.records))
        return handles

    def note(self, what: str, event: str, effect: str) -> None:
        """From now on note every ``event`` (``INSERT ON table``) as ``effect``, an expression of its row."""
        self.script(
            f"CREATE TRIGGER noted_{what} AFTER {event} BEGIN INSERT INTO noted VALUES ('{what}', {effect}); END"
        )

    def noted(self, what: str) -> Counter[str]:
        """How often each effect was noted."""
        with closing(sqlite3.connect(self.database, timeout=60)) as connection:
            return Counter(str(row[0]) for row in connection.execute("SELECT effect FROM noted WHERE what = ?", [what]))

    @contextmanager
    def silence(self) -> Iterator[None]:
        """While it lasts nothing answers: the mail server accepts and says nothing, nor does the receiver, and another
        writer holds the lock of the database."""
        with closing(sqlite3.connect(self.database, timeout=60, isolation_level=None)) as connection:
            os.kill(self.smtp.pid, signal.SIGSTOP)
            self.target.silent = True
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            finally:
                connection.execute("ROLLBACK")
                self.target.silent = False
                os.kill(self.smtp.pid, signal.SIGCONT)


@contextmanager
def house(directory: Path) -> Iterator[House]:
    """A house in ``directory``, whose environment is this process's too; everything is stopped at the end."""
    files = directory / "files"
    files.mkdir(parents=True)
    with ExitStack() as stack:
        smtp = stack.enter_context(SmtpServer(directory / "mails.jsonl"))
        target = stack.enter_context(receiver(address="0.0.0.0"))
        environment = {
            "FILES_ROOT": str(files),
            # What others leave there is not to be cleaned up here.
            "TMPDIR": str(directory),
            "DATABASE_URL": f"sqlite:///{files / 'tables.sqlite'}",
            "DATABASE_TIMEOUT": FOR_EVER,
            "SMTP_HOST": smtp.host,
            "SMTP_PORT": str(smtp.port),
            "SMTP_TIMEOUT": FOR_EVER,
            "WEBHOOK_SECRET": "s" * 24,
            "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
            "WEBHOOK_TIMEOUT": FOR_EVER,
            # A worker that gets no processor for that long has lost what it holds, and this is not about that.
            "UNDERSTUDY_HEARTBEAT_TIMEOUT": "10s",
        }
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name, value in environment.items():
            patch.setenv(name, value)
        stack.callback(close_databases)
        plant = Plant(directory / "plant")
        stack.callback(plant.close)
        yield House(plant, files, smtp, target, **environment)
