"""A rig of real processes: a server, a mail server, workers that can be stopped and killed, and a sender."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dramatiq import Message

from understudy.brokers.settlement import SettlingBroker
from understudy.cli.demo.processes import WorkerProcess
from understudy.handle import Handle
from understudy.runtime import build
from understudy.settings import Settings, load
from understudy.testing.smtp_server import SmtpPolicy, SmtpServer


@dataclass
class Rig:
    """What a chaos test acts on."""

    broker: SettlingBroker
    smtp: SmtpServer
    worker: WorkerProcess

    def send(self, actor: str, *args: Any, queue: str = "email", **options: Any) -> Handle:
        """Send by name, as a service does."""
        message: Message[Any] = Message(queue_name=queue, actor_name=actor, args=args, kwargs={}, options=options)
        self.broker.enqueue(message)
        return Handle(message.message_id, self.broker.records)

    def mailed(self) -> list[str]:
        """The addresses that the mail server accepted a mail for, in order."""
        return [delivery.recipient for delivery in self.smtp.journal()]


@contextmanager
def rig(tmp_path: Path, policy: SmtpPolicy | None = None) -> Iterator[Rig]:
    """A rig in ``tmp_path``; everything is stopped at the end. The worker is not started yet."""
    settings = load(
        Settings,
        environ={
            "UNDERSTUDY_DATA_DIR": str(tmp_path / "data"),
            "UNDERSTUDY_NAMESPACE": f"chaos-{uuid.uuid4().hex[:8]}",
        },
    )
    broker = build(settings)
    broker.declare_queue("email")
    with SmtpServer(tmp_path / "mails.jsonl", policy or SmtpPolicy(delay_ms=3)) as smtp:
        worker = WorkerProcess(settings, smtp_port=smtp.port, log=tmp_path / "worker.log")
        try:
            yield Rig(broker, smtp, worker)
        finally:
            worker.stop()
            broker.storage.close()
