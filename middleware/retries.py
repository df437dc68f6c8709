"""Decides what becomes of a message whose body raised.

Nothing is retried unless the actor names a policy (R04). What is not the message's fault burns no attempt: a
worker that stops, a guard or a server that cannot be asked.
"""

from __future__ import annotations

import logging
from typing import Any

import dramatiq
from dramatiq import Broker, Middleware
from dramatiq.middleware import Shutdown, TimeLimitExceeded

from understudy.actors import declared
from understudy.brokers.settlement import HeldMessage
from understudy.errors import (
    HandBack,
    HookFailed,
    LeaseLost,
    PoisonMessage,
    RemoteError,
    ServerUnavailable,
    TaskError,
)
from understudy.execution import HANDED_BACK
from understudy.options import Retry
from understudy.outcome import Disposition

from .executions import of

logger = logging.getLogger(__name__)

#: Seconds before a message comes back that could not run because the server did not answer.
AFTER_AN_OUTAGE = 1.0
#: Never retried: the time is over (T06), or somebody has decided.
FINAL = (TimeLimitExceeded, HookFailed, TaskError)


class Retries(Middleware):
    """Last in the stack, so that it decides first when the body has ended."""

    @property
    def actor_options(self) -> set[str]:
        return {"retry", "throws"}

    def after_process_message(
        self, broker: Broker, message: Any, *, result: Any = None, exception: BaseException | None = None
    ) -> None:
        held, _ = of(broker, message)
        if exception is None:
            held.outcome.decide(Disposition.DONE)
            return
        self._decide(held, exception)
        outcome = held.outcome
        if outcome.disposition in (Disposition.FAILED, Disposition.DEAD):
            held.fail()
        logger.info(
            "%s: %s after %s%s",
            held,
            outcome.disposition,
            type(exception).__name__,
            f", again in {outcome.delay:.1f} s" if outcome.delay else "",
        )

    def _decide(self, held: HeldMessage, exception: BaseException) -> None:
        outcome = held.outcome
        name = type(exception).__name__
        execution = held.execution
        if execution is not None and execution.terminated and not isinstance(exception, LeaseLost | ServerUnavailable):
            # Whatever the body made of it: it was told to end, and is not run again (V02).
            outcome.decide(Disposition.DONE, reason=execution.terminated)
        elif isinstance(exception, HandBack):
            outcome.decide(Disposition.HAND_BACK, delay=exception.delay, reason=exception.reason)
            if execution is not None and execution.begun:
                held.options[HANDED_BACK] = True  # the next delivery can see that its body began before (S14)
        elif isinstance(exception, ServerUnavailable):
            outcome.decide(Disposition.HAND_BACK, delay=AFTER_AN_OUTAGE, reason=str(exception))
        elif isinstance(exception, Shutdown):
            outcome.decide(Disposition.HAND_BACK, reason="the worker is stopping")
        elif isinstance(exception, LeaseLost):
            # If the message is held elsewhere the commit is refused; if only its claim is, it comes back and asks.
            outcome.decide(Disposition.HAND_BACK, reason=name)
        elif isinstance(exception, PoisonMessage):
            outcome.decide(Disposition.DEAD, reason=str(exception))
            outcome.poison = True
        else:
            self._retry_or_fail(held, exception)

    def _retry_or_fail(self, held: HeldMessage, exception: BaseException) -> None:
        actor = held.execution.actor if held.execution is not None else None
        policy = declared(actor).retry if actor is not None else None
        asked = isinstance(exception, dramatiq.Retry)
        if asked and policy is None:
            policy = Retry()
        done_before = held.retries
        covered = policy is not None and (asked or policy.covers(exception))
        # A stand-in is whatever the body raised, in a class that is not known here.
        final = isinstance(exception, FINAL) and not isinstance(exception, RemoteError)
        if policy is None or not covered or final or not policy.allows(done_before):
            held.outcome.decide(Disposition.FAILED, reason=type(exception).__name__)
            return
        delay = policy.delay(done_before)
        if isinstance(exception, dramatiq.Retry) and exception.delay is not None:
            delay = exception.delay / 1000
        held.options["retries"] = done_before + 1
        held.options.pop(HANDED_BACK, None)
        held.outcome.decide(Disposition.RETRY, delay=delay, reason=type(exception).__name__)
