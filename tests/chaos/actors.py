"""Actors for chaos tests. Each effect is a line in a file, appended in one write, so that executions can be counted."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from pathlib import Path

import tasks
from tests.chaos.journal import Noting, effect
from understudy import Idempotency, Retry, actor, each
from understudy.execution import current
from understudy.testing.conditions import wait_until

tasks.broker.add_middleware(Noting())


@actor(queue_name="chaos")
def note(name: str) -> str:
    """One effect."""
    effect(name)
    return name


@actor(queue_name="chaos", retry=Retry(5, backoff=0.2, factor=1, jitter="none"))
def flaky(name: str, failures: int) -> str:
    """Fails a few times first."""
    execution = current()
    if execution is not None and execution.retries < failures:
        raise ConnectionError(f"{name} fails on purpose")
    effect(name)
    return name


@actor(queue_name="chaos")
def slow(name: str, seconds: float) -> str:
    """Takes its time, then one effect."""
    effect(f"{name} begins")
    time.sleep(seconds)
    effect(name)
    return name


@actor(queue_name="chaos", idempotency=Idempotency())
def steps(name: str, count: int) -> int:
    """Many effects, remembered one by one."""
    numbers = each(list(range(count)), key=str, on_doubt="skip")
    for number in numbers:
        effect(f"{name}/{number}")
    return numbers.successful


@actor(queue_name="chaos")
def innocent(name: str, seconds: float = 0.0) -> str:
    """Takes its time, and leaves no effect but the note of its beginning."""
    time.sleep(seconds)
    return name


@actor(queue_name="chaos")
def poison(name: str = "poison", how: str = "sigkill") -> None:
    """Kills the process that runs it."""
    effect(name)
    if how == "exit":
        os._exit(3)
    if how == "segfault":
        ctypes.string_at(0)
    os.kill(os.getpid(), signal.SIGKILL)


@actor(queue_name="chaos")
def fan(name: str, count: int) -> str:
    """Messages that exist if this is committed."""
    for number in range(count):
        innocent.send_with_options(args=(f"{name}/{number}",), when="committed")
    return name


@actor(queue_name="chaos")
def family(name: str, count: int) -> str:
    """As ``fan``, with ids that are known beforehand."""
    for number in range(count):
        child = innocent.message_with_options(args=(f"{name}/{number}",), when="committed")
        tasks.broker.enqueue(child.copy(message_id=f"{name}/{number}"))
    return name


@actor(queue_name="chaos")
def gated(name: str, gate: str) -> str:
    """Goes on when there is a file ``gate``."""
    effect(f"{name} begins")
    _pass(gate)
    effect(f"{name} ends")
    return name


@actor(queue_name="chaos")
def gated_steps(name: str, gate: str) -> None:
    """Two items; goes on to the second one when there is a file ``gate``."""
    for number in each([0, 1], key=str):
        effect(f"{name}/{number}")
        _pass(gate)


def _pass(gate: str) -> None:
    wait_until(Path(gate).exists, timeout=60, what=gate)


@actor(queue_name="chaos", idempotency=Idempotency(key="{name}", on_doubt="skip"))
def once(name: str) -> str:
    """Whoever sends it, and however often: once, or in doubt."""
    effect(f"{name} once")
    time.sleep(0.02)
    return name
