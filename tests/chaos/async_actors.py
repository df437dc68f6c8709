"""Actors with ``async def`` bodies for chaos tests."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time

import tasks
from tests.chaos.journal import Noting, effect
from understudy import actor, each, progress, retry
from understudy.errors import SoftTimeLimitExceeded
from understudy.execution import current

tasks.broker.add_middleware(Noting())

#: How many bodies of ``gather`` run in this process just now, and have at the most.
running = peak = 0
let_go = threading.Event()


@actor(queue_name="chaos")
async def gather(name: str) -> list[int]:
    """Sleeps until it is let go; says how many did at once, and how many threads there were."""
    global running, peak
    running += 1
    peak = max(peak, running)
    try:
        while not let_go.is_set():
            await asyncio.sleep(0.1)
    finally:
        running -= 1
    return [peak, threading.active_count()]


@actor(queue_name="chaos")
def release(count: int) -> int:
    """A neighbour in a thread: lets them go, once there have been so many."""
    while peak < count:
        time.sleep(0.01)
    let_go.set()
    return peak


@actor(queue_name="chaos")
async def naps(name: str, seconds: float) -> str:
    """Takes its time."""
    effect(f"{name} begins")
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        effect(f"{name} is cancelled")
        raise
    effect(name)
    return name


@actor(queue_name="chaos")
async def once(name: str) -> str:
    """Never ends, unless an earlier execution of it did not either."""
    execution = current()
    assert execution is not None
    effect(f"{name} begins")
    try:
        if not execution.redelivered:
            await asyncio.sleep(600)
    finally:
        await asyncio.sleep(0.2)  # it cleans up
    effect(name)
    return name


@actor(queue_name="chaos")
async def in_a_thread(name: str) -> str:
    """Waits for a thread of the loop's, which nobody can end; a second execution does not."""
    execution = current()
    assert execution is not None
    effect(f"{name} begins")
    if not execution.redelivered:
        await asyncio.to_thread(time.sleep, 60)
    return name


@actor(queue_name="chaos")
async def dies(name: str) -> None:
    """Kills the process that runs it."""
    effect(name)
    await asyncio.sleep(0.02)
    os.kill(os.getpid(), signal.SIGKILL)


@actor(queue_name="chaos", time_limit=1)
async def overdue(name: str) -> None:
    """Is cancelled at its limit."""
    try:
        await asyncio.sleep(600)
    finally:
        effect(f"{name} cleaned up")


@actor(queue_name="chaos", time_limit=60, soft_time_limit=0.5)
async def warned(name: str) -> str:
    """Is told that its time is over, in the middle of what it waits for."""
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(600))
    except SoftTimeLimitExceeded:
        return f"{name} was warned"
    return "never"


@actor(queue_name="chaos", time_limit=1)
async def swallows(name: str) -> None:
    """Catches whatever is raised in it."""
    while True:
        try:
            effect(f"{name} goes on")
            await asyncio.sleep(600)
        except BaseException:  # noqa: BLE001 - that is what it is about
            continue


@actor(queue_name="chaos")
async def blocks(name: str, seconds: float) -> str:
    """Does not let the others go on."""
    effect(f"{name} begins")
    time.sleep(seconds)
    return name


@actor(queue_name="chaos", time_limit=20, soft_time_limit=0.5, isolation="process")
async def apart(name: str) -> list[object]:
    """In a process of its own."""
    try:
        await asyncio.sleep(600)
    except SoftTimeLimitExceeded:
        return [name, os.getpid()]
    return []


@actor(queue_name="chaos", isolation="process")
async def at_once(name: str) -> int:
    """In a process of its own, several things at once: one of them asks for another run, one reports from a thread."""
    execution = current()
    assert execution is not None
    retries = execution.retries

    async def fails() -> None:
        if not retries:
            raise retry(delay=0)

    def reports() -> None:
        naps.send_with_options(args=(f"{name}-sent", 0), when="committed")
        progress.update(3, 4)

    async with asyncio.TaskGroup() as group:
        group.create_task(fails())
        group.create_task(asyncio.to_thread(reports))
    return retries


@actor(queue_name="chaos")
async def steps(name: str, count: int, seconds: float) -> int:
    """Many effects, remembered one by one."""
    numbers = each(range(count), key=str, on_doubt="skip")
    async for number in numbers:
        effect(f"{name}/{number}")
        await asyncio.sleep(seconds)
    return numbers.successful


@actor(queue_name="chaos")
async def advances(name: str, count: int) -> str:
    """Reports as often as it likes."""
    for _ in range(count):
        progress.advance()
        await asyncio.sleep(0)
    return name
