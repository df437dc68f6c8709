"""Actors for workflows under chaos. The commit of each outcome is noted, when this process has heard of it."""

from __future__ import annotations

import time

import tasks
from tests.chaos.journal import Commits, effect
from understudy import actor

tasks.broker.add_middleware(Commits())


@actor(queue_name="chaos")
def hop(value: int, seconds: float = 0.0) -> int:
    """One step of a chain: counts the steps."""
    time.sleep(seconds)
    return value + 1


@actor(queue_name="chaos")
def member(number: int, seconds: float = 0.0) -> int:
    """One member of a group."""
    time.sleep(seconds)
    return number


@actor(queue_name="chaos")
def total(numbers: list[int], name: str) -> int:
    """The body of a chord."""
    effect(f"body {name}")
    return sum(numbers)
