"""What every broker of Understudy does with the end of an execution: commit its outcome, then acknowledge.

Order: the record (state, result, marks, claim, and the outbox) in one script; then the retry, the hand-back or the
follow-up messages; then the acknowledgement. A worker that dies in between leaves the message unacknowledged, so it
is delivered again, finds what was committed and does the rest. An outage in between is waited out: an outcome is
never dropped.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from dramatiq import Broker, Message
from dramatiq.errors import ActorNotFound, BrokerConnectionError

from understudy import clock
from understudy.actors import declared
from understudy.durations import to_millis
from understudy.errors import ServerUnavailable
from understudy.exceptions import encode_exception
from understudy.outcome import Disposition
from understudy.records import Records
from understudy.settings import Settings
from understudy.states import State
from understudy.storage.client import Storage

from . import outbox
from .held import HeldMessage

logger = logging.getLogger(__name__)

#: Seconds between two attempts to commit while the server is away: the first, and the longest.
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
#: Seconds between two looks for a worker that knows the actor of a message.
UNKNOWN_ACTOR_PAUSE = 5.0


class CommittingBroker(Broker):
    """The commit. A transport adds ``transmit``, and consumers that call ``commit`` for ``ack`` and ``nack``.

    Attributes:
      stopping: set when this process has been told to stop; bodies hand themselves back at the next item.
      refused: how many outcomes were refused because another worker held the message.
      pause: how an outage is waited out, ``time.sleep`` but for tests.
    """

    storage: Storage
    records: Records
    settings: Settings

    def prepare(self, storage: Storage, settings: Settings) -> None:
        """Set what the mixin needs; called by the constructors."""
        self.storage = storage
        self.records = Records(storage)
        self.settings = settings
        self.stopping = threading.Event()
        self.refused = 0
        self.pause: Callable[[float], None] = time.sleep

    def transmit(self, message: Message[Any], *, delay: int | None, entry: str) -> Message[Any]:
        """Put ``message`` on its queue as ``entry``, in ``delay`` milliseconds. Safe to repeat for the same entry.

        Raises:
          ServerUnavailable: it may or may not have been put.
        """
        raise NotImplementedError

    def commit(self, held: HeldMessage, *, ack: Callable[[], None], nack: Callable[[], None]) -> None:
        """Commit what was collected on ``held`` and acknowledge it. Returns when that is done."""
        outcome = held.outcome
        if held.execution is None and isinstance(held._exception, ActorNotFound):
            self._unknown_actor(held, held._exception)
        if outcome.disposition is None:
            outcome.decide(Disposition.FAILED if held.failed else Disposition.DONE)
        verdict = self._record(held)
        if verdict == "unclaimed":
            # A twin took the key while this process was silent. What it did counts; the message asks for it.
            logger.warning("%s: its idempotency claim belongs to another message now; it goes back", held)
            self.undo(held)
            outcome.decide(Disposition.HAND_BACK, reason="its claim was lost")
            verdict = self._record(held)
        if verdict == "lost":
            if held.execution is None or not held.execution.duplicate:
                self.refused += 1
                logger.warning("%s: another worker has it now; this outcome was refused and has no effect", held)
            self._insist(ack, held)
            return
        for message, delay, entry in outbox.letters(held):
            wait = None if delay is None else to_millis(delay)
            self._insist(partial(self.transmit, message, delay=wait, entry=entry), held)
        dead = outcome.disposition in (Disposition.FAILED, Disposition.DEAD)
        self._insist(nack if dead else ack, held)

    def undo(self, held: HeldMessage) -> None:
        """Take back what was collected on ``held``, except the marks of items: what is done is done."""
        held.outcome.void()
        held.failed = False
        if held.execution is not None:
            held.options["retries"] = held.execution.retries

    def _unknown_actor(self, held: HeldMessage, error: ActorNotFound) -> None:
        """In a rolling deploy another worker may know the actor; after a while nobody shall wait in vain (S20)."""
        now = clock.now()
        since = float(held.options.setdefault("unknown_since", now))
        left = since + self.settings.unknown_actor_grace - now
        if left > 0:
            held.failed = False
            held.outcome.decide(Disposition.HAND_BACK, delay=min(left, UNKNOWN_ACTOR_PAUSE), reason=str(error))
            return
        held.outcome.decide(Disposition.DEAD, reason=str(error))
        held.outcome.state = State.FAILURE
        held.outcome.fields.update(actor=held.actor_name, queue=held.queue_name, exception=encode_exception(error))

    def _record(self, held: HeldMessage) -> str:
        outcome, execution = held.outcome, held.execution
        begun = execution is not None and execution.begun
        if not begun and not outcome.records_anything:
            return "committed"
        if begun or outcome.state is not None:
            letters = outbox.pack(held)
            if letters:
                outcome.fields.update(outbox=letters, outbox_entry=held.entry)
        actor = self.actors.get(held.actor_name)
        ttl = declared(actor).result_ttl if actor is not None else None
        verdict = "committed"

        def settle() -> None:
            nonlocal verdict
            verdict = self.records.settle(
                held.message_id,
                outcome,
                token=execution.token if execution else held.entry,
                begun=begun,
                scope=(execution.items_scope if execution else "") or held.message_id,
                claim=(execution.claim_key if execution else None) or "-",
                ttl=self.settings.result_ttl if ttl is None else ttl,
            )

        self._insist(settle, held)
        return verdict

    def _insist(self, act: Callable[[], Any], held: HeldMessage) -> None:
        """Repeat ``act``, which is safe to repeat, until the server answers."""
        pause = FIRST_PAUSE
        while True:
            try:
                act()
                return
            except (ServerUnavailable, BrokerConnectionError) as error:
                logger.warning("%s: its outcome waits for the server: %s", held, error)
                self.pause(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
