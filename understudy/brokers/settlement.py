"""How the hooks of middleware lead to an outcome: what they raise, and what they enqueue.

Dramatiq logs what a hook raises and goes on. Here a hook before the body that raises keeps the body from running,
and one after it voids the outcome; a message that is enqueued by a hook after the body joins the outcome.
"""

from __future__ import annotations

import logging
import threading
import uuid
from typing import Any

import dramatiq
from dramatiq import Message
from dramatiq.middleware import MiddlewareError

from understudy.errors import HookFailed, MessageTooLarge, ServerUnavailable, UnderstudyError
from understudy.exceptions import encode_exception, format_traceback
from understudy.outcome import Disposition
from understudy.settings import Settings
from understudy.states import State
from understudy.storage.client import Storage

from .commit import CommittingBroker
from .held import ENTRY, HeldMessage, plain

__all__ = ["HeldMessage", "SettlingBroker"]

logger = logging.getLogger(__name__)

#: Seconds before a message comes back whose outcome is void because the server did not answer.
AFTER_AN_OUTAGE = 1.0


class SettlingBroker(CommittingBroker):
    """Mixed into a Dramatiq broker: its hooks and its ``enqueue`` serve the outcome."""

    def prepare(self, storage: Storage, settings: Settings) -> None:
        super().prepare(storage, settings)
        self._collecting = threading.local()

    # -- hooks -------------------------------------------------------------------------------------------

    def emit_before(self, signal: str, *args: Any, **kwargs: Any) -> None:
        """Guards fail closed (P12): whatever a hook raises before a body keeps the body from running."""
        if signal != "process_message":
            super().emit_before(signal, *args, **kwargs)
            return
        for middleware in self.middleware:
            try:
                middleware.before_process_message(self, *args, **kwargs)
            except (MiddlewareError, UnderstudyError):
                raise
            except Exception as error:
                raise HookFailed(_hook_text(middleware, "before_process_message", error)) from error

    def emit_after(self, signal: str, *args: Any, **kwargs: Any) -> None:
        """An exception in a hook after the body voids the outcome: it is never acknowledged as done."""
        if signal not in ("process_message", "skip_message"):
            super().emit_after(signal, *args, **kwargs)
            return
        held: HeldMessage = args[0]
        failure: HookFailed | None = None
        self._collecting.held = held
        try:
            for middleware in reversed(self.middleware):
                try:
                    getattr(middleware, f"after_{signal}")(self, *args, **kwargs)
                except Exception as error:
                    name = _hook_text(middleware, f"after_{signal}", error)
                    logger.error("%s: %s; its outcome is void", held, name, exc_info=True)
                    if failure is None:
                        failure = HookFailed(name)
                        failure.__cause__ = error
        finally:
            self._collecting.held = None
        if failure is not None:
            self._void(held, failure)

    def _void(self, held: HeldMessage, failure: HookFailed) -> None:
        self.undo(held)
        outcome, execution = held.outcome, held.execution
        claimed = execution is not None and execution.claim_key is not None
        if isinstance(failure.__cause__, ServerUnavailable):
            outcome.decide(Disposition.HAND_BACK, delay=AFTER_AN_OUTAGE, reason=str(failure))
            if claimed:
                outcome.claim, outcome.claim_ttl = "keep", self.settings.result_ttl
            return
        outcome.decide(Disposition.DEAD, reason=str(failure))
        outcome.state = State.FAILURE
        outcome.fields.update(
            actor=held.actor_name,
            queue=held.queue_name,
            retries=held.retries,
            exception=encode_exception(failure),
            traceback=format_traceback(failure),
        )
        if claimed:
            outcome.claim = "release"
        held.fail()

    # -- enqueue -----------------------------------------------------------------------------------------

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        """Enqueue a message; ``delay`` in milliseconds, as everywhere at Dramatiq's edge.

        Called by middleware while an outcome is being collected it joins that outcome: the same message again
        is its retry, any other is a follow-up.

        Raises:
          MessageTooLarge, SerializationError: nothing was enqueued.
          ServerUnavailable: the server could not be asked.
        """
        message = plain(message)
        if ENTRY not in message.options:
            self._check_size(message)  # what was accepted once is not measured again
        held: HeldMessage | None = getattr(self._collecting, "held", None)
        if held is None:
            return self.transmit(message, delay=delay, entry=uuid.uuid4().hex)
        seconds = None if delay is None else delay / 1000
        if message.message_id == held.message_id:
            held.outcome.decide(Disposition.RETRY, delay=seconds or 0.0, reason="retry")
        else:
            held.outcome.follow_ups.append((message, seconds))
        return message

    def _check_size(self, message: Message[Any]) -> None:
        limit, size = self.settings.max_message_size, len(message.encode())
        if size > limit:
            raise MessageTooLarge(
                f"the message is {size:,} bytes when encoded, the limit is {limit:,}; send it in parts, send "
                "the name of a file or table instead, or raise UNDERSTUDY_MAX_MESSAGE_SIZE"
            )


def _hook_text(middleware: dramatiq.Middleware, hook: str, error: Exception) -> str:
    return f"{type(middleware).__name__}.{hook} raised {type(error).__name__}: {error}"
