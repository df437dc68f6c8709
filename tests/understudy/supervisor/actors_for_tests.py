"""Actors for the worker processes that these tests start: those of the command line's tests, and worse ones."""

from __future__ import annotations

import gc
import os
import re
import signal
import time
from pathlib import Path

from tests.understudy.cli import actors_for_tests as common
from understudy import actor

__all__ = ["common"]

_kept: list[bytes] = []


@actor(queue_name="sums")
def pid() -> int:
    return os.getpid()


@actor(queue_name="sums")
def frozen() -> int:
    return gc.get_freeze_count()


@actor(queue_name="sums")
def grow(size: int) -> int:
    """Keeps ``size`` bytes."""
    _kept.append(b"x" * size)
    return os.getpid()


@actor(queue_name="sums")
def release(path: str) -> int:
    """Waits for the file, deaf to everything else. The first line of ``<path>.begun`` is the process."""
    with Path(f"{path}.begun").open("a") as journal:
        journal.write(f"{os.getpid()}\n")
    while not Path(path).exists():
        time.sleep(0.01)
    return os.getpid()


@actor(queue_name="sums")
def hold_the_gil(path: str) -> None:
    """For ever, and deaf to everything: `re` never lets go of it."""
    Path(f"{path}.begun").write_text(f"{os.getpid()}\n")
    re.match("(a+)+$", "a" * 64 + "b")


@actor(queue_name="sums")
def kill_yourself(path: str) -> None:
    """Only the first time: like a body that runs out of memory once."""
    if not Path(path).exists():
        Path(path).touch()
        os.kill(os.getpid(), signal.SIGKILL)
