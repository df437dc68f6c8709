"""Keeps revoked messages from running, and ends their bodies when that is asked for (V01-V07).

Asking the server for every message would cost a round trip, so each worker process keeps a copy of what is revoked, and
hears of changes on a channel. The copy is believed for ``BELIEVED`` seconds after the server has answered on the very
connection on which it tells: what was told before the answer has been heard. While it cannot be believed the server is
asked for each message, and if it does not answer, the message waits (P12).

So a message that is revoked while a worker is just taking it up, or within ``BELIEVED`` seconds of a connection that
died in silence, may begin all the same. Its record says REVOKED by then: its body is ended as with ``terminate``, and
whatever it leads to is refused. An idempotent actor does not even begin: its claim reads the record.
"""

from __future__ import annotations

import logging
import math
import threading
from typing import Any

from dramatiq import Broker, Middleware
from dramatiq.middleware import SkipMessage

from understudy import clock
from understudy.brokers.settlement import HeldMessage, SettlingBroker
from understudy.errors import GuardUnavailable, ServerUnavailable
from understudy.revocations import Revocations

from .executions import of, opened
from .states import end_as_revoked
from .termination import Termination, names_of

logger = logging.getLogger(__name__)

#: Seconds between two questions whether the channel is alive, and for which an answer is believed.
INTERVAL, BELIEVED = 1.0, 2.5
#: Seconds after which everything is loaded anew, so that what is over does not stay in memory.
ANEW = 3600.0
#: Seconds before the next attempt to hear the server.
PAUSE = 0.5


class Revocation(Middleware):
    """The guard. Below ``Idempotency``: what it keeps from running gives back its claim."""

    def __init__(self, termination: Termination) -> None:
        self.termination = termination
        self._revoked: set[str] = set()
        self._believed_until = -math.inf
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def before_process_message(self, broker: Broker, message: Any) -> None:
        held, settling = of(broker, message)
        execution = opened(held)
        if self.is_revoked(settling, held):
            end_as_revoked(held, "revoked")
            execution.duplicate = True  # as a rule the record says so already, and the outcome adds nothing
            raise SkipMessage("it is revoked")

    def bars(self, broker: Broker, held: HeldMessage) -> bool:
        """Whether a message is revoked, as far as the copy says."""
        return clock.monotonic() < self._believed_until and not self._revoked.isdisjoint(names_of(held))

    def is_revoked(self, broker: SettlingBroker, held: HeldMessage) -> bool:
        """Whether a message is revoked, by the copy or by the server.

        Raises:
          GuardUnavailable: nobody knows.
        """
        ids = names_of(held)
        if clock.monotonic() < self._believed_until:
            return not self._revoked.isdisjoint(ids)
        try:
            return any(Revocations(broker.storage).holds(id) for id in ids)
        except ServerUnavailable as error:
            raise GuardUnavailable(
                f"it cannot be known whether the message is revoked, so the actor did not run: {error}"
            ) from error

    # -- the copy ----------------------------------------------------------------------------------------

    def after_worker_boot(self, broker: Broker, worker: Any) -> None:
        if isinstance(broker, SettlingBroker):
            self._stop.clear()
            self._thread = threading.Thread(target=self._run, args=(broker,), name="revocations", daemon=True)
            self._thread.start()

    def after_worker_shutdown(self, broker: Broker, worker: Any) -> None:
        self._stop.set()
        self._believed_until = -math.inf
        if self._thread is not None:
            self._thread.join(timeout=5)
            self._thread = None

    def run_once(self, broker: SettlingBroker) -> None:
        """Load what is revoked, and end what runs and should not. For whoever has no channel.

        Raises:
          ServerUnavailable: the server could not be asked.
        """
        revoked, stopped = set[str](), set[str]()
        for id, stops in Revocations(broker.storage).all():
            revoked.add(id)
            if stops:
                stopped.add(id)
        self._revoked = revoked
        self.termination.stop(stopped)

    def hear(self, told: bytes) -> None:
        """Something was revoked: ``b"stay ID"`` or ``b"stop ID"``."""
        order, _, id = told.decode().partition(" ")
        self._revoked.add(id)
        if order == "stop":
            self.termination.stop({id})

    def _run(self, broker: SettlingBroker) -> None:
        while not self._stop.is_set():
            try:
                self._listen(broker)
            except ServerUnavailable as error:
                logger.warning("revoked messages are asked for one by one until the server is heard again: %s", error)
            except Exception:
                logger.exception("revocations: unexpected error; going on")
            self._believed_until = -math.inf
            self._stop.wait(PAUSE)

    def _listen(self, broker: SettlingBroker) -> None:
        """Until the connection is lost, or it is time to load anew."""
        storage = broker.storage
        channel = storage.subscribe(storage.keys.revocations)
        try:
            # Loaded after subscribing, so that nothing is missed between the two.
            self.run_once(broker)
            end = clock.monotonic() + ANEW
            while not self._stop.is_set() and clock.monotonic() < end:
                asked = clock.monotonic()
                with storage.exchange("revocations"):
                    channel.ping()
                    self._hear_until(channel, asked + INTERVAL, asked)
                if self._believed_until < asked:
                    return  # it does not answer
                self.termination.run_once()
        finally:
            channel.close()

    def _hear_until(self, channel: Any, end: float, asked: float) -> None:
        while (left := end - clock.monotonic()) > 0 and not self._stop.is_set():
            told = channel.get_message(timeout=left)
            if told is None:
                continue
            if told["type"] == "pong":
                self._believed_until = asked + BELIEVED
            else:
                self.hear(told["data"])
