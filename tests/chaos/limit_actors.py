"""Actors for the chaos of time limits: bodies that do not end, and neighbours that do."""

from __future__ import annotations

import ctypes
import os
import re
import time
from typing import NoReturn

import tasks
from tests.chaos.journal import effect
from understudy import actor, each

assert tasks, "its import installs the broker"

LIMIT = 1.5


@actor(queue_name="chaos", time_limit=LIMIT)
def sleeps() -> None:
    effect(f"began {os.getpid()}")
    time.sleep(30)


@actor(queue_name="chaos", time_limit=LIMIT)
def loops_in_c() -> int:
    effect(f"began {os.getpid()}")
    return sum(range(10**11))


@actor(queue_name="chaos", time_limit=LIMIT)
def backtracks() -> bool:
    effect(f"began {os.getpid()}")
    return re.match(r"(a+)+$", "a" * 50 + "b") is not None


@actor(queue_name="chaos", time_limit=LIMIT)
def swallows() -> NoReturn:
    effect(f"began {os.getpid()}")
    while True:
        try:
            time.sleep(30)
        except BaseException:  # noqa: BLE001 - that is what it is about
            continue


@actor(queue_name="chaos", memory_limit="500MiB")
def grows() -> NoReturn:
    """Takes more and more, whatever anybody says."""
    effect(f"began {os.getpid()}")
    taken: list[bytes] = []
    while True:
        try:
            taken.append(os.urandom(1) * 5_000_000)
        except BaseException:  # noqa: BLE001 - that is what it is about
            continue


@actor(queue_name="chaos")
def neighbour(name: str) -> int:
    """A thread of the worker itself."""
    effect(f"neighbour {name}")
    return os.getpid()


@actor(queue_name="chaos", time_limit=60)
def hangs() -> None:
    effect(f"began {os.getpid()}")
    time.sleep(600)


@actor(queue_name="chaos", time_limit=60)
def crashes() -> None:
    effect(f"began {os.getpid()}")
    ctypes.string_at(0)


@actor(queue_name="chaos", time_limit=60)
def steps(name: str, count: int) -> int:
    """Many effects, remembered one by one, in a process of its own."""
    numbers = each(list(range(count)), key=str, on_doubt="skip")
    for number in numbers:
        effect(f"{name}/{number}")
        time.sleep(0.005)
    return numbers.successful
