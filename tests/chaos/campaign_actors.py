"""Campaigns that note in the journal which item each delivery begins and ends, and why it leaves."""

from __future__ import annotations

import os
import time
from typing import Any

import tasks
from tests.chaos.journal import Noting, effect
from understudy import Idempotency, actor, each
from understudy.execution import current
from understudy.options import OnDoubt

tasks.broker.add_middleware(Noting())


def campaign(name: str, count: int, seconds: float, on_doubt: OnDoubt) -> dict[str, Any]:
    """``count`` items of so many seconds each."""
    execution = current()
    assert execution is not None

    def say(word: str, about: int | str = "-") -> None:
        effect(f"{name} {word} {about} {os.getpid()} {execution.token}")

    say("starts")
    try:
        numbers = each(range(count), key=str, on_doubt=on_doubt)
        for number in numbers:
            say("begins", number)
            time.sleep(seconds)
            say("ends", number)
        return {"successful": numbers.successful, "in_doubt": sorted(int(key) for key in numbers.failures)}
    except BaseException as error:
        say("leaves", type(error).__name__)
        raise


@actor(queue_name="chaos")
def repeating(name: str, count: int, seconds: float) -> dict[str, Any]:
    return campaign(name, count, seconds, "repeat")


@actor(queue_name="chaos")
def skipping(name: str, count: int, seconds: float) -> dict[str, Any]:
    return campaign(name, count, seconds, "skip")


@actor(queue_name="chaos", idempotency=Idempotency(key="{name}"))
def keyed(name: str, count: int, seconds: float) -> dict[str, Any]:
    """Whoever sends it, and however often."""
    return campaign(name, count, seconds, "skip")


@actor(queue_name="chaos", time_limit=1_800)
def isolated(name: str, count: int, seconds: float) -> dict[str, Any]:
    """In a process of its own."""
    return campaign(name, count, seconds, "skip")


@actor(queue_name="chaos", idempotency=Idempotency(key="{name}", on_doubt="skip"))
def welcome(name: str) -> str:
    """One effect for each key, or it is in doubt."""
    execution = current()
    assert execution is not None
    effect(f"{name} begins 0 {os.getpid()} {execution.token}")
    time.sleep(0.05)
    effect(f"{name} ends 0 {os.getpid()} {execution.token}")
    return execution.message_id
