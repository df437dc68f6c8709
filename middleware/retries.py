"""Decides what becomes of a message whose body raised.

Nothing is retried unless the actor names a policy (R04). What is not the message's fault burns no attempt: a
worker that stops, a guard or a server that cannot be asked.
"""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

import dramatiq
from dramatiq import Broker, Message, Middleware
from dramatiq.middleware import Shutdown, TimeLimitExceeded

from understudy.actors import declared
from understudy.brokers.settlement import HeldMessage
from understudy.errors import (
    HandBack,
    HookFailed,
    LeaseLost,
    NotYet,
    PoisonMessage,
    RemoteError,
    RetryAsked,
    ServerUnavailable,
    TaskError,
)
from understudy.exception_groups import members, names_groups
from understudy.execution import HANDED_BACK
from understudy.options import ASKED_FOR, Retry
from understudy.outcome import Disposition
from understudy.plans.place import TAKES
from understudy.retry_after import told_wait
from understudy.retrying import allowed, new_arguments

from .executions import of
from .idempotency import key_of

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
            if held.execution is not None and held.execution.again is not None:
                self._also_again(held, held.execution.again)
            return
        if held.execution is not None:
            held.execution.failure = _shown(exception)
        self._decide(held, exception)
        outcome = held.outcome
        if outcome.disposition is Disposition.HAND_BACK and held.execution is not None and held.execution.entered:
            held.options[HANDED_BACK] = True  # the next delivery can see that its body began before (S14)
        if outcome.disposition in (Disposition.FAILED, Disposition.DEAD):
            held.fail()
        logger.log(
            logging.DEBUG if isinstance(exception, NotYet) else logging.INFO,
            "%s: %s after %s%s",
            held,
            outcome.disposition,
            _name(exception),
            f", again in {outcome.delay:.1f} s" if outcome.delay else "",
        )

    def _decide(self, held: HeldMessage, exception: BaseException) -> None:
        outcome = held.outcome
        name = _name(exception)
        execution = held.execution
        if execution is not None and execution.terminated and not isinstance(exception, LeaseLost | ServerUnavailable):
            # Whatever the body made of it: it was told to end, and is not run again (V02).
            outcome.decide(Disposition.DONE, reason=execution.terminated)
        elif isinstance(exception, HandBack):
            outcome.decide(Disposition.HAND_BACK, delay=exception.delay, reason=exception.reason)
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
            policy = ASKED_FOR
        covered = policy is not None and (asked or _covers(actor, policy, exception))
        # A stand-in is whatever the body raised, in a class that is not known here.
        final = any(isinstance(one, FINAL) and not isinstance(one, RemoteError) for one in members(exception))
        if policy is None or not covered or final or not _allowed(held, policy, exception):
            held.outcome.decide(Disposition.FAILED, reason=_name(exception))
            return
        delay = _wait(held, policy, exception)
        again = _again(held, exception) if isinstance(exception, RetryAsked) else None
        held.options["retries"] = held.retries + 1
        held.options.pop(HANDED_BACK, None)
        held.outcome.decide(Disposition.RETRY, delay=delay, reason=_name(exception))
        if again is not None and TAKES in again.options:
            # Its arguments are all that it gets: the result of the step before is among them, or was replaced.
            options = {name: value for name, value in again.options.items() if name != TAKES}
            again = dataclasses.replace(again, options=options)
        held.outcome.again = again

    def _also_again(self, held: HeldMessage, asked: RetryAsked) -> None:
        """The body has returned, and asked for another run all the same (R18)."""
        held.options.pop(HANDED_BACK, None)
        again = _again(held, asked) or held._message
        again = dataclasses.replace(again, options={**again.options, "retries": held.retries + 1})
        policy = ASKED_FOR if held.execution is None else declared(held.execution.actor).retry or ASKED_FOR
        held.outcome.follow_ups.append((again, _wait(held, policy, asked)))


def _covers(actor: Any, policy: Retry, exception: BaseException) -> bool:
    """The actor's table of errors goes before its policy, for each member of a group."""
    errors = declared(actor).errors if actor is not None else None
    verdict = None if errors is None else errors.verdict(exception)
    if verdict is None and isinstance(exception, BaseExceptionGroup) and not names_groups(policy.on):
        return all(_covers(actor, policy, member) for member in exception.exceptions)
    return policy.covers(exception) if verdict is None else bool(verdict.startswith("retry"))


def _allowed(held: HeldMessage, policy: Retry, exception: BaseException) -> bool:
    if held.execution is not None and isinstance(exception, RetryAsked):
        return allowed(held.execution, exception)
    return policy.allows(held.retries)


def _wait(held: HeldMessage, policy: Retry, exception: BaseException) -> float:
    """Seconds: what the body says, else what the exception says, else what the policy says."""
    if isinstance(exception, dramatiq.Retry) and exception.delay is not None:
        return exception.delay / 1000
    told = held.execution.told_wait if held.execution is not None else None
    return policy.delay(held.retries, told=told_wait(exception) if told is None else told)


def _again(held: HeldMessage, asked: RetryAsked) -> Message[Any] | None:
    """The message with the arguments that the body asks for; None when they stay."""
    changed = new_arguments(asked)
    if changed is None or held.execution is None:
        return None
    policy = declared(held.execution.actor).idempotency
    if policy is not None and policy.key is not None:
        # It stays the same work: the key of the first arguments is claimed, and no other.
        held.options["idempotency_key"] = key_of(held, held.execution.actor, policy)
    args, kwargs = changed
    return dataclasses.replace(held._message, args=args, kwargs=kwargs)


def _shown(exception: BaseException) -> BaseException:
    """What readers see: the reason of a retry that was asked for, else the exception."""
    cause = exception.__cause__ if isinstance(exception, dramatiq.Retry) else None
    return exception if cause is None else cause


def _name(exception: BaseException) -> str:
    """The class of what readers see."""
    return type(_shown(exception)).__name__
