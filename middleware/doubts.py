"""Records that a body begins of which nothing is repeated that is in doubt: ``Idempotency(on_doubt="skip")``."""

from __future__ import annotations

from typing import Any

import dramatiq
from dramatiq import Broker, Middleware

from understudy.actors import Actor, declared
from understudy.errors import GuardUnavailable, ServerUnavailable

from .executions import of, opened


class Doubts(Middleware):
    """Below all guards: what they send back has not begun, and leaves nothing in doubt when its worker dies. That it
    begins is on the server before it does, at the price of one round trip."""

    def concerns(self, actor: dramatiq.Actor[..., Any]) -> bool:
        """Whether an actor says that what is in doubt is not repeated."""
        return _skips(actor)

    def before_process_message(self, broker: Broker, message: Any) -> None:
        held, settling = of(broker, message)
        execution = opened(held)
        if execution.claim_key is None or not _skips(execution.actor):
            return
        try:
            if settling.records.begin(execution.claim_key, execution.hold):
                return
        except ServerUnavailable as error:
            raise GuardUnavailable(f"that the body begins could not be recorded, so it did not: {error}") from error
        raise execution.hold_lost()


def _skips(actor: dramatiq.Actor[..., Any] | Actor[..., Any]) -> bool:
    policy = declared(actor).idempotency
    return policy is not None and policy.on_doubt == "skip"
