"""Actors for worker processes that the tests of the command line start. Like ``tasks``, it installs the broker."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

from middleware.stack import stack
from understudy import Retry, actor, each, install, progress
from understudy.execution import current
from understudy.settings import Settings, load

settings = load(Settings)
broker = install(settings, middleware=stack(settings))


@actor(queue_name="sums")
def add(left: int, right: int) -> int:
    return left + right


@actor(queue_name="sums")
def fail(text: str) -> None:
    raise ValueError(text)


@actor(queue_name="sums", retry=Retry(1, backoff=600, jitter="none"))
def fail_and_wait(text: str) -> None:
    raise ValueError(text)


@actor(queue_name="slow")
def wait_for_file(path: str, total: int = 4) -> str:
    """Reports progress, then waits until somebody makes the file."""
    progress.update(1, total, doing="waiting")
    Path(f"{path}.begun").touch()
    while not Path(path).exists():
        time.sleep(0.01)
    return "found"


@actor(queue_name="slow")
def count(directory: str, names: list[str]) -> int:
    """Writes down every item; stays on the item "stop" until the worker is told to stop."""
    execution = current()
    done = 0
    for name in each(names, key=str):
        with (Path(directory) / "done").open("a") as journal:
            journal.write(f"{name}\n")
        if name == "stop" and execution is not None and not execution.stopping.is_set():
            execution.stopping.wait(30)
        done += 1
    return done


@actor(queue_name="sums")
def where() -> dict[str, object]:
    return {"pid": os.getpid(), "threads": threading.active_count(), "path": sys.path[0]}
