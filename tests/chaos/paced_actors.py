"""Actors under limits, for workers in processes of their own. Each delivery that asks for its turn is noted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dramatiq import Broker, Middleware

import tasks
from middleware.limits import Limits
from tests.chaos.journal import effect
from understudy import ConcurrencyLimit, Idempotency, RateLimit, actor, clock
from understudy.execution import current
from understudy.testing.conditions import wait_until

#: Seconds between two bodies of ``rarely``.
RARE = 1.5


class Asking(Middleware):
    """Notes who comes to the limits, whether it is let in or not."""

    def before_process_message(self, broker: Broker, message: Any) -> None:
        if message.actor_name != "free":
            effect(f"asks {message.args[0]} 0")


class Given(Middleware):
    """Notes when the server gave a turn, by its own clock."""

    def before_process_message(self, broker: Broker, message: Any) -> None:
        if message.turn is not None:
            effect(f"given {message.args[0]} {message.turn.due / 1_000:.6f}")


tasks.broker.add_middleware(Asking(), before=Limits)
tasks.broker.add_middleware(Given(), after=Limits)


@actor(queue_name="chaos", rate_limit=RateLimit(50, per=1, key="paced"))
def paced(name: str) -> int:
    """Notes when it began; returns how many attempts came before."""
    effect(f"begins {name} {clock.now():.6f}")
    return _retries()


@actor(queue_name="chaos", rate_limit=RateLimit(50, per=1, key="in a window", kind="window"))
def windowed(name: str) -> int:
    """The same, under a window."""
    effect(f"begins {name} {clock.now():.6f}")
    return _retries()


@actor(queue_name="chaos", rate_limit=RateLimit(1, per=RARE), idempotency=Idempotency(key="{name}"))
def rarely(name: str) -> int:
    """One at a time, and each once."""
    effect(f"begins {name} {clock.now():.6f}")
    return _retries()


@actor(queue_name="chaos", concurrency_limit=ConcurrencyLimit(2, key="place"))
def placed(name: str, gate: str) -> int:
    """Notes when it begins and ends, which is when there is a file ``gate``."""
    effect(f"begins {name} {clock.now():.6f}")
    wait_until(Path(gate).exists, timeout=60, what=gate)
    effect(f"ends {name} {clock.now():.6f}")
    return _retries()


@actor(queue_name="chaos")
def free() -> str:
    """Under no limit."""
    return "free"


def _retries() -> int:
    execution = current()
    assert execution is not None
    return execution.retries
