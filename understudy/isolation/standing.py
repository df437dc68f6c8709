"""What a body in a child finds in place of the worker's own: a broker, progress, the signs to stop. All of it asks."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import dramatiq
import dramatiq.broker
from dramatiq import Message

from understudy import clock
from understudy.brokers.redis import RedisBroker
from understudy.encoder import MessageEncoder
from understudy.execution import Execution
from understudy.outcome import Outcome
from understudy.progress import Reporter
from understudy.settings import Settings
from understudy.storage.remote import RemoteStorage

from .jobs import Answer, Question
from .page import Page
from .parcels import unpack
from .wire import Channel, Closed

#: Seconds for which the last answer is news: whoever asks whether to stop later than that asks the worker.
FRESH = 0.05


class Asker:
    """Asks the worker while a body runs.

    Attributes:
      shield: a context in which the body is not interrupted, so that no answer is left unread.
      stopping: the worker stops.
      execution: the execution that the questions are about; None between two.
    """

    def __init__(self, channel: Channel) -> None:
        self.shield: Callable[[], AbstractContextManager[object]] = nullcontext
        self.stopping = False
        self.execution: Execution | None = None
        self._channel = channel
        self._lock = threading.Lock()
        self._heard_at = 0.0

    def ask(self, what: str, *args: Any) -> Any:
        """The answer.

        Raises:
          RuntimeError: no body runs here.
          Exception: what the question met in the worker.
        """
        if self.execution is None:
            raise RuntimeError(
                "the message that this thread belonged to has ended; whatever a body starts must end with it"
            )
        with self.shield(), self._lock:
            answer = self._exchange(Question(what, args))
        self._heard_at = clock.monotonic()
        self.stopping = answer.stopping
        if self.execution is not None:
            self.execution.lost = self.execution.lost or answer.lost
            self.execution.terminated = answer.terminated
        if answer.error is not None:
            raise unpack(answer.error)
        return answer.value

    def begin(self, execution: Execution) -> None:
        """A body begins."""
        self.stopping = False
        self._heard_at = clock.monotonic()
        self.execution = execution

    def end(self) -> None:
        """It has ended: no question leaves from now on."""
        with self._lock:
            self.execution = None

    @property
    def told_to_stop(self) -> bool:
        """Whether the worker stops, as far as was known a moment ago."""
        if not self.stopping and self.execution is not None and clock.monotonic() - self._heard_at > FRESH:
            self.ask("news")
        return self.stopping

    def _exchange(self, question: Question) -> Answer:
        try:
            self._channel.send(question)
            answer: Answer = self._channel.receive()
        except Closed:
            os._exit(0)  # the worker is gone, and with it whatever could come of this body
        return answer


class Stopping(threading.Event):
    """Set when the worker stops."""

    def __init__(self, asker: Asker) -> None:
        super().__init__()
        self._asker = asker

    def is_set(self) -> bool:
        return self._asker.told_to_stop

    def wait(self, timeout: float | None = None) -> bool:
        deadline = None if timeout is None else clock.monotonic() + timeout
        while not self._asker.told_to_stop:
            left = FRESH if deadline is None else min(FRESH, deadline - clock.monotonic())
            if left <= 0:
                return False
            super().wait(left)  # it is never set: this is a sleep
        return True


class RemoteReporter(Reporter):
    """Progress of a body in a child. What is throttled is noted on the page, from which the worker takes it."""

    def __init__(self, execution: Execution, *, interval: float, asker: Asker, page: Page) -> None:
        super().__init__(execution, interval=interval)
        self._asker = asker
        self._page = page

    def _note(self, data: bytes) -> bool:
        self._pending = data
        return clock.monotonic() - self._written_at >= self._interval or not self._page.put(data)

    def _tell(self) -> None:
        with self._lock:
            self._written_at = clock.monotonic()
            self._page.clear()
            data = self._pending
        self._execution.confirm(self._asker.ask("progress", data))

    def flush(self) -> None:
        """Done by the worker."""

    def contribute(self, outcome: Outcome, exception: BaseException | None) -> None:
        """Done by the worker."""


class ChildBroker(RedisBroker):
    """The broker of a child. It carries nothing: the worker's does, so that a message may join the outcome there."""

    def __init__(self, asker: Asker, settings: Settings) -> None:
        super().__init__(RemoteStorage(asker.ask, namespace=settings.namespace), settings, middleware=[])
        self.asker = asker
        dramatiq.set_encoder(MessageEncoder())

    def adopt(self) -> None:
        """Take the place of the broker that imported modules have installed, with all actors on it."""
        installed = dramatiq.broker.global_broker
        if installed is None or installed is self:
            return
        if not self.middleware:
            for middleware in installed.middleware:
                self.add_middleware(middleware)
            # What a process needs before it runs bodies; the hooks around a message run in the worker.
            self.emit_after("process_boot")
        for actor in list(installed.actors.values()):
            actor.broker = self
            self.declare_actor(actor)
        dramatiq.set_broker(self)

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        try:
            sent: Message[Any] = self.asker.ask("enqueue", message, delay)
        except Exception:
            message.encode()  # says what cannot travel, if that is why
            raise
        return sent
