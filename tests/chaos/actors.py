"""Actors for chaos tests. Each effect is a line in a file, appended in one write, so that executions can be counted."""

from __future__ import annotations

import os
import signal
import time

import tasks
from understudy import Idempotency, Retry, actor, each
from understudy.execution import current

assert tasks, "its import installs the broker"


def effect(line: str) -> None:
    """Append a line to the journal of this run."""
    handle = os.open(os.environ["CHAOS_JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(handle, f"{line}\n".encode())
    finally:
        os.close(handle)


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
def poison() -> None:
    """Kills the process that runs it."""
    effect("poison")
    os.kill(os.getpid(), signal.SIGKILL)
