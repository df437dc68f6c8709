"""Keeps messages from running whose time is over (E02-E04).

``expires`` counts from the moment the message is enqueued; from then on ``expires_at`` travels with it, through delays
and retries. A message that is found too late, when a worker would have run it, is REVOKED. One that runs is let run.

A workflow that is resumed gives its steps their time anew: as much as they had, from then on. Nothing is rewritten for
that: a step that seems too late asks its workflow.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import dramatiq
from dramatiq import Broker, Message, Middleware
from dramatiq.middleware import SkipMessage

from understudy import clock
from understudy.brokers.settlement import HeldMessage, SettlingBroker
from understudy.errors import GuardUnavailable, ServerUnavailable
from understudy.options import lookup
from understudy.plans.place import WORKFLOW, workflow_of
from understudy.plans.reading import Flow

from .executions import of, opened
from .states import end_as_revoked


class Expiry(Middleware):
    """A guard that asks nobody, but for steps that seem too late. Below ``Idempotency``: what it keeps from running
    gives back its claim."""

    @property
    def actor_options(self) -> set[str]:
        return {"expires", "expires_at"}

    def concerns(self, actor: dramatiq.Actor[..., Any]) -> bool | Collection[str]:
        return actor.options.get("expires") is not None or self.actor_options

    def before_enqueue(self, broker: Broker, message: Message[Any], delay: int | None) -> None:
        actor = broker.actors.get(message.actor_name)
        deadline = expires_at(message, {} if actor is None else actor.options, since=clock.now())
        if deadline is not None:
            message.options["expires_at"] = deadline

    def before_process_message(self, broker: Broker, message: Any) -> None:
        held, settling = of(broker, message)
        actor = opened(held).actor
        deadline = _deadline(held, actor.options)
        if deadline is None or clock.now() < deadline:
            return
        if WORKFLOW not in held.options or clock.now() >= _anew(settling, held, actor.options, deadline):
            end_as_revoked(held, "expired")
            raise SkipMessage("it has expired")

    def bars(self, broker: Broker, held: HeldMessage) -> bool:
        """Whether the time of a message is known to be over. That of a step may have begun anew."""
        deadline = None if WORKFLOW in held.options else _deadline(held, broker.actors[held.actor_name].options)
        return deadline is not None and clock.now() >= deadline


def _deadline(held: HeldMessage, actor: dict[str, Any]) -> float | None:
    # A sender that has no middleware has not said when it is over: it is counted from when the message was made.
    return expires_at(held._message, actor, since=held.message_timestamp / 1000)


def _anew(broker: SettlingBroker, held: HeldMessage, actor: dict[str, Any], deadline: float) -> float:
    """When the time of a step is over, counted from the last resume of its workflow if there was one."""
    try:
        at = Flow(broker.storage, workflow_of(held.message_id)).ask("resumed_at")[0]
    except ServerUnavailable as error:
        raise GuardUnavailable(
            f"whether its workflow was resumed could not be asked, so the step did not run: {error}"
        ) from error
    if at is None:
        return deadline
    period = lookup("expires", held.options, actor, None)
    # As of a dead letter that is requeued: with as much time as it had when it was made.
    span = (deadline - held.message_timestamp / 1000) if period is None else float(period) / 1000
    return float(at) / 1000 + span


def expires_at(message: Message[Any], actor: dict[str, Any], *, since: float) -> float | None:
    """When the time of ``message`` is over, in seconds since the epoch; None when it has no end."""
    fixed = message.options.get("expires_at")
    if fixed is not None:
        return float(fixed)
    period = lookup("expires", message.options, actor, None)
    return None if period is None else since + float(period) / 1000
