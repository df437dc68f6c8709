"""Schedulers and jobs for tests that drive them step by step."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from freezegun.api import FrozenDateTimeFactory

from understudy import actor, fire_time, periodic
from understudy.actors import Actor
from understudy.brokers.redis import RedisBroker
from understudy.scheduler.loop import Scheduler
from understudy.scheduler.overview import Overview, Run
from understudy.testing.enqueued import Enqueued

Drain = Callable[..., int]


def declare(
    name: str = "job", *, seen: list[Any] | None = None, actor_options: dict[str, Any] | None = None, **options: Any
) -> Actor[[], None]:
    """A periodic job whose body notes its fire time."""

    @periodic(**options)
    @actor(actor_name=name, **(actor_options or {}))
    def body() -> None:
        if seen is not None:
            seen.append(fire_time())

    return body


def go_to(freezer: FrozenDateTimeFactory, moment: str) -> None:
    """Move frozen time to ``moment``, ISO 8601 with its offset."""
    freezer.move_to(datetime.fromisoformat(moment))


def ids(enqueued: Enqueued) -> list[str]:
    """The ids of the messages that were sent, in order."""
    return [sent.message.message_id for sent in enqueued.sent]


def fires(enqueued: Enqueued, name: str | None = None) -> list[str]:
    """The fire times of the messages that were sent, from their ids."""
    return [id.partition("@")[2] for id in ids(enqueued) if name is None or id.startswith(f"{name}@")]


def runs(broker: RedisBroker, name: str = "job") -> list[Run]:
    """What is remembered of a job, the earliest first."""
    return Overview(broker.storage).runs(name, 1_000)[::-1]


def live(freezer: FrozenDateTimeFactory, *schedulers: Scheduler, seconds: float, most: int = 100_000) -> None:
    """Let time pass as schedulers see it that wake exactly when they want to."""
    left = seconds
    for _ in range(most):
        wait = min(scheduler.run_once() for scheduler in schedulers)
        if left <= 0:
            return
        step = min(max(wait, 0.001), left)
        freezer.tick(step)
        left -= step
    raise AssertionError(f"more than {most} steps: does a scheduler never sleep?")
