"""The misbehaving mail server, started and stopped from a test or a demo::

    with SmtpServer(tmp_path / "smtp.jsonl", SmtpPolicy(refuse_pattern="^bounce")) as server:
        ...                                        # mail to server.host, server.port
        server.journal(), server.stats()

As a process of its own (``SmtpServer``) it can be killed; in a thread of this one (``SmtpThread``) it starts in
milliseconds.
"""

from __future__ import annotations

import asyncio
import json
import os
import queue
import select
import signal
import subprocess
import sys
import threading
from abc import ABC, abstractmethod
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Self

from . import smtp_journal
from .smtp_journal import Delivery, Journal
from .smtp_policy import SmtpPolicy
from .smtp_protocol import serving


class _Handle(ABC):
    """What ``SmtpServer`` and ``SmtpThread`` have in common."""

    host = "127.0.0.1"

    def __init__(
        self,
        journal: Path,
        policy: SmtpPolicy | None = None,
        *,
        port: int = 0,
        messages: Path | None = None,
    ) -> None:
        self.journal_path = journal
        self.policy = policy if policy is not None else SmtpPolicy()
        self._wanted_port = port
        self._messages = messages
        self._port: int | None = None

    @property
    def port(self) -> int:
        """Where it listens. Raises RuntimeError before ``start``."""
        if self._port is None:
            raise RuntimeError("the mail server is not running: call start() first")
        return self._port

    @abstractmethod
    def start(self) -> Self:
        """Begin to listen."""

    @abstractmethod
    def stop(self) -> None:
        """Listen no more."""

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def journal(self) -> list[Delivery]:
        """Every mail it accepted, in order, also after ``stop`` and from earlier runs on the same journal."""
        return smtp_journal.deliveries(self.journal_path)

    def stats(self) -> dict[str, int]:
        """How often it ``connected``, ``accepted``, ``refused``, ``greylisted``, ``dropped`` and said that it
        is ``unavailable``."""
        return smtp_journal.counts(self.journal_path)

    def messages(self) -> list[EmailMessage]:
        """The accepted mails themselves; needs the ``messages`` directory."""
        if self._messages is None:
            raise RuntimeError("give a directory for `messages` to keep what is accepted")
        files = sorted(self._messages.glob("*.eml"))
        return [message_from_bytes(path.read_bytes(), policy=default) for path in files]


class SmtpServer(_Handle):
    """The server as a process. It ends with ``stop``, and also when this process dies.

    ``start`` waits until it listens and raises RuntimeError, with what it wrote to stderr, when it does not.
    """

    _process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError("the mail server is not running: call start() first")
        return self._process.pid

    def start(self, timeout: float = 20.0) -> Self:
        command = [sys.executable, "-m", "understudy.testing.smtp_server", "--until-stdin-closes"]
        command += ["--port", str(self._wanted_port), "--journal", str(self.journal_path)]
        command += ["--policy", self.policy.to_json()]
        if self._messages is not None:
            command += ["--messages", str(self._messages)]
        root = str(Path(__file__).parents[2])
        path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
        )
        stdout = self._process.stdout
        assert stdout is not None
        try:
            ready = stdout.readline() if select.select([stdout], [], [], timeout)[0] else b""
        except BaseException:  # Ctrl-C: nobody would stop it
            self.kill()
            raise
        if not ready:
            self._process.kill()
            said = self._close().decode(errors="replace").strip()
            raise RuntimeError(f"the mail server did not start: {said or f'no answer in {timeout} s'}")
        self._port = json.loads(ready)["port"]
        return self

    def stop(self) -> None:
        """SIGTERM, and wait for the end. Does nothing when it is not running."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        self._end(signal.SIGKILL)

    def _end(self, signum: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(signum)
            self._close()

    def _close(self) -> bytes:
        process, self._process, self._port = self._process, None, None
        assert process is not None
        try:
            return process.communicate(timeout=20)[1]
        except subprocess.TimeoutExpired:
            process.kill()
            return process.communicate()[1]


class SmtpThread(_Handle):
    """The server in a thread of this process."""

    _thread: threading.Thread | None = None

    def start(self) -> Self:
        started: queue.SimpleQueue[int | BaseException] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, args=(started,), name="smtp-server", daemon=True)
        self._thread.start()
        answer = started.get()
        if isinstance(answer, BaseException):
            self._thread.join()
            self._thread = None
            raise answer
        self._port = answer
        return self

    def stop(self) -> None:
        """Cut open connections and wait for the end. Does nothing when it is not running."""
        if self._thread is not None:
            self._loop.call_soon_threadsafe(self._over.set)
            self._thread.join()
            self._thread = self._port = None

    def _run(self, started: queue.SimpleQueue[int | BaseException]) -> None:
        try:
            asyncio.run(self._serve(started))
        except BaseException as exc:  # noqa: BLE001 - handed to the thread that waits in start()
            started.put(exc)

    async def _serve(self, started: queue.SimpleQueue[int | BaseException]) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        with Journal(self.journal_path) as journal:
            serving_now = serving(self.policy, journal, self.host, self._wanted_port, self._messages)
            async with serving_now as port:
                started.put(port)
                await self._over.wait()
