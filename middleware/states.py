"""State and result of every message, by id (S01-S19).

Before the body the message is taken hold of (and STARTED is shown); after it the outcome gets the state with the
result, or with the exception and its traceback.
"""

from __future__ import annotations

import os
import socket
from typing import Any

import dramatiq
from dramatiq import Broker, Middleware
from dramatiq.middleware import SkipMessage

from understudy import clock, serialization
from understudy.actors import declared
from understudy.brokers.outbox import unpack
from understudy.brokers.settlement import HeldMessage
from understudy.durations import to_millis
from understudy.errors import (
    GuardUnavailable,
    HandBack,
    MaxRetriesExceeded,
    ResultTooLarge,
    Revoked,
    SerializationError,
    ServerUnavailable,
)
from understudy.exceptions import encode_exception, format_traceback
from understudy.outcome import Disposition
from understudy.states import State

from .executions import of, opened


class States(Middleware):
    """Keeps the record. A guard too: without a hold on the message the body does not run (P12)."""

    @property
    def actor_options(self) -> set[str]:
        return {"result_ttl", "track_started", "ignore_result"}

    def before_process_message(self, broker: Broker, message: Any) -> None:
        held, settling = of(broker, message)
        execution = opened(held)
        try:
            begun = settling.records.begin(
                held.message_id,
                token=execution.token,
                actor=held.actor_name,
                queue=held.queue_name,
                worker=_worker(),
                track=declared(execution.actor).track_started,
                retries=held.retries,
                entry=held.entry,
                scope=execution.items_scope,
                claim=execution.claim_key,
            )
        except ServerUnavailable as error:
            raise GuardUnavailable(f"the message could not be taken hold of: {error}") from error
        if begun.held:
            execution.begun = True
            execution.last_info = begun.info
            return
        execution.duplicate = True
        if begun.verdict == "unclaimed":
            raise HandBack("another delivery of this message was faster")
        if begun.verdict == "settled":
            unpack(held, begun.outbox)
            raise SkipMessage("a process died after it had recorded what became of this; the rest is done now")
        if begun.verdict == "stale":
            execution.superseded = True
            raise SkipMessage("a later attempt of this message is on its way")
        raise SkipMessage(f"this message has ended in {begun.state} already")

    def after_process_message(
        self, broker: Broker, message: Any, *, result: Any = None, exception: BaseException | None = None
    ) -> None:
        held, settling = of(broker, message)
        outcome = held.outcome
        if held.execution is not None:
            for part in held.execution.contributors:
                part.contribute(outcome, exception)
        if outcome.disposition is Disposition.HAND_BACK and (held.execution is None or not held.execution.begun):
            return  # it was not let in: as if nothing had happened
        outcome.fields.update(actor=held.actor_name, queue=held.queue_name, retries=held.retries)
        if exception is None:
            exception = self._succeed(held, result, settling.settings.max_result_size)
        if exception is None or outcome.disposition is Disposition.HAND_BACK:
            return
        outcome.state = State.RETRY if outcome.disposition is Disposition.RETRY else State.FAILURE
        shown = _shown(held, exception)
        outcome.fields["exception"] = b"" if shown is None else encode_exception(shown)
        outcome.fields["traceback"] = format_traceback(exception)
        outcome.fields["result"] = b""
        if outcome.state is State.RETRY:
            outcome.fields["next_run"] = to_millis(clock.now() + outcome.delay)

    def after_skip_message(self, broker: Broker, message: Any) -> None:
        """Somebody else's ``SkipMessage``: nobody shall wait in vain (S12, E02)."""
        held, _ = of(broker, message)
        execution, outcome = held.execution, held.outcome
        if outcome.state is not None or (execution is not None and execution.duplicate):
            return
        outcome.fields.update(actor=held.actor_name, queue=held.queue_name, retries=held.retries)
        if execution is not None and execution.begun and not held.failed:
            for part in execution.contributors:
                part.contribute(outcome, None)
            self._succeed(held, None, 1_024)
            return
        outcome.state = State.REVOKED
        outcome.fields["exception"] = encode_exception(Revoked("it was skipped before it ran"))

    def _succeed(self, held: HeldMessage, result: Any, limit: int) -> Exception | None:
        """Record the result; an exception when it cannot be recorded, which fails the message (S18)."""
        outcome = held.outcome
        if held.execution is not None and declared(held.execution.actor).ignore_result:
            result = None
        try:
            data = serialization.dumps(result, root="result")
            if len(data) > limit:
                raise ResultTooLarge(
                    f"the result is {len(data):,} bytes when encoded, the limit is {limit:,}; store it elsewhere "
                    "and return its name, or raise UNDERSTUDY_MAX_RESULT_SIZE"
                )
        except (SerializationError, ResultTooLarge) as error:
            outcome.follow_ups.clear()
            outcome.decide(Disposition.FAILED, reason=str(error))
            held.fail()
            return error
        outcome.state = State.SUCCESS
        outcome.fields.update(result=data, exception=b"", traceback=b"", next_run=b"")
        return None


def _worker() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def _shown(held: HeldMessage, exception: BaseException) -> BaseException | None:
    """What readers see of ``dramatiq.Retry``: the exception that it was raised from (R01), else nothing while it
    is retried and ``MaxRetriesExceeded`` at the end (R02, R03). Anything else is shown as it is."""
    if not isinstance(exception, dramatiq.Retry):
        return exception
    if exception.__cause__ is not None:
        return exception.__cause__
    if held.outcome.disposition is Disposition.RETRY:
        return None
    text = f"actor {held.actor_name} asked for one more run of message {held.message_id}, which has had all of them"
    return MaxRetriesExceeded(f"{text}: {exception}" if str(exception) else text)
