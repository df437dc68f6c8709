"""What a worker does not keep to itself: messages that only wait here while others are idle, and stuck bodies.

Part of the upkeep: ``share`` is one step.
"""

from __future__ import annotations

import logging
import math

from understudy import clock

from .held import HeldMessage
from .transport import Transport

logger = logging.getLogger(__name__)

#: Seconds beyond a message's time limit after which its body counts as stuck: the limit itself should have ended it.
BEYOND = 60.0


#: Milliseconds for which a worker that found nothing to do counts as idle.
IDLE = 2_500


def say_if_idle(broker: Transport, queue_name: str) -> None:
    """Say that this process found a queue empty and has threads with nothing to do, so that others give of their stock.

    Raises:
      ServerUnavailable: the server could not be asked.
    """
    if broker.has_idle_threads() and not broker.unstarted(queue_name):
        broker.storage.call("SET", broker.storage.keys.hungry(queue_name), broker.worker_id, "PX", IDLE, insist=True)


def share(broker: Transport) -> int:
    """Hand back half of what waits here, queue by queue, if another worker is idle; returns how many messages.

    Raises:
      ServerUnavailable: the server could not be asked.
    """
    given = 0
    for name in sorted(broker.queues):
        waiting = broker.unstarted(name)
        if not waiting:
            continue
        idle = broker.storage.call("GET", broker.storage.keys.hungry(name), name="hungry")
        if idle is None or idle.decode() == broker.worker_id:
            continue
        # The latest go: those that came first are next here.
        for held in waiting[: (len(waiting) + 1) // 2]:
            broker.hand_back(held)
            given += 1
    if given:
        logger.info("%d messages that waited here went back to their queues, for a worker that is idle", given)
    return given


def give_up_stuck(broker: Transport) -> int:
    """Give up messages whose bodies have run far past their limit, whatever keeps them; returns how many."""
    now = clock.monotonic()
    stuck = [
        held
        for held in list(broker.holds.values())
        if held.began_at is not None and not held.ended and now - held.began_at > limit_of(broker, held) + BEYOND
    ]
    for held in stuck:
        broker.give_up(held)
    return len(stuck)


def limit_of(broker: Transport, held: HeldMessage) -> float:
    """The time limit of a message in seconds: its own, its actor's, or the default; infinite when it has none."""
    actor = broker.actors.get(held.actor_name)
    limit = held.options.get("time_limit")
    if limit is None and actor is not None:
        limit = actor.options.get("time_limit")
    if limit is not None:
        return float(limit) / 1000
    default = broker.settings.default_time_limit
    return math.inf if default is None else default
